"""What a learner is given, and what it gives back.

Enters: a model that serves, and labelled rows cut into those that are learned from and
those that choose. Leaves: a `Candidate`. Rows that prove a candidate are not here: no
learner sees them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from trimtab.gates.rows import Rows
from trimtab.update.head import Head, features, find_head

if TYPE_CHECKING:
    from trimtab.evaluate.task import Task
    from trimtab.graph import Model as GraphModel
    from trimtab.model import Model
    from trimtab.types import Array
    from trimtab.update.statistics import HeadStatistics

__all__ = ["Candidate", "LearnContext", "Learner", "Rows", "answers"]


@dataclass(frozen=True, eq=False)
class LearnContext:
    """All that a learner may use.

    Parameters
    ----------
    model : trimtab.Model
        The one that serves; is not changed.
    graph : trimtab.graph.Model
        Its graph as it was read; is not changed.
    fit, select : Rows
        To learn from, and to choose with.
    replay : Rows or None
        Old rows that must not be forgotten.
    task : Task
        What is asked of the model. Labels of classes are their numbers.
    statistics : HeadStatistics or None
        What is kept of old rows that are no longer there.
    seconds_left : callable
        () -> float; infinite where there is no budget.
    seed : int
    progress : bool
        May it tell how far it is?
    output : str
        Which output of the model counts; the first one by default.
    n_new_classes : int
        Classes that the labels have beyond those of the model, with the next numbers.
    train_fn : callable or None
        The user's own training, for "delegate".
    forget : float
        How much worse the metric may become on old rows.
    """

    model: Model
    graph: GraphModel
    fit: Rows
    select: Rows
    replay: Rows | None
    task: Task
    statistics: HeadStatistics | None = None
    seconds_left: Callable[[], float] = lambda: float("inf")
    seed: int = 0
    progress: bool = False
    output: str = ""
    n_new_classes: int = 0
    train_fn: Callable[..., Any] | None = None
    forget: float = 0.01
    _kept: dict[Any, tuple[Rows, Array]] = field(default_factory=dict, repr=False)

    @cached_property
    def head(self) -> Head:
        """The dense layer at the model's end.

        Raises
        ------
        UnsupportedOpError
            It does not end in one.
        """
        return find_head(self.graph, output=self.output or None)

    def features(self, rows: Rows) -> Array:
        """Give what the head reads of rows; computed once for each `Rows`.

        Parameters
        ----------
        rows : Rows

        Returns
        -------
        features : ndarray of shape (n, n_features)
        """
        make = lambda: features(self.model, self.head, rows.inputs)  # noqa: E731
        return self._once("features", rows, make)

    def answers(self, rows: Rows) -> Array:
        """Give what the model answers to rows; computed once for each `Rows`.

        Parameters
        ----------
        rows : Rows

        Returns
        -------
        outputs : ndarray of shape (n, ...)
        """
        make = lambda: answers(self.model, rows, self.output)  # noqa: E731
        return self._once("answers", rows, make)

    def _once(self, what: str, rows: Rows, make: Callable[[], Array]) -> Array:
        known = self._kept.get((what, id(rows)))
        if known is None or known[0] is not rows:
            known = self._kept[what, id(rows)] = (rows, make())
        return known[1]

    def build(self, graph: GraphModel) -> Model:
        """Load a changed graph, with all that the model has beside its own.

        Parameters
        ----------
        graph : trimtab.graph.Model

        Returns
        -------
        model : trimtab.Model
        """
        made = self.model.rewritten(lambda _: graph)
        assert made is not None  # it fits: nothing was asked
        made.pipeline = self.model.pipeline
        return made


def answers(model: Model, rows: Rows, output: str = "") -> Array:
    """Give what a model answers to rows.

    Parameters
    ----------
    model : trimtab.Model
    rows : Rows
    output : str, default=""
        Which output; the first one by default.

    Returns
    -------
    outputs : ndarray of shape (n, ...)

    Examples
    --------
    >>> answers(model, rows).shape                         # doctest: +SKIP
    (200, 10)
    """
    from trimtab.evaluate.data import take
    from trimtab.evaluate.predict import make_predictor

    predict = make_predictor(model, output=output or None)
    step, n = predict.batch_size, len(rows)
    parts = [(i, min(i + step, n)) for i in range(0, n, step)]
    found = [predict(take(rows.inputs, *part), part[1] - part[0]) for part in parts]
    return np.concatenate(found)


@dataclass(frozen=True, eq=False)
class Candidate:
    """A model that might replace the one that serves.

    Parameters
    ----------
    model : trimtab.Model
    method : str
        Key of `trimtab.update.LEARNERS`.
    detail : dict
        What was chosen on the way, as plain values: for reports.
    seconds : float
        What learning took.
    statistics : HeadStatistics or None
        To be kept, so that its rows need not be.
    """

    model: Model
    method: str
    detail: dict[str, Any]
    seconds: float
    statistics: HeadStatistics | None = None


@dataclass(frozen=True)
class Learner:
    """One way to learn: an entry of `trimtab.update.LEARNERS`.

    Parameters
    ----------
    learn : callable
        `LearnContext` -> `Candidate`. What it cannot do for this model, task or data
        it refuses with a `TrimtabError` that says why.
    does : str
        For people.
    is_auto : bool, default=True
        Does ``method="auto"`` try it?
    """

    learn: Callable[[LearnContext], Candidate]
    does: str
    is_auto: bool = True
