"""What ``--input`` and ``--size`` say: arrays for a model."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trimtab.model import Model
    from trimtab.types import Array

__all__ = ["read_inputs"]

# Sizes to try for dims that the signature leaves open, where --size does not say.
_SIZES = (1, 8, 16, 32, 64, 128, 256, 512, 1024)


def _read_array(path: str) -> Array:
    """An .npy file; whatever is wrong with it names the file."""
    import numpy as np

    from trimtab.errors import InputError

    try:
        loaded = np.load(path, allow_pickle=False)
    except FileNotFoundError as error:
        raise InputError(f"--input: there is no file {path!r}") from error
    except (ValueError, EOFError) as error:
        raise InputError(
            f"--input {path}: no .npy file of numbers ({error})"
        ) from error
    if not isinstance(loaded, np.ndarray):
        raise InputError(f"--input {path}: expected an .npy file, got an .npz archive")
    array: Array = loaded
    return array


def read_inputs(model: Model, arguments: argparse.Namespace) -> dict[str, Array]:
    """Read the arrays of --input; made up by the signature where there are none.

    Parameters
    ----------
    model : Model
    arguments : argparse.Namespace
        With ``input`` and ``size``.

    Returns
    -------
    inputs : dict of str to ndarray

    Raises
    ------
    InputError
        A file is none, or the model takes no such input.

    Examples
    --------
    >>> read_inputs(model, arguments)                      # doctest: +SKIP
    {'x': array(...)}
    """
    from trimtab.errors import InputError
    from trimtab.signature import check_inputs

    names = [spec.name for spec in model.inputs]
    if not arguments.input:
        return _random_inputs(model, arguments.size)
    inputs: dict[str, Array] = {}
    for i, text in enumerate(arguments.input):
        name, found, path = text.partition("=")
        if not found or name not in names:
            if found and not Path(text).exists():
                raise InputError(f"--input {text}: the inputs are {', '.join(names)}")
            if i >= len(names):
                raise InputError(f"--input {text}: the model has {len(names)} inputs")
            name, path = names[i], text
        inputs[name] = _read_array(path)
    return check_inputs(model.inputs, inputs)


def _random_inputs(model: Model, size: int | None) -> dict[str, Array]:
    """Random values of the first sizes that the model takes."""
    from trimtab.errors import InputError, TrimtabError
    from trimtab.signature import probe_inputs

    if size is not None:
        return probe_inputs(model.inputs, size=size)
    for size in _SIZES:
        inputs = probe_inputs(model.inputs, size=size)
        try:
            model.run(inputs)
            return inputs
        except TrimtabError as failure:
            error = failure
    raise InputError(
        f"the model takes no random values with open dims of {_SIZES[0]} to "
        f"{_SIZES[-1]}: give real ones with --input, or a size with --size. The last "
        f"try: {error}"
    ) from error
