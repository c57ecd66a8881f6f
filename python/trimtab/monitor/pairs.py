"""Predictions and labels, made small enough to keep and checked before they are joined.

Enters: rows of a model's output, and what users call a label. Leaves: a class, scores
or numbers, whichever the metrics need; or an `InputError`, so that no odd label ever
reaches an accumulator.
"""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np

from trimtab.errors import InputError, InputTypeError
from trimtab.monitor.schema import scores_of
from trimtab.types import Array

__all__ = ["PairReader", "Prediction", "short_key"]

# Longer ids are kept as their digest, longer texts are no classes.
_MAX_TEXT = 256
# Numbers of one label or prediction.
_MAX_VALUES = 4096
# Classes that are told apart where the outputs do not say how many there are.
_MAX_CLASSES = 1024


class Prediction(NamedTuple):
    """What is kept of one row of an output.

    Parameters
    ----------
    label : int, str or None
        The predicted class.
    scores : ndarray, float or None
        Probabilities of the classes; of two classes that of the second one.
    values : tuple of float or None
    """

    label: int | str | None = None
    scores: Any = None
    values: tuple[float, ...] | None = None

    @property
    def nbytes(self) -> int:
        """About how much memory it takes."""
        return (
            200 + int(getattr(self.scores, "nbytes", 0)) + 32 * len(self.values or ())
        )


class PairReader:
    """Reads predictions and labels for metrics.

    Parameters
    ----------
    needs : set of str
        Of the metrics: "labels", "scores" or "values".
    classes : sequence of str, optional
        Names of the classes; labels may be given by name then.
    threshold : float, default=0.5
        From which score on a single output means class 1.

    Raises
    ------
    InputError
        Metrics of classes and of numbers together, or of something else.

    Examples
    --------
    >>> reader = PairReader({"labels"}, classes=["cat", "dog"])
    >>> reader.predictions(np.array([[0.2, 0.8], [0.9, 0.1]]))[0].label
    1
    >>> reader.label("dog")
    1
    """

    def __init__(
        self,
        needs: set[str],
        *,
        classes: Sequence[str] | None = None,
        threshold: float = 0.5,
    ) -> None:
        if not needs or not (needs <= {"labels", "scores"} or needs == {"values"}):
            raise InputError(
                "labels: expected metrics of classes (that need labels or scores) or "
                f"metrics of numbers (that need values), got some that need "
                f"{sorted(needs)}"
            )
        self.needs = frozenset(needs)
        self.threshold = threshold
        self._names = {str(name): i for i, name in enumerate(classes or ())}
        self._n_columns: int | None = None
        self._is_text: bool | None = None
        self._seen: set[int | str] = set()

    def copy(self) -> PairReader:
        """Give one that has seen the same and goes its own way.

        Returns
        -------
        other : PairReader
        """
        other = copy.copy(self)
        other._seen = set(self._seen)
        return other

    def merge(self, other: PairReader) -> None:
        """Know what another one has seen.

        Parameters
        ----------
        other : PairReader

        Raises
        ------
        InputError
            It has seen another model.
        """
        for name in ("_n_columns", "_is_text"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if None not in (mine, theirs) and mine != theirs:
                raise InputError(
                    "merge: these are predictions of another model: classes "
                    f"{mine!r} here, {theirs!r} there"
                )
            setattr(self, name, theirs if mine is None else mine)
        self._seen |= other._seen

    # ---- predictions ----------------------------------------------------------------

    def predictions(self, outputs: Any) -> list[Prediction | None]:
        """Read rows of an output.

        Parameters
        ----------
        outputs : array-like of shape (n, ...)

        Returns
        -------
        predictions : list of Prediction or None
            None: the row holds NaN, an infinity, or another kind of class than before.

        Raises
        ------
        InputError
            It has another shape than the metrics need.
        """
        rows = np.asarray(outputs)
        if rows.ndim == 0:
            rows = rows[None]
        if rows.dtype.kind not in "biufUSO":
            raise InputTypeError(f"predictions: expected numbers, got {rows.dtype}")
        if not len(rows):
            return []
        width = rows[0].size
        if not 1 <= width <= (_MAX_VALUES if "values" in self.needs else 1 << 20):
            raise InputError(
                f"predictions: expected 1 to {_MAX_VALUES} numbers for a row, got "
                f"{width}"
            )
        rows = rows.reshape(len(rows), width)
        if "values" in self.needs:
            return _values_of(rows)
        if width == 1:
            return [self._single(x) for x in rows[:, 0].tolist()]
        return self._columns(rows)

    def _columns(self, rows: Array) -> list[Prediction | None]:
        if rows.dtype.kind not in "biuf" or self._is_text:
            raise InputTypeError(
                f"predictions: expected a score for each class, got {rows.dtype}"
            )
        if self._n_columns not in (None, rows.shape[1]):
            raise InputError(
                f"predictions: expected scores of {self._n_columns} classes as before, "
                f"got {rows.shape[1]}"
            )
        self._n_columns, self._is_text = rows.shape[1], False
        is_good = np.atleast_1d(np.isfinite(rows).all(axis=1)).tolist()
        places = rows.argmax(axis=1).tolist()
        if "scores" not in self.needs:
            return [
                Prediction(place) if good else None
                for place, good in zip(places, is_good, strict=True)
            ]
        scores = scores_of(rows)
        kept = (
            scores[:, 1].tolist() if rows.shape[1] == 2 else [x.copy() for x in scores]
        )
        return [
            Prediction(place, score) if good else None
            for place, score, good in zip(places, kept, is_good, strict=True)
        ]

    def _single(self, value: Any) -> Prediction | None:
        """A class, or the score of class 1 of two."""
        if isinstance(value, bytes):
            value = value.decode(errors="replace")
        is_text = isinstance(value, str)
        if self._is_text is None:
            self._is_text = is_text
        if is_text != self._is_text or (is_text and len(value) > _MAX_TEXT):
            return None
        if is_text or isinstance(value, bool | int):
            score = float(value) if not is_text else None
            place = self._known(value if is_text else int(value))
            return None if place is None else Prediction(place, score)
        if not isinstance(value, float) or not math.isfinite(value):
            return None
        if 0 <= value <= 1:
            return Prediction(int(value >= self.threshold), value)
        place = self._known(int(value)) if value == int(value) else None
        return None if place is None else Prediction(place, value)

    def _known(self, label: int | str) -> int | str | None:
        """The class, unless there are too many to be classes."""
        if label not in self._seen:
            if len(self._seen) >= _MAX_CLASSES:
                return None
            self._seen.add(label)
        return label

    # ---- labels ---------------------------------------------------------------------

    def label(self, y: Any) -> Any:
        """Read a label.

        Parameters
        ----------
        y : object
            A class by number or name, or one or more numbers.

        Returns
        -------
        label : int, str or tuple of float

        Raises
        ------
        InputError
            It is none.
        """
        if isinstance(y, np.generic) or (hasattr(y, "tolist") and np.size(y) == 1):
            y = np.asarray(y).reshape(()).item()
        if "values" in self.needs:
            return _label_values(y)
        if isinstance(y, bytes):
            y = y.decode(errors="replace")
        if isinstance(y, str) and len(y) <= _MAX_TEXT:
            return self._names.get(y, y)
        if isinstance(y, bool | int) and abs(int(y)) < 1 << 63:
            return int(y)
        if isinstance(y, float) and abs(y) < 2**53 and y == int(y):
            return int(y)
        raise InputError(
            f"label: expected a class, by its number or name, got {str(y)[:80]!r}"
        )

    def check(self, prediction: Prediction, label: Any) -> None:
        """Refuse a label that no metric could take together with the prediction.

        Parameters
        ----------
        prediction : Prediction
        label : object
            Of `label`.

        Raises
        ------
        InputError
            It is of another kind, or of a class that there is not.
        """
        if "values" in self.needs:
            n_values = len(prediction.values or ())
            if len(label) != n_values:
                raise InputError(
                    f"label: expected {n_values} numbers as the prediction has, got "
                    f"{len(label)}"
                )
            return
        if isinstance(label, str) != bool(self._is_text):
            raise InputError(
                f"label: expected a class as predictions have it, as "
                f"{prediction.label!r}, got {label!r}"
            )
        n = self._n_columns
        if n is not None and not 0 <= label < n:
            raise InputError(f"label: expected a class from 0 to {n - 1}, got {label}")
        if n is None and self._known(label) is None:
            raise InputError(
                f"label: expected at most {_MAX_CLASSES} classes; are these numbers, "
                "and the metric one of values?"
            )


def _values_of(rows: Array) -> list[Prediction | None]:
    if rows.dtype.kind not in "biuf":
        raise InputTypeError(f"predictions: expected numbers, got {rows.dtype}")
    numbers = rows.astype(np.float64)
    is_good = np.atleast_1d(np.isfinite(numbers).all(axis=1)).tolist()
    return [
        Prediction(values=tuple(row)) if good else None
        for row, good in zip(numbers.tolist(), is_good, strict=True)
    ]


def _label_values(y: Any) -> tuple[float, ...]:
    try:
        numbers = np.asarray(y, np.float64).ravel()
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"label: expected numbers, got {str(y)[:80]!r}") from None
    if not 1 <= numbers.size <= _MAX_VALUES or not np.isfinite(numbers).all():
        raise InputError(f"label: expected finite numbers, got {str(y)[:80]!r}")
    return tuple(numbers.tolist())


def short_key(request_id: Any) -> Hashable:
    """Give an id as something small to look up.

    Parameters
    ----------
    request_id : hashable

    Returns
    -------
    key : hashable
        Long texts become their digest.

    Raises
    ------
    InputError
        It cannot be looked up.

    Examples
    --------
    >>> short_key("r-1")
    'r-1'
    >>> len(short_key("r" * 1000))
    16
    """
    if isinstance(request_id, str | bytes) and len(request_id) > _MAX_TEXT:
        data = (
            request_id.encode(errors="surrogatepass")
            if isinstance(request_id, str)
            else request_id
        )
        return hashlib.blake2b(data, digest_size=16).digest()
    if isinstance(request_id, np.generic):
        request_id = request_id.item()
    try:
        hash(request_id)
    except TypeError:
        raise InputTypeError(
            "request id: expected something hashable, as a text or a number, got "
            f"{type(request_id).__name__}"
        ) from None
    key: Hashable = request_id
    return key
