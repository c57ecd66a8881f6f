"""Training a graph: `Trainer`."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from trimtab.errors import DivergedError, InputError
from trimtab.graph import Model
from trimtab.optimize.progress import Progress
from trimtab.optimize.runnable import runnable
from trimtab.train.batch_norm import with_own_constants
from trimtab.train.checkpoint import check_same, read_checkpoint, write_checkpoint
from trimtab.train.engine import Engine
from trimtab.train.epochs import (
    History,
    Order,
    Stop,
    check_counts,
    mean_loss,
    through,
)
from trimtab.train.frozen import split_frozen
from trimtab.train.interrupt import Interrupt
from trimtab.train.learnable import learnable
from trimtab.train.losses import Loss
from trimtab.train.optimizers import Optimizer, optimizer_from
from trimtab.train.parameters import Parameters
from trimtab.train.rows import as_rows
from trimtab.train.schedules import Constant, Schedule
from trimtab.types import Array

__all__ = ["Trainer"]


class Trainer:
    """Learns weights of a graph from data.

    Parameters
    ----------
    model : trimtab.graph.Model
        Is not changed.
    loss : str or Loss
        Key of `trimtab.train.losses.LOSSES`, or a loss.
    wrt : sequence of str, optional
        Constants that are learned; all weights by default. What is in front of all of
        them is frozen, and computed only once where it fits `cache_bytes`.
    optimizer : str or Optimizer
        Key of `trimtab.train.optimizers.OPTIMIZERS`, or an optimizer.
    schedule : Schedule
        Factor of the learning rate by update.
    clip_norm : float, optional
        Gradients whose norm over all weights is larger are scaled down to it.
    output : str, optional
        Which output the loss judges; the first by default.
    threads : int, optional
        As many as the machine has by default.
    cache_bytes : int
        Bound on what the activations of the frozen part may take.

    Raises
    ------
    UnsupportedOpError
        Operators behind the weights have no gradient; all are named.

    Examples
    --------
    >>> import numpy as np
    >>> from trimtab.graph import Constant as Weights, Graph, Node, Value
    >>> graph = Graph("g", [Value("x", "float32", ("n", 1))], [Value("y")])
    >>> graph.nodes.append(Node("MatMul", ["x", "w"], ["y"]))
    >>> graph.constants["w"] = Weights.of(np.zeros((1, 1), np.float32))
    >>> trainer = Trainer(Model(graph, {"": 18}), "mse", wrt=["w"], optimizer="sgd")
    >>> x = np.ones((8, 1), np.float32)
    >>> history = trainer.fit(x, 3 * x, epochs=2, batch_size=8)
    >>> [round(loss, 2) for loss in history.losses]
    [9.0, 8.64]
    """

    def __init__(
        self,
        model: Model,
        loss: str | Loss,
        *,
        wrt: Sequence[str] | None = None,
        optimizer: str | Optimizer = "adam",
        schedule: Schedule | None = None,
        clip_norm: float | None = None,
        output: str | None = None,
        threads: int | None = None,
        cache_bytes: int = 1 << 30,
    ) -> None:
        model = with_own_constants(model)
        names = learnable(model) if wrt is None else list(wrt)
        missing = [name for name in names if name not in model.graph.constants]
        if missing or not names:
            raise InputError(
                f"wrt: no constants {missing}"
                if missing
                else "there is nothing to learn"
            )
        if clip_norm is not None and not clip_norm > 0:
            raise InputError(f"clip_norm must be positive, got {clip_norm}")
        self._model, self._loss_of, self._output = model, loss, output
        self._optimizer = optimizer_from(optimizer)
        self._schedule: Schedule = Constant() if schedule is None else schedule
        self._clip_norm = clip_norm
        self._cache_bytes = cache_bytes
        self._threads = threads
        self.parameters = Parameters(model, names)
        #: What happened so far.
        self.history = History()
        self._state = self._optimizer.begin(self.parameters.vector)
        self._best: dict[str, Array] | None = None
        self._whole = self._engine(model)
        self._inner: tuple[Any, Engine] | None = self._frozen(names)

    def _engine(self, model: Model) -> Engine:
        return Engine(
            model,
            self._loss_of,
            self.parameters,
            output=self._output,
            threads=self._threads,
        )

    def _frozen(self, names: Sequence[str]) -> tuple[Any, Engine] | None:
        parts = split_frozen(self._model, names, self._output)
        if parts is None:
            return None
        return runnable(parts[0], threads=self._threads), self._engine(parts[1])

    # ---- one update ----------------------------------------------------------------

    def step(self, inputs: Any, labels: Any) -> float:
        """Learn from one batch.

        Parameters
        ----------
        inputs : array-like, mapping or tuple of array-like
        labels : array-like

        Returns
        -------
        loss : float
            Before the update.

        Raises
        ------
        DivergedError
            The loss or a gradient is no number; nothing was changed.
        """
        return self._update(self._whole, self._rows(inputs, labels))

    def _update(self, engine: Engine, batch: Sequence[Array]) -> float:
        loss, statistics = engine.step(batch)
        g, done = engine.gradient, self.history.step
        norm = math.sqrt(float(np.dot(g, g)))
        if not math.isfinite(loss) or not math.isfinite(norm):
            error = DivergedError(
                f"update {done}: the loss is {loss:g}, the gradient's norm {norm:g}. "
                "Lower the learning rate, or set clip_norm"
            )
            error.step = done
            raise error
        if self._clip_norm is not None and norm > self._clip_norm:
            g *= self._clip_norm / (norm + 1e-6)
        rate = self._optimizer.learning_rate * self._schedule(done)
        p = self.parameters
        self._optimizer.update(
            p.vector, g, self._state, step=done + 1, rate=rate, threads=self._threads
        )
        p.follow(statistics)
        self.history.losses.append(loss)
        return loss

    # ---- many ------------------------------------------------------------------------

    def fit(
        self,
        inputs: Any,
        labels: Any,
        *,
        epochs: int = 1,
        batch_size: int = 32,
        validation: tuple[Any, Any] | None = None,
        patience: int | None = None,
        max_steps: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
        progress: Callable[[int, int, str], Any] | bool | None = False,
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_every: int | None = None,
    ) -> History:
        """Learn from data, epoch by epoch.

        Ctrl-C ends it between two updates, with a checkpoint if there is a path.

        Parameters
        ----------
        inputs : array-like, mapping or tuple of array-like
            One row for each example along the first axis.
        labels : array-like
        epochs : int
            In all: epochs that `restore` brought back are not done again.
        batch_size : int
        validation : tuple of (inputs, labels), optional
            Judged after each epoch; the weights of the best epoch stay.
        patience : int, optional
            Epochs without a better validation loss until it stops.
        max_steps : int, optional
            Updates in all.
        shuffle : bool
            Another order in each epoch, decided by `seed`.
        seed : int
        progress : callable, bool or None
            Called with (done, total, what); None: a bar of tqdm on a terminal.
        checkpoint : path, optional
            Written after each epoch and when it stops.
        checkpoint_every : int, optional
            Updates between checkpoints as well.

        Returns
        -------
        history : History

        Raises
        ------
        InputError
            The data do not fit the model, or hold NaN or infinity.
        DivergedError
            The loss is no number; the weights are those of the best epoch, or those
            before the update.
        """
        check_counts(epochs=epochs, batch_size=batch_size, patience=patience)
        check_counts(max_steps=max_steps, checkpoint_every=checkpoint_every)
        if patience is not None and validation is None:
            raise InputError("patience needs a validation set")
        start = time.perf_counter()
        rows = self._rows(inputs, labels)
        held = None if validation is None else self._rows(*validation)
        engine, rows, held = self._cached(rows, held, batch_size)
        order = Order(len(rows[0]), batch_size, seed if shuffle else None)
        self._check_order(order, batch_size)
        bar = Progress(progress)
        bar.begin("training", epochs * order.n_batches)
        try:
            with Interrupt() as interrupt:
                stop = Stop(patience, max_steps, interrupt)
                self._epochs(engine, rows, held, order, stop, epochs, bar,
                             checkpoint, checkpoint_every)  # fmt: skip
        finally:
            bar.close()
            if self._best is not None and self.history.stopped != "interrupted":
                self.parameters.put(self._best)
        self.history.seconds = time.perf_counter() - start
        return self.history

    def _epochs(
        self,
        engine: Engine,
        rows: list[Array],
        held: list[Array] | None,
        order: Order,
        stop: Stop,
        epochs: int,
        bar: Progress,
        checkpoint: str | os.PathLike[str] | None,
        every: int | None,
    ) -> None:
        history = self.history
        history.stopped = "epochs"
        while history.epoch < epochs:
            done = history.step - history.epoch * order.n_batches
            for index in order.batches(history.epoch, done):
                history.stopped = stop.reason(history) or "epochs"
                if history.stopped != "epochs":
                    break
                self._update(engine, [array[index] for array in rows])
                bar.step()
                if checkpoint is not None and every and history.step % every == 0:
                    self.save(checkpoint)
            else:
                history.epoch += 1
                self._judge(engine, held, order.batch_size)
                history.stopped = stop.after_epoch(history) or "epochs"
            if checkpoint is not None:
                self.save(checkpoint)
            if history.stopped != "epochs":
                return

    def _judge(self, engine: Engine, held: list[Array] | None, batch_size: int) -> None:
        if held is None:
            return
        loss = mean_loss(engine, held, batch_size)
        history = self.history
        history.validation.append(loss)
        best = min(history.validation[:-1], default=math.inf)
        if loss < best:
            history.best_epoch = len(history.validation) - 1
            self._best = self.parameters.copy()

    def evaluate(self, inputs: Any, labels: Any, *, batch_size: int = 256) -> float:
        """Give the mean loss of data, without learning.

        Parameters
        ----------
        inputs : array-like, mapping or tuple of array-like
        labels : array-like
        batch_size : int

        Returns
        -------
        loss : float
        """
        rows = self._rows(inputs, labels)
        return mean_loss(self._whole, rows, batch_size)

    def model(self) -> Model:
        """Give the whole model with what was learned.

        Returns
        -------
        model : trimtab.graph.Model
        """
        return self.parameters.into(self._model)

    def close(self) -> None:
        """Give memory back."""
        self._whole.close()
        if self._inner is not None:
            self._inner[0].close()
            self._inner[1].close()

    # ---- data ------------------------------------------------------------------------

    def _rows(self, inputs: Any, labels: Any) -> list[Array]:
        values = self._whole.values
        rows = as_rows(inputs, values[:-1], what="inputs")
        rows += as_rows(labels, values[-1:], what="labels")
        if len(rows[0]) != len(rows[-1]):
            raise InputError(
                f"{len(rows[0])} rows of inputs and {len(rows[-1])} of labels"
            )
        return rows

    def _cached(
        self, rows: list[Array], held: list[Array] | None, batch_size: int
    ) -> tuple[Engine, list[Array], list[Array] | None]:
        """Put the frozen part's activations in place of inputs, where that pays."""
        if self._inner is None:
            return self._whole, rows, held
        frozen, engine = self._inner
        found = self._activations(frozen, rows, batch_size)
        other = None if held is None else self._activations(frozen, held, batch_size)
        if found is None or (held is not None and other is None):
            return self._whole, rows, held
        return engine, found, other

    def _activations(
        self, frozen: Any, rows: list[Array], batch_size: int
    ) -> list[Array] | None:
        found = through(frozen, rows[:-1], batch_size, self._cache_bytes)
        return None if found is None else [*found, rows[-1]]

    # ---- checkpoints -----------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all that continuing needs; the file is the old one or the new one.

        Parameters
        ----------
        path : path
        """
        arrays = {f"now/{n}": a for n, a in self.parameters.copy().items()}
        arrays.update({f"state/{n}": a for n, a in self._state.items()})
        if self._best is not None:
            arrays.update({f"best/{n}": a for n, a in self._best.items()})
        history = self.history
        arrays["losses"] = np.array(history.losses, np.float64)
        arrays["validation"] = np.array(history.validation, np.float64)
        facts = {
            **self._identity(),
            "order": getattr(self, "_order_facts", None),
            "best_epoch": history.best_epoch,
            "epoch": history.epoch,
        }
        write_checkpoint(path, arrays, facts)

    def restore(self, path: str | os.PathLike[str]) -> None:
        """Go to where a checkpoint was written; `fit` then continues bit by bit.

        Parameters
        ----------
        path : path

        Raises
        ------
        InputError
            It is of another model, optimizer or schedule.
        ModelFormatError
            It is no checkpoint, or damaged.
        """
        arrays, facts = read_checkpoint(path)
        check_same(facts, self._identity())
        now = {n[4:]: a for n, a in arrays.items() if n.startswith("now/")}
        expected = {n: a.shape for n, a in self.parameters.copy().items()}
        state = {n: arrays.get(f"state/{n}") for n in self._state}
        if {n: a.shape for n, a in now.items()} != expected or any(
            a is None or a.shape != self.parameters.vector.shape for a in state.values()
        ):
            raise InputError("the checkpoint is of another training: shapes differ")
        self.parameters.put(now)
        for name, value in state.items():
            self._state[name][:] = value
        best = {n[5:]: a for n, a in arrays.items() if n.startswith("best/")}
        self._best = best or None
        self._order_facts = facts.get("order")
        self.history = History(
            arrays["losses"].tolist(),
            arrays["validation"].tolist(),
            int(facts["best_epoch"]),
            int(facts["epoch"]),
        )

    def _identity(self) -> dict[str, Any]:
        shapes = [[n, list(s)] for n, s in self.parameters.shapes.items()]
        return {
            "weights": shapes,
            "dtype": self.parameters.vector.dtype.name,
            "optimizer": repr(self._optimizer),
            "schedule": repr(self._schedule),
            "clip_norm": self._clip_norm,
        }

    def _check_order(self, order: Order, batch_size: int) -> None:
        """A training that goes on must see the rows in the order it began with."""
        facts = [order.n_rows, batch_size, order.seed]
        known = getattr(self, "_order_facts", None)
        if self.history.step and known is not None and known != facts:
            raise InputError(
                f"the training began with (rows, batch_size, seed) = {known}, "
                f"got {facts}"
            )
        self._order_facts = facts
