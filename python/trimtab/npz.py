"""Files of arrays that a user names, and which of them are a model's inputs."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from trimtab.errors import InputError
from trimtab.types import Array

__all__ = [
    "LABELS",
    "inputs_of",
    "read_labelled",
    "read_npz",
    "read_rows",
    "take_labels",
]

#: Names of labels in a file, where none is said.
LABELS = ("y", "y_true", "label", "labels", "target", "targets")


def read_npz(
    path: str | os.PathLike[str], what: str, *, needs_names: str = ""
) -> dict[str, Array]:
    """Read the arrays of an .npz file; nothing in it is executed.

    Parameters
    ----------
    path : path
    what : str
        What errors call it.
    needs_names : str, default=""
        What to say of an .npy file; by default it is taken, as an array named "".

    Returns
    -------
    arrays : dict of str to ndarray

    Raises
    ------
    InputError
        There is no such file, or it holds no arrays, or objects.

    Examples
    --------
    >>> sorted(read_npz("data.npz", "--data"))             # doctest: +SKIP
    ['image', 'y']
    """
    from zipfile import BadZipFile

    name = os.fspath(path)
    try:
        loaded = np.load(name, allow_pickle=False)
        if not isinstance(loaded, np.ndarray):
            with loaded as archive:
                return {key: archive[key] for key in archive.files}
    except FileNotFoundError as error:
        raise InputError(f"{what}: there is no file {name!r}") from error
    except (ValueError, EOFError, TypeError, OSError, BadZipFile) as error:
        raise InputError(f"{what} {name}: no .npz file of arrays ({error})") from error
    if needs_names:
        raise InputError(f"{what} {name}: {needs_names}")
    return {"": loaded}


def inputs_of(model: Any, arrays: dict[str, Array], what: str) -> dict[str, Array]:
    """Pick the inputs of a model; the only one of a model may have any name.

    Parameters
    ----------
    model : Model
    arrays : dict of str to ndarray
    what : str
        What errors call them.

    Returns
    -------
    inputs : dict of str to ndarray

    Raises
    ------
    InputError
        Some are missing.

    Examples
    --------
    >>> inputs_of(model, {"any": x}, "--data")             # doctest: +SKIP
    {'image': array(...)}
    """
    names = [spec.name for spec in model.inputs]
    if set(names) <= set(arrays):
        return {name: arrays[name] for name in names}
    if len(names) == 1 and len(arrays) == 1:
        return {names[0]: next(iter(arrays.values()))}
    raise InputError(f"{what}: expected arrays {names}, got {sorted(arrays)}")


def take_labels(
    model: Any, arrays: dict[str, Array], name: str | None = None
) -> Array | None:
    """Take the labels out of arrays.

    Parameters
    ----------
    model : Model
    arrays : dict of str to ndarray
        What is taken is no longer in it.
    name : str, optional
        By default the first of `LABELS` that is there and no input.

    Returns
    -------
    labels : ndarray or None

    Raises
    ------
    InputError
        There is nothing of that name.

    Examples
    --------
    >>> take_labels(model, {"x": x, "y": y})               # doctest: +SKIP
    array(...)
    """
    inputs = {spec.name for spec in model.inputs}
    if name is not None:
        if name not in arrays:
            raise InputError(f"--labels {name}: --data has {sorted(arrays)}")
        return arrays.pop(name)
    found = [key for key in LABELS if key in arrays and key not in inputs]
    return arrays.pop(found[0]) if found else None


def read_rows(
    model: Any, path: str | os.PathLike[str], what: str, labels: str | None = None
) -> tuple[dict[str, Array], Array | None]:
    """Read rows for a model, with labels where there are some.

    Parameters
    ----------
    model : Model
    path : path
    what : str
        What errors call the file.
    labels : str, optional
        Name of the labels, as `take_labels` takes it.

    Returns
    -------
    inputs : dict of str to ndarray
    labels : ndarray or None

    Raises
    ------
    InputError
        The file is none, or its arrays do not fit the model.

    Examples
    --------
    >>> read_rows(model, "rows.npz", "--data")             # doctest: +SKIP
    ({'image': array(...)}, array(...))
    """
    arrays = read_npz(path, what)
    taken = take_labels(model, arrays, labels)
    return inputs_of(model, arrays, what), taken


def read_labelled(
    model: Any, path: str | os.PathLike[str], what: str
) -> tuple[dict[str, Array], Array]:
    """Read rows for a model, and their labels.

    Parameters
    ----------
    model : Model
    path : path
    what : str
        What errors call the file.

    Returns
    -------
    inputs : dict of str to ndarray
    labels : ndarray

    Raises
    ------
    InputError
        As of `read_rows`, or there are no labels.

    Examples
    --------
    >>> read_labelled(model, "guard.npz", "--data")        # doctest: +SKIP
    ({'image': array(...)}, array(...))
    """
    inputs, labels = read_rows(model, path, what)
    if labels is None:
        raise InputError(f"{what}: expected labels among the arrays, as y")
    return inputs, labels
