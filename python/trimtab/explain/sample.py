"""The one sample that is explained, as the tensor that is divided and the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from trimtab.errors import InputError
from trimtab.evaluate.predict import Predictor
from trimtab.types import Array

__all__ = ["Sample", "engine_of", "take_sample"]


@dataclass(frozen=True)
class Sample:
    """The tensor that is divided, and what makes a call of pieces of it.

    Parameters
    ----------
    x : ndarray or str
        Without a dim of samples.
    name : str or None
        Of the input that it is, where inputs have names.
    rows : dict of str to ndarray
        All inputs by name, without a dim of samples; empty where there are none.
    is_named : bool
        Does a call take inputs by name?
    notes : tuple of str
    masks : tuple of str
        Inputs that hide what differs from x from the model's attention.
    """

    x: Any
    name: str | None = None
    rows: Mapping[str, Array] = field(default_factory=dict)
    is_named: bool = False
    notes: tuple[str, ...] = ()
    masks: tuple[str, ...] = ()

    @property
    def inputs(self) -> dict[str, Array]:
        """All inputs by name, one sample of each."""
        return {name: row[None] for name, row in self.rows.items()}

    def assemble(self, piece: Any, n: int) -> Any:
        """Make all inputs of a call.

        Parameters
        ----------
        piece : ndarray of shape (n, *x.shape), or list of str
            In the place of x.
        n : int

        Returns
        -------
        inputs : ndarray, list of str or dict of str to ndarray
        """
        if not self.is_named:
            return piece
        made = {
            name: piece if name == self.name else np.repeat(row[None], n, axis=0)
            for name, row in self.rows.items()
        }
        for name in self.masks:
            made[name] = made[name] * (piece == self.x).astype(made[name].dtype)
        return made

    def hiding(self) -> Sample:
        """Tokens that are left out are to be hidden from attention as well.

        Returns
        -------
        sample : Sample
            The same where no input is a mask of the tokens.
        """
        masks = tuple(
            name
            for name, row in self.rows.items()
            if name != self.name and "mask" in name and row.shape == self.x.shape
        )
        if not masks:
            return self
        note = f"tokens that are left out are hidden in {', '.join(masks)}"
        return replace(self, masks=masks, notes=(*self.notes, note))


def take_sample(model: Any, predictor: Predictor, x: Any, chosen: str | None) -> Sample:
    """Take one sample out of what a user gave.

    Parameters
    ----------
    model : object
        As `explain_model` takes it.
    predictor : Predictor
    x : array, str, tuple of arrays or dict of arrays
    chosen : str or None
        Which input is divided.

    Returns
    -------
    sample : Sample

    Raises
    ------
    InputError
        It is not one sample, or not of numbers.

    Examples
    --------
    >>> take_sample(model, predictor, np.ones((1, 3)), None)  # doctest: +SKIP
    """
    names = predictor.input_names
    if isinstance(x, str):
        return Sample(x)
    if isinstance(x, tuple):
        if names is None or len(names) != len(x):
            raise InputError(f"x: expected inputs {names}, got {len(x)} arrays")
        x = dict(zip(names, x, strict=True))
    if not isinstance(x, Mapping):
        array = np.asarray(x)
        one = _without_batch(model, names[0] if names else None, array)
        if array.dtype.kind not in "fiub" or not one.size:
            raise InputError(f"x: expected numbers or a text, got {array.dtype}")
        if names is None or len(names) != 1:
            return Sample(one)
        return Sample(one, names[0], {names[0]: one})
    arrays = {name: np.asarray(value) for name, value in x.items()}
    rows = {name: _without_batch(model, name, array) for name, array in arrays.items()}
    name = chosen or _varied(rows)
    if name not in rows:
        raise InputError(f"input: expected one of {list(rows)}, got {name!r}")
    others = [other for other in rows if other != name]
    notes = (f"input {name!r} is divided; {', '.join(others)} stay",) if others else ()
    return Sample(rows[name], name, rows, True, notes)


def _varied(rows: Mapping[str, Array]) -> str:
    """The first input whose elements differ by more than a mask's do."""
    for name, row in rows.items():
        if row.size > 1 and len(np.unique(row)) > 2:
            return name
    return next(iter(rows))


def _without_batch(model: Any, name: str | None, array: Array) -> Array:
    """One sample without its dim of 1; the signature says how many dims it has."""
    engine = engine_of(model)
    pipeline = None if engine is model else getattr(model, "pipeline", model)
    if getattr(pipeline, "preprocess", None):
        return array  # a request
    specs = getattr(engine, "inputs", ())
    ranks = [
        len(spec.shape)
        for spec in specs
        if spec.shape is not None and (name is None or spec.name == name)
    ]
    if ranks and array.ndim not in (ranks[0], ranks[0] - 1):
        raise InputError(
            f"x: expected one sample of {ranks[0] - 1} dims, with or without a dim of "
            f"1 before, got shape {list(array.shape)}"
        )
    has_batch = array.ndim == ranks[0] if ranks else array.ndim > 1
    if has_batch and len(array) == 1:
        return np.asarray(array[0])
    if has_batch and ranks:
        raise InputError(
            f"x: expected one sample, got {len(array)}; permutation_importance takes "
            "several, with labels y"
        )
    return array


def engine_of(model: Any) -> Any:
    """Find the model within what was given.

    Parameters
    ----------
    model : object

    Returns
    -------
    model : Model or None

    Examples
    --------
    >>> engine_of(len) is None
    True
    """
    if hasattr(model, "taps"):
        return model
    return getattr(getattr(model, "pipeline", model), "model", None)
