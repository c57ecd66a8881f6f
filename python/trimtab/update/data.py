"""New labelled data for a model, checked before anything is learned from them.

Enters: data in any form that `evaluate_model` takes, and what serves. Leaves:
`UpdateData`: arrays by the model's inputs, labels as numbers of classes, and what was
left out. All that is wrong is told at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from trimtab.errors import InputError
from trimtab.evaluate.data import open_data
from trimtab.gates.rows import Rows, row_digests
from trimtab.update.classes import Classes, read_classes
from trimtab.update.context import answers

if TYPE_CHECKING:
    from trimtab.evaluate.task import Task
    from trimtab.model import Model
    from trimtab.pipeline import Pipeline
    from trimtab.types import Array

__all__ = ["UpdateData", "open_update_data", "serving"]

# Columns that name rows.
_IDS = ("id", "ids", "request_id")
# Rows that the model answers to say what is asked of it.
_N_PROBE = 32


@dataclass(frozen=True, eq=False)
class UpdateData:
    """Labelled rows for a model.

    Parameters
    ----------
    rows : Rows
        Labels of classes are their numbers.
    task : Task
    reading : Task
        The same for labels as they are given.
    ids : ndarray of shape (n,)
        Of the rows; where they had none, their numbers in what was given.
    digests : tuple of bytes
        Of the inputs of each row.
    new_classes : tuple
        Values of classes that the model does not have, in the order of their numbers.
    notes : tuple of str
        What was left out, and why.
    """

    rows: Rows
    task: Task
    reading: Task
    ids: Array
    digests: tuple[bytes, ...]
    new_classes: tuple[Any, ...] = ()
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.rows)

    def take(self, chosen: Array) -> UpdateData:
        """Give some of the rows.

        Parameters
        ----------
        chosen : ndarray of int or bool

        Returns
        -------
        data : UpdateData
        """
        numbers = np.arange(len(self))[chosen]
        return replace(
            self,
            rows=self.rows.take(numbers),
            ids=self.ids[numbers],
            digests=tuple(self.digests[i] for i in numbers),
        )

    def fingerprint(self) -> str:
        """Give the digest of all rows and labels, for a registry.

        Returns
        -------
        digest : str
        """
        from trimtab.registry.data import fingerprint

        inputs = [self.rows.inputs[name] for name in sorted(self.rows.inputs)]
        return fingerprint(*inputs, self.rows.labels)


def serving(target: Any) -> tuple[Model, Pipeline | None]:
    """Give the model of what serves, and the steps around it.

    Parameters
    ----------
    target : Deployment, Pipeline, Model or path

    Returns
    -------
    model : trimtab.Model
    pipeline : Pipeline or None

    Raises
    ------
    InputError
        It is none of these.

    Examples
    --------
    >>> model, pipeline = serving(deployment)              # doctest: +SKIP
    """
    import os

    from trimtab.model import Model
    from trimtab.pipeline import Pipeline

    if isinstance(target, str | os.PathLike):
        from trimtab.load import load_model

        return load_model(target), None
    if isinstance(target, Model):
        return target, None
    inner = getattr(target, "pipeline", target)
    if isinstance(inner, Pipeline):
        return inner.model, inner
    raise InputError(
        "target: expected a Deployment, Pipeline, Model or path, got "
        f"{type(target).__name__}"
    )


def open_update_data(
    target: Any,
    data: Any,
    *,
    task: Task | None = None,
    new_classes: str = "refuse",
    folds: int = 1,
    known: frozenset[bytes] = frozenset(),
    output: str = "",
    what: str = "new_data",
) -> UpdateData:
    """Take labelled data for what serves, and check all of them.

    Parameters
    ----------
    target : Deployment, Pipeline, Model or path
        What a deployment or pipeline is given goes through its first steps.
    data : tuple, mapping or path
        (x, y), arrays by name with the labels among them, or an .npz file.
    task : Task, optional
        How labels are read: `UpdateData.reading` of other data; found out by default.
    new_classes : {"refuse", "add"}, default="refuse"
        What to do with labels that the model has no score for.
    folds : int, default=1
        There must be as many rows.
    known : frozenset of bytes
        Digests of rows that are kept elsewhere: they are left out.
    output : str, default=""
        Which output of the model counts; the first one by default.
    what : str, default="new_data"
        What messages call the data.

    Returns
    -------
    data : UpdateData

    Raises
    ------
    InputError
        The message lists all that is wrong.

    Examples
    --------
    >>> open_update_data(model, (x, y)).task.kind          # doctest: +SKIP
    'multiclass'
    """
    if new_classes not in ("refuse", "add"):
        raise InputError(
            f"new_classes: expected 'refuse' or 'add', got {new_classes!r}"
        )
    model, pipeline = serving(target)
    inputs, labels, ids = _gathered(model, pipeline, data, what)
    troubles = _input_troubles(model, inputs)
    if troubles:
        _refuse(what, troubles)
    rows = Rows(_as_declared(model, inputs), labels)
    probe = answers(model, rows.take(np.arange(min(_N_PROBE, len(rows)))), output)
    found = read_classes(model, labels, probe, task)
    rows = replace(rows, labels=found.labels)
    digests = row_digests(rows.inputs)
    keep, notes = _to_keep(digests, found.labels, known)
    troubles += _label_troubles(found, keep, folds, new_classes)
    if not keep.any() or 2 * keep.sum() < len(keep):
        troubles.append(
            f"{len(keep) - int(keep.sum())} of {len(keep)} rows had to be left out: "
            + "; ".join(notes)
        )
    if troubles:
        _refuse(what, troubles)
    made = UpdateData(
        rows,
        found.task,
        found.reading,
        ids,
        digests,
        found.new_values,
        tuple(notes),
    )
    return made.take(keep)


def _refuse(what: str, troubles: list[str]) -> None:
    lines = "".join(f"\n  - {trouble}" for trouble in troubles)
    raise InputError(f"{what} cannot be learned from:{lines}")


# ---- reading ------------------------------------------------------------------------


def _gathered(
    model: Model, pipeline: Pipeline | None, data: Any, what: str
) -> tuple[dict[str, Any], Array, Array]:
    """Inputs by name, labels and ids, all rows in memory."""
    has_steps = pipeline is not None and bool(pipeline.preprocess)
    names = tuple(spec.name for spec in model.inputs)
    try:
        opened = open_data(data, names=None if has_steps else names)
    except InputError as error:
        raise InputError(f"{what}: {error}") from error
    parts = list(opened.batches(None))
    labels = np.concatenate([part.labels for part in parts])
    inputs: list[dict[str, Any]] = []
    for part in parts:
        if has_steps and pipeline is not None:
            inputs += [_stepped(pipeline, part.inputs, i) for i in range(len(part))]
        else:
            inputs.append(_named(part.inputs, names, what))
    if len(inputs) == 1:
        joined = inputs[0]
    else:
        joined = {
            name: np.concatenate([part[name] for part in inputs]) for name in names
        }
    columns = parts[0].columns if len(parts) == 1 else {}
    ids = next((columns[name] for name in _IDS if name in columns), None)
    return joined, labels, np.arange(len(labels)) if ids is None else ids


def _named(given: Any, names: tuple[str, ...], what: str) -> dict[str, Any]:
    if isinstance(given, Mapping):
        found = dict(given)
    else:
        values = given if isinstance(given, tuple) else (given,)
        if len(values) != len(names):
            raise InputError(
                f"{what}: the model has {len(names)} inputs {list(names)}, got "
                f"{len(values)}"
            )
        found = dict(zip(names, values, strict=True))
    if set(found) != set(names):
        raise InputError(f"{what}: expected inputs {list(names)}, got {sorted(found)}")
    return {name: np.asarray(value) for name, value in found.items()}


def _stepped(pipeline: Pipeline, inputs: Any, i: int) -> dict[str, Array]:
    """A row after the steps before the model."""
    from trimtab.evaluate.data import take

    values = pipeline._values(take(inputs, i, i + 1)[0], {})
    names = [spec.name for spec in pipeline.model.inputs]
    return dict(zip(names, map(np.asarray, values), strict=True))


def _as_declared(model: Model, inputs: Mapping[str, Array]) -> dict[str, Array]:
    dtypes = {spec.name: spec.dtype for spec in model.inputs}
    return {
        name: np.ascontiguousarray(array, dtypes[name] or array.dtype)
        for name, array in inputs.items()
    }


# ---- checking -----------------------------------------------------------------------


def _input_troubles(model: Model, inputs: Mapping[str, Array]) -> list[str]:
    troubles = []
    for spec in model.inputs:
        array = inputs[spec.name]
        wanted = None if spec.dtype is None else spec.numpy_dtype
        if array.dtype.kind not in "biuf":
            troubles.append(f"{spec.name!r}: expected numbers, got {array.dtype}")
            continue
        if wanted is not None and wanted.kind in "iub" and array.dtype.kind == "f":
            troubles.append(f"{spec.name!r}: expected {wanted}, got {array.dtype}")
        if spec.shape is not None and not _fits(array.shape, spec.shape):
            troubles.append(
                f"{spec.name!r}: rows of shape {list(array.shape[1:])}, the model "
                f"takes {list(spec.shape[1:])}"
            )
        if array.dtype.kind == "f":
            finite = np.isfinite(array).reshape(len(array), -1)
            bad: Array = np.asarray(~finite.all(axis=1))
            if bad.any():
                share = 100 * bad.mean()
                troubles.append(
                    f"{spec.name!r}: {int(bad.sum())} of {len(bad)} rows ({share:.2g} "
                    f"%) hold NaN or infinity, the first is row {int(bad.argmax())}"
                )
    return troubles


def _fits(shape: tuple[int, ...], declared: Any) -> bool:
    return len(shape) == len(declared) and all(
        not isinstance(size, int) or size == n
        for size, n in zip(declared[1:], shape[1:], strict=True)
    )


def _to_keep(
    digests: tuple[bytes, ...], labels: Array, known: frozenset[bytes]
) -> tuple[Array, list[str]]:
    """Which rows to keep, and what to say of the others."""
    first: dict[bytes, int] = {}
    keep = np.ones(len(digests), bool)
    contradicted: set[bytes] = set()
    for i, digest in enumerate(digests):
        if digest not in first:
            first[digest] = i
            continue
        keep[i] = False
        if not np.array_equal(labels[i], labels[first[digest]]):
            contradicted.add(digest)
    n_twice = int((~keep).sum())
    notes = [f"{n_twice} rows stand there twice"] if n_twice else []
    if contradicted:
        for digest in contradicted:
            keep[first[digest]] = False
        notes.append(
            f"{len(contradicted)} of those have different labels: none of them is used"
        )
    is_known: Array = np.array([digest in known for digest in digests], bool)
    is_known &= keep
    if is_known.any():
        keep &= ~is_known
        notes.append(f"{int(is_known.sum())} rows are in the reference set too")
    return keep, notes


def _label_troubles(
    found: Classes, keep: Array, folds: int, new_classes: str
) -> list[str]:
    troubles = []
    if found.new_values and new_classes == "refuse":
        shown = ", ".join(map(repr, found.new_values[:6]))
        troubles.append(
            f"labels: {found.n_new_rows} rows are of classes that the model does not "
            f"have ({shown}): new_classes='add' adds them"
        )
    n = int(keep.sum())
    if n < max(folds, 3):
        troubles.append(
            f"{n} different rows: expected at least {max(folds, 3)} (folds={folds})"
        )
    labels = found.labels[keep]
    is_class = found.task.kind in ("binary", "multiclass") and labels.ndim == 1
    if is_class and n and len(np.unique(labels)) == 1:
        troubles.append(
            f"all labels are of one class ({labels[0]}): nothing tells it from others"
        )
    return troubles
