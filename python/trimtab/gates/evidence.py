"""What is known of a candidate and of the champion that it would replace.

Enters: two models and labelled rows. Leaves: `Evidence`, which runs each model once on
each set of rows, when a gate first asks, and keeps what came out.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from trimtab.errors import InputError
from trimtab.evaluate.task import Task
from trimtab.gates.rows import Rows
from trimtab.optimize.metrics import Metric, check_labels, default_metric, find_metric
from trimtab.types import Array

if TYPE_CHECKING:
    from trimtab.model import Model

__all__ = ["Evidence"]

# Rows of one call: a model's working memory grows with them.
_N_ROWS = 256


@dataclass(frozen=True, eq=False)
class Evidence:
    """All that gates look at.

    Parameters
    ----------
    champion : Model
        What serves.
    candidate : Model or path
        What would replace it. A path is a file that nobody trusts: it is loaded in
        this process only after the gate "golden" has loaded it in another one.
    guard : Rows
        New labelled rows that neither learning nor selection saw.
    reference : Rows, optional
        Old labelled rows that were kept, and that no update learns from.
    new : Rows, optional
        What the candidate has learned from, without what was replayed of old rows.
    task : Task, optional
        Found out by default.
    metric : str, callable or Metric, default="auto"
        As in `optimize_model`.
    margin : float, default=0.0
        How much worse the metric may be on the guard set.
    forget : float, default=0.01
        How much worse it may be on the reference set.
    alpha : float, default=0.05
        Of every bound and test.
    slices : mapping of str to array, optional
        Masks or values for each row of the guard set; classes are slices of their own.
    slice_margin : float, default=0.05
        How much worse a class or slice may be.
    latency_factor, memory_factor : float, default=1.5
        How many times those of the champion are borne.
    label_noise : float, default=0.025
        Share of wrong labels that is borne beyond that of the reference set.
    outlier_share : float, default=0.02
        Share of strange rows that is borne beyond that of the reference set.
    may_grow : bool, default=False
        The candidate may know more classes than the champion.
    fit : callable, optional
        Rows -> Model: learns a candidate anew, for cross-validation.
    folds : int, default=5
    seed : int, default=0

    Raises
    ------
    InputError
        Rows do not fit together.
    """

    champion: Model
    candidate: Model | str | os.PathLike[str]
    guard: Rows
    reference: Rows | None = None
    new: Rows | None = None
    task: Task | None = None
    metric: str | Callable[[Any, Any], Any] | Metric = "auto"
    margin: float = 0.0
    forget: float = 0.01
    alpha: float = 0.05
    slices: Mapping[str, Array] | None = None
    slice_margin: float = 0.05
    latency_factor: float = 1.5
    memory_factor: float = 1.5
    label_noise: float = 0.025
    outlier_share: float = 0.02
    may_grow: bool = False
    fit: Callable[[Rows], Model] | None = None
    folds: int = 5
    seed: int = 0
    _kept: dict[Any, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        """Refuse what fits nothing, before anything runs."""
        for name in ("guard", "reference", "new"):
            rows = getattr(self, name)
            if rows is not None:
                _check_rows(name, rows)
        for name in (
            "margin",
            "forget",
            "slice_margin",
            "label_noise",
            "outlier_share",
        ):
            _check_number(name, getattr(self, name), 0.0)
        for name in ("latency_factor", "memory_factor"):
            _check_number(name, getattr(self, name), 1.0)
        if not 0 < self.alpha < 0.5:
            raise InputError(f"alpha: expected a number in (0, 0.5), got {self.alpha}")

    # ---- models -------------------------------------------------------------

    @property
    def is_file(self) -> bool:
        """Is the candidate a file that is not loaded yet?"""
        return isinstance(self.candidate, str | os.PathLike)

    def model(self, who: str) -> Model:
        """Give one of the models; a candidate's file is loaded once.

        Parameters
        ----------
        who : {"champion", "candidate"}

        Returns
        -------
        model : Model
        """
        if who == "champion":
            return self.champion
        if not self.is_file:
            return self.candidate  # type: ignore[return-value]

        def load() -> Any:
            from trimtab.load import load_model

            return load_model(os.fspath(self.candidate))  # type: ignore[arg-type]

        found: Model = self.once("candidate", load)
        return found

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        """Compute something that several gates need the first time it is asked for.

        Parameters
        ----------
        key : hashable
        make : callable

        Returns
        -------
        value : object
        """
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]

    # ---- rows ---------------------------------------------------------------

    def rows(self, name: str) -> Rows:
        """Give one of the sets of rows.

        Parameters
        ----------
        name : {"guard", "reference", "new"}

        Returns
        -------
        rows : Rows

        Raises
        ------
        InputError
            There are none.
        """
        found: Rows | None = getattr(self, name)
        if found is None:
            raise InputError(
                f"{name}: there are no such rows, and this gate needs them"
            )
        return found

    def outputs(self, who: str, name: str) -> Array:
        """Give what a model answers to a set of rows.

        Parameters
        ----------
        who : {"champion", "candidate"}
        name : {"guard", "reference", "new"}

        Returns
        -------
        outputs : ndarray
            Of shape (n, ...): the output that counts.
        """
        found: Array = self.once(
            ("outputs", who, name), lambda: self.answer(who, self.rows(name).inputs)
        )
        return found

    def answer(self, who: str, inputs: Mapping[str, Array]) -> Array:
        """Give what a model answers to any rows.

        Parameters
        ----------
        who : {"champion", "candidate"}
        inputs : mapping of str to ndarray

        Returns
        -------
        outputs : ndarray
            Of shape (n, ...).
        """
        from trimtab.evaluate.data import take
        from trimtab.evaluate.predict import make_predictor

        predictor = self.once(
            ("predictor", who), lambda: make_predictor(self.model(who))
        )
        n = len(next(iter(inputs.values())))
        parts = [
            predictor(take(inputs, i, min(i + _N_ROWS, n)), min(i + _N_ROWS, n) - i)
            for i in range(0, n, _N_ROWS)
        ]
        return np.concatenate(parts)

    def one_call(self, who: str) -> dict[str, Array]:
        """Give guard rows for one call: one row, or the batch that the model takes.

        Parameters
        ----------
        who : {"champion", "candidate"}

        Returns
        -------
        inputs : dict of str to ndarray
        """
        dims = [spec.shape[0] for spec in self.model(who).inputs if spec.shape]
        n = next((dim for dim in dims if isinstance(dim, int)), 1)
        places = np.arange(n) % len(self.guard.labels)
        return {name: array[places] for name, array in self.guard.inputs.items()}

    # ---- the task -----------------------------------------------------------

    def found_task(self) -> Task:
        """Give the task, found out where nobody said."""
        if self.task is not None:
            return self.task
        from trimtab.evaluate.recognise import recognise

        labels = self.guard.labels
        found: Task = self.once(
            "task",
            lambda: recognise(
                labels, self.outputs(self._knows_most(), "guard"), all_labels=labels
            ),
        )
        return found

    @property
    def is_classifier(self) -> bool:
        """Is there one class for each row?"""
        task = self.found_task()
        return task.kind in ("binary", "multiclass") and self.guard.labels.ndim <= 2

    def codes(self, name: str) -> Array:
        """Give the classes of rows as numbers.

        Parameters
        ----------
        name : {"guard", "reference", "new"}

        Returns
        -------
        codes : ndarray of int64, shape (n,)
        """
        labels = np.asarray(self.rows(name).labels)
        found: Array = self.once(
            ("codes", name),
            lambda: np.asarray(self.found_task().encode(labels)).reshape(len(labels)),
        )
        return found

    def answered(self, who: str, name: str) -> Array:
        """Give the classes that a model answers, as numbers.

        Parameters
        ----------
        who : {"champion", "candidate"}
        name : {"guard", "reference", "new"}

        Returns
        -------
        codes : ndarray of int64, shape (n,)
        """
        outputs = self.outputs(who, name)
        return self.found_task().labels_of(outputs).reshape(len(outputs))

    def found_metric(self) -> Metric:
        """Give the metric that decides."""
        if self.metric != "auto":
            return find_metric(self.metric)
        chosen, _ = default_metric(
            self.truth("guard"), self.outputs("champion", "guard"), is_classifier=False
        )
        return chosen

    def truth(self, name: str) -> Array:
        """Give labels as metrics take them: classes as numbers.

        Parameters
        ----------
        name : {"guard", "reference", "new"}

        Returns
        -------
        labels : ndarray
        """
        if self.is_classifier:
            return self.codes(name)
        return np.asarray(self.rows(name).labels)

    def check_metric(self) -> None:
        """Refuse labels that do not fit the metric."""
        outputs = self.outputs(self._knows_most(), "guard")
        check_labels(self.found_metric(), self.truth("guard"), outputs)

    def _knows_most(self) -> str:
        """Whose outputs have all the classes."""
        return "candidate" if self.may_grow else "champion"


def _check_number(name: str, value: Any, least: float) -> None:
    if not isinstance(value, int | float) or not least <= value < float("inf"):
        raise InputError(f"{name}: expected a number from {least:g}, got {value!r}")


def _check_rows(name: str, rows: Rows) -> None:
    lengths = {key: len(array) for key, array in rows.inputs.items()}
    n = len(rows.labels)
    if not lengths or n == 0 or set(lengths.values()) != {n}:
        raise InputError(
            f"{name}: expected a label for each row of every input, and some rows; got "
            f"{n} labels and {lengths}"
        )
