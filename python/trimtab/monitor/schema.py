"""Which tensors become which features.

Enters: what a model takes and gives (arrays by name). Leaves: tables, one for each
tensor that is watched, with a row for each sample and a column for each feature. The
kinds are in `KINDS`; pictures, sound and token ids go through
`trimtab.monitor.descriptors`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from trimtab.errors import InputError
from trimtab.signature import TensorSpec
from trimtab.types import Array

if TYPE_CHECKING:
    from trimtab.model import Model

__all__ = ["KINDS", "TableSpec", "class_scores", "plan_tables", "scores_of"]

MAX_COLUMNS = 512
#: Longest first rows of an output that are looked at to tell what it is.
_N_PROBED = 256
#: More outputs than this are no classes, unless the model has names for them.
_MAX_CLASSES = 65536
# Kinds that have descriptors.
_DESCRIBED = ("image", "audio", "text", "vector")

Rows = npt.NDArray[Any]
Reader = Callable[[Array, dict[str, float]], Rows]


@dataclass(frozen=True)
class TableSpec:
    """One tensor as a table.

    Parameters
    ----------
    name : str
        ``input/x``, ``output/probs``, ``tap/pool``; or ``data``.
    kind : str
        A key of `KINDS`.
    features : tuple of str
        Names of the columns.
    categorical : tuple of str
        Those of them that are categories.
    options : tuple of (str, float)
        Of `trimtab.monitor.descriptors.describe`: the channel axis, ...
    chosen : tuple of int
        Which of the columns that the kind gives; empty: all.
    """

    name: str
    kind: str
    features: tuple[str, ...]
    categorical: tuple[str, ...] = ()
    options: tuple[tuple[str, float], ...] = ()
    chosen: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Refuse kinds that nobody knows, and names that stand twice."""
        if self.kind not in KINDS:
            raise InputError(
                f"table {self.name!r}: kind {self.kind!r} is not known; there are "
                f"{', '.join(KINDS)}"
            )
        if len(set(self.features)) != len(self.features):
            raise InputError(f"table {self.name!r}: a feature's name stands twice")

    @property
    def side(self) -> str:
        """Of the model: "input", "output" or "tap"; "data" without a model."""
        return self.name.partition("/")[0]

    @property
    def tensor(self) -> str:
        """Name of the tensor."""
        return self.name.partition("/")[2]

    @property
    def is_raw(self) -> bool:
        """Are the columns those of the tensor, so that C can count them in the call?"""
        return self.kind in ("columns", "value")

    def without_redundant(self, rows: Rows) -> tuple[TableSpec, Rows]:
        """Leave out descriptors that say nothing: without a value, or equal to others.

        Parameters
        ----------
        rows : ndarray of shape (n_rows, n_features)
            Of the reference.

        Returns
        -------
        spec : TableSpec
        rows : ndarray
        """
        if self.kind not in _DESCRIBED or not len(rows):
            return self, rows
        seen: dict[bytes, int] = {}
        for i in range(rows.shape[1]):
            column = np.ascontiguousarray(rows[:, i])
            if not np.isnan(column).all():
                seen.setdefault(column.tobytes(), i)
        kept = sorted(seen.values())
        if not kept or len(kept) == rows.shape[1]:
            return self, rows
        names = tuple(self.features[i] for i in kept)
        return replace(self, features=names, chosen=tuple(kept)), rows[:, kept]

    def rows(self, array: Any) -> Rows:
        """Compute the table of a tensor.

        Parameters
        ----------
        array : ndarray
            With a row for each sample along axis 0.

        Returns
        -------
        rows : ndarray of shape (n_rows, n_features)

        Raises
        ------
        InputError
            The tensor does not have the shape that the features were made for.
        """
        rows = KINDS[self.kind](np.asarray(array), dict(self.options))
        if self.chosen and rows.ndim == 2 and rows.shape[1] > max(self.chosen):
            rows = rows[:, self.chosen]
        if rows.ndim != 2 or rows.shape[1] != len(self.features):
            raise InputError(
                f"table {self.name!r}: expected {len(self.features)} features, got an "
                f"array of shape {np.shape(array)}"
            )
        return rows


# ---- kinds ---------------------------------------------------------------------------


def _columns(array: Array, options: dict[str, float]) -> Rows:
    return array.reshape(-1, 1) if array.ndim < 2 else array.reshape(len(array), -1)


def scores_of(array: Array) -> npt.NDArray[np.float64]:
    """Take a classifier's outputs as probabilities.

    Parameters
    ----------
    array : ndarray of shape (n_rows, n_classes)
        Probabilities, or logits: those go through a softmax.

    Returns
    -------
    scores : ndarray of float64, of shape (n_rows, n_classes)
        NaN in the rows that hold one.

    Examples
    --------
    >>> scores_of(np.array([[0.0, 0.0], [0.9, 0.1]]))
    array([[0.5, 0.5],
           [0.9, 0.1]])
    """
    x = np.asarray(array, np.float64).reshape(len(array), -1)
    with np.errstate(invalid="ignore", over="ignore"):
        off = np.abs(x.sum(axis=1) - 1)
        is_share = np.asarray((x >= 0).all(axis=1) & (off < 1e-2)).reshape(-1)
        if bool(is_share.all()):
            return x
        shifted = np.exp(x - x.max(axis=1, keepdims=True))
        soft = shifted / shifted.sum(axis=1, keepdims=True)
    soft[is_share] = x[is_share]
    found: npt.NDArray[np.float64] = soft
    return found


def class_scores(array: Array) -> Rows:
    """Give predicted class, confidence and entropy of a classifier's outputs.

    Parameters
    ----------
    array : ndarray of shape (n_rows, n_classes)
        Probabilities or logits.

    Returns
    -------
    rows : ndarray of float64, of shape (n_rows, 3)
        The class is NaN where a score is; entropy in nats.

    Examples
    --------
    >>> class_scores(np.array([[0.25, 0.75]])).round(3)
    array([[1.   , 0.75 , 0.562]])
    """
    scores = scores_of(array)
    lost: Array = ~np.asarray(np.isfinite(scores).all(axis=1))
    rows = np.empty((len(scores), 3))
    rows[:, 0] = np.argmax(np.where(lost[:, None], 0, scores), axis=1)
    rows[:, 1] = scores.max(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.where(scores > 0, np.log(scores), 0)
        rows[:, 2] = np.maximum(-(scores * logs).sum(axis=1), 0)
    rows[lost] = np.nan
    return rows


def _described(kind: str) -> Reader:
    def rows(array: Array, options: dict[str, float]) -> Rows:
        from trimtab.monitor.descriptors import describe

        return np.asarray(describe(kind, array, **options))

    return rows


#: Kind of a table -> from a tensor, and options, to rows of features.
KINDS: dict[str, Reader] = {
    "columns": _columns,
    "value": _columns,
    "class": lambda array, options: class_scores(array),
    "label": _columns,
    "image": _described("image"),
    "audio": _described("audio"),
    "text": _described("text"),
    "vector": _described("vector"),
}


# ---- planning ------------------------------------------------------------------------


def _input_kind(spec: TensorSpec, array: Array, pipeline: Any) -> str | None:
    """What an input is; None: nothing to watch."""
    from trimtab.monitor.descriptors import guess_kind

    name = spec.name.lower()
    if array.ndim == 0 or array.dtype.kind not in "biuf":
        return None
    if any(part in name for part in ("mask", "position", "token_type")):
        return None
    kind = guess_kind(spec, pipeline)
    is_table = array.ndim <= 2 and np.size(array[:1]) <= MAX_COLUMNS
    return "columns" if kind == "vector" and is_table else kind


def _spec_of(name: str, array: Array, model: Model | None) -> TensorSpec:
    """As the model says; or by the array, whose first dim counts samples."""
    specs = () if model is None else model.inputs
    known = next((spec for spec in specs if spec.name == name), None)
    if known is not None and known.shape is not None:
        return known
    return TensorSpec(name, array.dtype.name, ("N", *array.shape[1:]))


def _output_kind(array: Array, has_names: bool) -> str | None:
    """What an output is, by its shape and first values."""
    if array.ndim == 0 or array.dtype.kind not in "biuf":
        return None
    if np.size(array[:1]) == 1:
        return "label" if array.dtype.kind in "biu" else "value"
    if array.ndim != 2 or array.dtype.kind != "f":
        return "vector"
    first = np.asarray(array[:_N_PROBED], np.float64)
    is_unit = bool(np.all(np.abs(np.square(first).sum(axis=1) - 1) < 1e-3))
    is_share = bool((first >= 0).all()) and bool(
        (np.abs(first.sum(axis=1) - 1) < 1e-2).all()
    )
    if has_names or is_share:
        return "class"
    return "vector" if is_unit or array.shape[1] > _MAX_CLASSES else "class"


def _features(kind: str, tensor: str, array: Array, is_only: bool) -> tuple[str, ...]:
    before = "" if is_only else f"{tensor}."
    if kind == "class":
        return tuple(f"{tensor}.{what}" for what in ("class", "confidence", "entropy"))
    if kind in ("columns", "value", "label"):
        count = int(np.size(array[:1])) if array.ndim > 1 else 1
        if count == 1:
            return (tensor,)
        return tuple(f"{tensor}[{i}]" for i in range(count))
    from trimtab.monitor.descriptors import names

    return tuple(f"{before}{name}" for name in names(kind))


def plan_tables(
    inputs: Mapping[str, Array],
    outputs: Mapping[str, Array],
    *,
    taps: Mapping[str, Array] | None = None,
    model: Model | None = None,
    kinds: Mapping[str, str] | None = None,
    names: Mapping[str, Sequence[str]] | Sequence[str] | None = None,
    categorical: Sequence[str] = (),
) -> tuple[TableSpec, ...]:
    """Decide what to watch of a model.

    Parameters
    ----------
    inputs, outputs : mapping of str to ndarray
        Samples; the first values of the outputs tell probabilities from others.
    taps : mapping of str to ndarray, optional
        Tensors in the middle.
    model : Model, optional
        Its names of classes are looked at.
    kinds : mapping of str to str, optional
        Tensor -> key of `KINDS`, or "ignore", where the guess is wrong.
    names : sequence of str, or mapping of str to sequence of str, optional
        Of the columns; a plain sequence belongs to the only input of columns.
    categorical : sequence of str, optional
        Features that are categories.

    Returns
    -------
    tables : tuple of TableSpec

    Raises
    ------
    InputError
        A name or a kind fits nothing.

    Examples
    --------
    >>> x, p = np.zeros((2, 3), np.float32), np.full((2, 4), 0.25, np.float32)
    >>> for table in plan_tables({"x": x}, {"p": p}):
    ...     print(table.name, table.kind, table.features)
    input/x columns ('x[0]', 'x[1]', 'x[2]')
    output/p class ('p.class', 'p.confidence', 'p.entropy')
    """
    kinds = dict(kinds or {})
    has_names = model is not None and model.class_names is not None
    pipeline = None if model is None else model.pipeline
    guessed: list[tuple[str, str, str, Array]] = []
    sides = (("input", inputs), ("output", outputs), ("tap", taps or {}))
    for side, arrays in sides:
        for tensor, given in arrays.items():
            array = np.asarray(given)
            if tensor in kinds:
                kind: str | None = kinds.pop(tensor)
            elif side == "input":
                spec = _spec_of(tensor, array, model)
                kind = _input_kind(spec, array, pipeline)
            elif side == "tap":
                kind = "vector"
            else:
                kind = _output_kind(array, has_names)
            if kind is not None and kind != "ignore":
                guessed.append((side, tensor, kind, array))
    if kinds:
        raise InputError(
            f"kinds: there is no tensor {next(iter(kinds))!r}; there are "
            f"{[*inputs, *outputs, *(taps or {})]}"
        )
    named = _named(names, guessed)
    n_inputs = sum(side == "input" for side, *_ in guessed)
    tables = []
    for side, tensor, kind, array in guessed:
        features = named.get(tensor) or _features(
            kind, tensor, array, side == "input" and n_inputs == 1
        )
        chosen = {*categorical, *_own_categories(kind, features)}
        options: dict[str, Any] = {}
        if side == "input" and kind in _DESCRIBED:
            from trimtab.monitor.descriptors import guess_options

            options = guess_options(kind, _spec_of(tensor, array, model), pipeline)
        tables.append(
            TableSpec(
                f"{side}/{tensor}",
                kind,
                features,
                tuple(name for name in features if name in chosen),
                tuple(sorted(options.items())),
            )
        )
    _check_categorical(categorical, tables)
    return tuple(tables)


def _own_categories(kind: str, features: tuple[str, ...]) -> tuple[str, ...]:
    return {"class": features[:1], "label": features}.get(kind, ())


def _named(names: Any, guessed: list[tuple[str, str, str, Array]]) -> Any:
    """Names of columns by tensor."""
    if names is None:
        return {}
    if isinstance(names, Mapping):
        return {tensor: tuple(map(str, given)) for tensor, given in names.items()}
    tables = [t for side, t, kind, _ in guessed if (side, kind) == ("input", "columns")]
    if len(tables) != 1 or isinstance(names, str):
        raise InputError(
            "names: expected names of the columns by input, since the inputs of "
            f"columns are {tables}"
        )
    return {tables[0]: tuple(map(str, names))}


def _check_categorical(categorical: Sequence[str], tables: list[TableSpec]) -> None:
    known = {name for table in tables for name in table.features}
    for name in categorical:
        if name not in known:
            raise InputError(
                f"categorical: there is no feature {name!r}; there are "
                f"{sorted(known)[:20]}"
            )
