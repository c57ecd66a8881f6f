"""The learner "fine_tune": gradients through the model, old rows mixed in.

Enters: a `LearnContext`. Leaves: a candidate whose layers have moved towards the new
rows, no further than what it knew allows.

The learning rate and whether rows are blended come from short runs over the rows to
learn from, judged on those to choose with. Where there are many rows, a long run ends
when those have not gained for a while; where there are few, each label counts, and the
long run learns from both. If old rows that were held back show that too much was
forgotten, the weights go only a part of the way from the old to the learned ones.

References
----------
Wortsman et al.: Robust Fine-Tuning of Zero-Shot Models, CVPR 2022.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from trimtab.errors import DivergedError, InputError, UnsupportedOpError
from trimtab.gates.rows import Rows
from trimtab.graph import Constant, Model
from trimtab.train import Trainer
from trimtab.types import Array
from trimtab.update import head_logistic
from trimtab.update.context import Candidate, LearnContext
from trimtab.update.mixing import Blend
from trimtab.update.objective import Objective, objective_of
from trimtab.update.scope import Scope, scope_of
from trimtab.update.tuning import Pool, Recipe, Tuning

__all__ = ["FineTune", "learn"]

#: The first is taken where there are too few rows to choose with.
RECIPES = (
    Recipe(2e-3, Blend()),
    Recipe(5e-4, Blend()),
    Recipe(1e-3, Blend(0.0, 0.0)),
)
# Rows to choose with, below which a choice would be noise.
_N_CHOOSE = 20
# Rows below which those to choose with are learned from as well.
_N_FEW = 2000
# Replayed rows that are held back, as a share and at most, and fewer than these: none.
_HELD, _N_HELD, _N_HOLD = 0.2, 500, 100
# Short runs take this share of the steps.
_SHORT = 0.25
# Looks at the loss in a run, and how many without a better one end it.
_N_LOOKS, _PATIENCE = 12, 4
# How far to go from the old weights to the learned ones.
_SHARES = (1.0, 0.85, 0.7, 0.5, 0.3, 0.15)
# Forgetting counts where so many standard errors lie between it and what is allowed.
# A champion that learned from the held rows knows them better than others like them.
_SURE = 1.645
# Passes over the new rows that a large set gets, and the most steps.
_PASSES, _MAX_STEPS = 5, 20_000
# Share of the time that is left which learning may plan with.
_PLANNED = 0.8
_FEWEST = 10


@dataclass(frozen=True)
class FineTune:
    """Options of `learn`.

    Parameters
    ----------
    scope : str
        "auto" or a key of `trimtab.update.scope.SCOPES`.
    n_steps : int
        Updates; more where there are so many rows that each would be seen less than
        five times, fewer where the time does not suffice.
    batch_size : int
    share : float
        Of new rows in a batch.
    rank : int
        Of moves in the scope "low_rank".

    Examples
    --------
    >>> FineTune(scope="last").n_steps
    600
    """

    scope: str = "auto"
    n_steps: int = 600
    batch_size: int = 64
    share: float = 0.5
    rank: int = 8


def learn(context: LearnContext, options: FineTune | None = None) -> Candidate:
    """Learn by gradients from new rows, and from old ones where there are some.

    Parameters
    ----------
    context : LearnContext
    options : FineTune, optional

    Returns
    -------
    candidate : Candidate

    Raises
    ------
    InputError
        The task has no loss, or the model has no weights to learn.
    UnsupportedOpError
        Operators behind the last layers have no gradient.
    DivergedError
        No learning rate gave numbers.

    Examples
    --------
    >>> learn(context).detail["rate"]                      # doctest: +SKIP
    0.002
    """
    options = FineTune() if options is None else options
    begin = time.perf_counter()
    context = _widened(context)
    run = _Run(context, options)
    weights, detail = run.learned()
    graph = run.scope.graph.copy()
    for name, value in weights.items():
        graph.graph.constants[name] = Constant.of(value)
    model = context.build(_merged(context.graph, run.scope, graph))
    seconds = time.perf_counter() - begin
    return Candidate(model, "fine_tune", {**run.detail, **detail}, seconds)


def _widened(context: LearnContext) -> LearnContext:
    """Begin with a last layer that has the classes which are new."""
    if not context.n_new_classes:
        return context
    model = head_logistic.learn(context).model
    return replace(context, model=model, graph=model._graph_again(), n_new_classes=0)


def _merged(original: Model, scope: Scope, learned: Model) -> Model:
    if scope.low_rank is not None:
        return scope.low_rank.merged(original, learned)
    return learned


class _Run:
    """One call: pools, the recipe that was chosen, the weights that came of it."""

    def __init__(self, context: LearnContext, options: FineTune) -> None:
        self.context, self.options = context, options
        self.detail: dict[str, Any] = {}
        replay, held = _held_back(context.replay, context.seed)
        rows = [context.fit, context.select, replay, held]
        self.scope, self.tuning = _tuning(context, options, rows)
        self.detail["scope"] = self.scope.name
        self.detail["is_cached"] = self.tuning.is_cached
        fit, self.select, self.old, self.held = self.tuning.pools
        if fit is None:
            raise InputError("fine_tune: there are no rows to learn from")
        self.fit: Pool = fit

    def learned(self) -> tuple[dict[str, Array], dict[str, Any]]:
        can_choose = self.select is not None and len(self.select[0]) >= _N_CHOOSE
        n_steps = self._n_steps(can_choose)
        recipe = self._recipe(n_steps) if can_choose else RECIPES[0]
        weights, n_steps = self._trained(recipe, n_steps)
        weights, share = self._within_budget(weights)
        return weights, {
            "rate": recipe.rate,
            "mixup": recipe.blend.mixup,
            "noise": recipe.blend.noise,
            "n_steps": n_steps,
            "share_of_the_way": share,
            "n_replayed": 0 if self.old is None else len(self.old[0]),
        }

    def _n_steps(self, can_choose: bool) -> int:
        o = self.options
        n_new = max(round(o.batch_size * o.share), 1)
        if self.old is None:
            n_new = o.batch_size
        n = max(o.n_steps, math.ceil(_PASSES * len(self.fit[0]) / n_new))
        n = min(n, _MAX_STEPS)
        left = self.context.seconds_left()
        if math.isinf(left):
            return n
        step_s = self.tuning.step_seconds(self.fit, self.old)
        runs = 1.0 + (_SHORT * len(RECIPES) if can_choose else 0.0)
        n_affordable = int(_PLANNED * self.context.seconds_left() / (runs * step_s))
        if n_affordable < _FEWEST:
            raise InputError(
                f"fine_tune: {left:.1f} s are left and one update takes {step_s:.2f} "
                f"s: expected time for {_FEWEST} updates at least"
            )
        return min(n, n_affordable)

    def _recipe(self, n_steps: int) -> Recipe:
        """The recipe whose short run has the least loss on the rows to choose with."""
        assert self.select is not None
        losses: dict[int, float] = {}
        for i, recipe in enumerate(RECIPES):
            try:
                trainer = self._run(recipe, max(int(_SHORT * n_steps), 1), self.fit)
            except DivergedError:
                continue
            losses[i] = self.tuning.loss(trainer, self.select)
            trainer.close()
        self.detail["losses"] = [losses.get(i) for i in range(len(RECIPES))]
        if not losses:
            raise DivergedError(
                "fine_tune: the loss is no number at any learning rate of "
                f"{[recipe.rate for recipe in RECIPES]}"
            )
        return RECIPES[min(losses, key=losses.__getitem__)]

    def _trained(self, recipe: Recipe, n_steps: int) -> tuple[dict[str, Array], int]:
        new, watch = self.fit, None
        if self.select is not None and len(new[0]) > _N_FEW:
            watch = _Watch(self.tuning, self.select, n_steps)
        elif self.select is not None:
            new = [np.concatenate(two) for two in zip(new, self.select, strict=True)]
        trainer = self._run(recipe, n_steps, new, watch)
        try:
            if watch is not None and watch.best is not None:
                return watch.best, watch.n_best
            return _copied(trainer), trainer.history.step
        finally:
            trainer.close()

    def _run(
        self, recipe: Recipe, n_steps: int, new: Pool, watch: _Watch | None = None
    ) -> Trainer:
        return self.tuning.run(
            recipe, n_steps, new, self.old, seed=self.context.seed, watch=watch,
            until=self.context.seconds_left,
        )  # fmt: skip

    def _within_budget(
        self, weights: dict[str, Array]
    ) -> tuple[dict[str, Array], float]:
        """Go as far towards the learned weights as old answers allow."""
        if self.held is None:
            return weights, 1.0
        before = self.tuning.before()
        known = self.tuning.errors(before, self.held)
        for share in _SHARES:
            between = {
                name: np.asarray(old + share * (weights[name] - old), old.dtype)
                for name, old in before.items()
            }
            lost = self.tuning.errors(between, self.held) - known
            spread = float(lost.std()) / math.sqrt(len(lost))
            if lost.mean() - _SURE * spread <= self.context.forget:
                self.detail["forgotten"] = float(lost.mean())
                return between, share
        raise InputError(
            "fine_tune: even the least move towards the new rows costs more than "
            f"{self.context.forget:g} of what was known of old ones"
        )


class _Watch:
    """Looks at the loss of the rows to choose with, and keeps the best weights."""

    def __init__(self, tuning: Tuning, select: Pool | None, n_steps: int) -> None:
        assert select is not None
        self._tuning, self._select = tuning, select
        self._every = max(n_steps // _N_LOOKS, 1)
        self._least, self._waited = math.inf, 0
        self.best: dict[str, Array] | None = None
        self.n_best = n_steps

    def __call__(self, done: int, trainer: Trainer) -> bool:
        if done % self._every:
            return True
        loss = self._tuning.loss(trainer, self._select)
        self._waited += 1
        if loss < self._least:
            self._least, self._waited = loss, 0
            self.best, self.n_best = _copied(trainer), done
        return self._waited < _PATIENCE


def _copied(trainer: Trainer) -> dict[str, Array]:
    return {name: w.copy() for name, w in trainer.parameters.weights.items()}


def _held_back(replay: Rows | None, seed: int) -> tuple[Rows | None, Rows | None]:
    """Cut old rows into those that are learned again and those that judge."""
    if replay is None or len(replay) < _N_HOLD:
        return replay, None
    order = np.random.default_rng(seed).permutation(len(replay))
    n_held = min(int(_HELD * len(replay)), _N_HELD)
    return replay.take(order[n_held:]), replay.take(order[:n_held])


def _tuning(
    context: LearnContext, options: FineTune, rows: list[Rows | None]
) -> tuple[Scope, Tuning]:
    """Give the widest scope whose operators all have gradients."""
    make = partial(scope_of, rank=options.rank, seed=context.seed)
    wanted = [options.scope] if options.scope != "auto" else ["auto", "last"]
    refused: UnsupportedOpError | None = None
    for name in wanted:
        scope = make(context.graph, name)
        objective: Objective = objective_of(scope.graph, context.task, context.output)
        tuning = Tuning(
            objective, scope.names, rows, batch_size=options.batch_size,
            share=options.share,
        )  # fmt: skip
        try:
            tuning.check()
        except UnsupportedOpError as error:
            refused = error
            continue
        return scope, tuning
    assert refused is not None
    raise refused
