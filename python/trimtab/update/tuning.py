"""One training of an update: pools of rows behind the frozen part, and runs over them.

Enters: a scope, an objective, rows. Leaves: trained weights, losses, answers. What is
in front of all that is learned runs once over all rows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from trimtab.errors import InputError
from trimtab.gates.rows import Rows
from trimtab.graph import Constant, Model
from trimtab.optimize.runnable import runnable
from trimtab.train import Adam, Cosine, Trainer
from trimtab.train.epochs import through
from trimtab.train.frozen import split_frozen
from trimtab.types import Array
from trimtab.update.mixing import Batches, Blend
from trimtab.update.objective import Objective

__all__ = ["Pool", "Recipe", "Tuning"]

Pool = list[Array]
"""Inputs, then targets: one row for each example."""

# Bytes that activations of the frozen part may take.
_CACHE = 1 << 30
# Rows that are judged at once.
_N_JUDGED = 256
# Gradients that are longer are cut: a step must not undo what is known.
_CLIP_NORM = 5.0


@dataclass(frozen=True)
class Recipe:
    """How one training goes.

    Parameters
    ----------
    rate : float
        Largest learning rate of Adam; it falls to 0 along a cosine.
    blend : Blend
    """

    rate: float
    blend: Blend


class Tuning:
    """Trains the same weights of the same model as often as is asked.

    Parameters
    ----------
    objective : Objective
        Its graph is trained.
    names : sequence of str
        Constants that are learned.
    rows : sequence of Rows or None
        `pools` are made of them, in their order.
    batch_size : int
    share : float
        Of new rows in a batch.
    """

    def __init__(
        self,
        objective: Objective,
        names: Sequence[str],
        rows: Sequence[Rows | None],
        *,
        batch_size: int = 64,
        share: float = 0.5,
    ) -> None:
        self.objective = objective
        self._names = list(names)
        self._batch_size, self._share = batch_size, share
        whole = objective.graph
        order = [value.name for value in whole.graph.inputs]
        pools = [None if r is None else self._pool(r, order) for r in rows]
        parts = split_frozen(whole, self._names)
        self._graph = whole
        #: What `rows` became: None where there were none.
        self.pools: list[Pool | None] = pools
        if parts is not None:
            found = _behind(parts[0], pools)
            if found is not None:
                self._graph, self.pools = parts[1], found
        #: Does the frozen part run only once?
        self.is_cached = self._graph is not whole

    def _pool(self, rows: Rows, order: Sequence[str]) -> Pool:
        inputs = [np.asarray(rows.inputs[name]) for name in order]
        return [*inputs, self.objective.targets(rows.labels)]

    def check(self) -> None:
        """Refuse what has no gradient.

        Raises
        ------
        UnsupportedOpError
        """
        self._trainer(1e-3, 1).close()

    # ---- running -----------------------------------------------------------------

    def run(
        self,
        recipe: Recipe,
        n_steps: int,
        new: Pool,
        old: Pool | None,
        *,
        seed: int,
        watch: Callable[[int, Trainer], bool] | None = None,
        until: Callable[[], float] = lambda: float("inf"),
    ) -> Trainer:
        """Train from the weights of the model.

        Parameters
        ----------
        recipe : Recipe
        n_steps : int
        new : Pool
        old : Pool or None
        seed : int
        watch : callable, optional
            (steps so far, trainer) -> go on?
        until : callable, optional
            () -> seconds that are left; below 0 it ends.

        Returns
        -------
        trainer : Trainer
            The caller closes it.

        Raises
        ------
        DivergedError
            The loss is no number.
        """
        trainer = self._trainer(recipe.rate, n_steps)
        batches = self._batches(recipe.blend, new, old, seed, n_steps)
        for done, batch in enumerate(batches, start=1):
            trainer.step(tuple(batch[:-1]), batch[-1])
            if until() < 0 or (watch is not None and not watch(done, trainer)):
                break
        return trainer

    def _trainer(self, rate: float, n_steps: int) -> Trainer:
        return Trainer(
            self._graph,
            self.objective.loss,
            wrt=self._names,
            optimizer=Adam(rate),
            schedule=Cosine(n_steps),
            clip_norm=_CLIP_NORM,
        )

    def _batches(
        self, blend: Blend, new: Pool, old: Pool | None, seed: int, n_steps: int
    ) -> Iterator[Pool]:
        batches = Batches(
            new, old, batch_size=self._batch_size, share=self._share, blend=blend,
            seed=seed,
        )  # fmt: skip
        return islice(iter(batches), n_steps)

    def step_seconds(self, new: Pool, old: Pool | None) -> float:
        """Measure one update.

        Parameters
        ----------
        new : Pool
        old : Pool or None

        Returns
        -------
        seconds : float
        """
        trainer = self._trainer(1e-6, 3)
        seconds = float("inf")
        try:
            for batch in self._batches(Blend(), new, old, 0, 3):
                begin = time.perf_counter()
                trainer.step(tuple(batch[:-1]), batch[-1])
                seconds = min(seconds, time.perf_counter() - begin)
        finally:
            trainer.close()
        return seconds

    # ---- judging -----------------------------------------------------------------

    def loss(self, trainer: Trainer, pool: Pool) -> float:
        """Give the mean loss of rows.

        Parameters
        ----------
        trainer : Trainer
        pool : Pool

        Returns
        -------
        loss : float
        """
        return trainer.evaluate(tuple(pool[:-1]), pool[-1], batch_size=_N_JUDGED)

    def errors(self, weights: dict[str, Array], pool: Pool) -> Array:
        """Say of each row how wrong weights answer it.

        Parameters
        ----------
        weights : dict of str to ndarray
            Constants in place of the model's.
        pool : Pool

        Returns
        -------
        errors : ndarray of float64, shape (n,)
            0 or 1; of numbers, squared errors as shares of the targets' variance.

        Raises
        ------
        InputError
            The answers do not fit memory.
        """
        graph = self._graph.copy()
        for name, value in weights.items():
            graph.graph.constants[name] = Constant.of(value)
        with runnable(graph) as model:
            found = through(model, pool[:-1], _N_JUDGED, _CACHE)
        if found is None:
            raise InputError(
                f"the answers to {len(pool[0])} rows are not one for each, or take "
                "more than 1 GiB: give fewer old rows"
            )
        return _errors(self.objective, found[0], pool[-1])

    def before(self) -> dict[str, Array]:
        """Give the weights that training begins with.

        Returns
        -------
        weights : dict of str to ndarray
        """
        constants = self._graph.graph.constants
        return {name: constants[name].numpy() for name in self._names}


def _errors(objective: Objective, scores: Array, targets: Array) -> Array:
    n = len(targets)
    if objective.is_classes:
        is_wrong = objective.answers(scores) != objective.truth(targets)
        return np.asarray(is_wrong.reshape(n, -1).any(axis=1), np.float64)
    variance = float(targets.var()) or 1.0
    squares = (scores.reshape(n, -1) - targets.reshape(n, -1)) ** 2
    return np.asarray(squares.mean(axis=1), np.float64) / variance


def _behind(frozen: Model, pools: list[Pool | None]) -> list[Pool | None] | None:
    """Run the frozen part over all pools; None where that is too much to keep."""
    found: list[Pool | None] = []
    with runnable(frozen) as model:
        for pool in pools:
            if pool is None or not len(pool[0]):
                found.append(None)
                continue
            arrays = through(model, pool[:-1], _N_JUDGED, _CACHE)
            if arrays is None:
                return None
            found.append([*arrays, pool[-1]])
    return found
