"""The model's own embedding as something to watch: its penultimate tensor.

Enters: a model, and inputs of calls that were looked at. Leaves: rows for the sketch of
embeddings. Reading the tensor runs the model again, which costs a call: it happens on
the monitor's thread, for as many rows as the budget pays for.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from trimtab.errors import InputError
from trimtab.types import Array

if TYPE_CHECKING:
    from trimtab.model import Model
    from trimtab.monitor.embedding import Embedding
    from trimtab.monitor.intake import Look

__all__ = ["Inner", "InnerReader", "inner_tensor", "tap_tensors"]

_MAX_NAME = 1000
# Rows of one run; what is beyond the budget is let go.
_MAX_ROWS = 64


@dataclass(frozen=True)
class Inner:
    """A tensor in the middle of a model, and what the reference counted of it.

    Parameters
    ----------
    tensor : str
        Its name in `Model.taps`, or of an output.
    embedding : Embedding
    """

    tensor: str
    embedding: Embedding

    def to_dict(self) -> dict[str, Any]:
        """Give it as plain data for JSON.

        Returns
        -------
        plain : dict
        """
        return {"tensor": self.tensor, "embedding": self.embedding.to_dict()}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Inner:
        """Read it back; everything in it is checked.

        Parameters
        ----------
        plain : mapping
            What `to_dict` gave.

        Returns
        -------
        inner : Inner

        Raises
        ------
        InputError
            It is nothing that `to_dict` gives.
        """
        from trimtab.monitor.embedding import Embedding

        tensor = plain["tensor"]
        if not isinstance(tensor, str) or len(tensor) > _MAX_NAME:
            raise InputError("an embedding: expected the name of a tensor")
        return cls(tensor, Embedding.from_dict(plain["embedding"]))


def inner_tensor(model: Model, wanted: bool | str) -> str | None:
    """Name the tensor to watch.

    Parameters
    ----------
    model : Model
    wanted : bool or str
        A tensor; True: the penultimate one; "auto": that, unless the inputs are tables,
        whose columns tell more; False: none.

    Returns
    -------
    tensor : str or None

    Raises
    ------
    InputError
        The model has no such tensor.

    Examples
    --------
    >>> inner_tensor(model, "auto")                        # doctest: +SKIP
    'flatten'
    """
    from trimtab.monitor.descriptors import guess_kind
    from trimtab.monitor.embedding_tensor import find_embedding

    if wanted is False:
        return None
    known = {*model.taps, *(spec.name for spec in model.outputs)}
    if isinstance(wanted, str) and wanted != "auto":
        if wanted not in known:
            raise InputError(
                f"embedding: the model has no tensor {wanted!r}; model.taps has all"
            )
        return wanted
    kinds = [guess_kind(spec, model.pipeline) for spec in model.inputs]
    is_table = all(
        kind == "vector" and len(spec.shape or ()) <= 2
        for kind, spec in zip(kinds, model.inputs, strict=True)
    )
    if wanted == "auto" and is_table:
        return None
    found = find_embedding(model)
    return found if found in known else None


def tap_tensors(model: Model, wanted: Sequence[str]) -> tuple[str, ...]:
    """Check the names of tensors in the middle.

    Parameters
    ----------
    model : Model
    wanted : sequence of str

    Returns
    -------
    tensors : tuple of str

    Raises
    ------
    InputError
        The model has no such tensor, or one is named twice.

    Examples
    --------
    >>> tap_tensors(model, ["pool"])                       # doctest: +SKIP
    ('pool',)
    """
    if isinstance(wanted, str) or not all(isinstance(name, str) for name in wanted):
        raise InputError(f"taps: expected a list of names, got {wanted!r:.80}")
    unknown = [name for name in wanted if name not in model.taps]
    if unknown or len(set(wanted)) != len(wanted):
        raise InputError(
            f"taps: the model has no tensor {unknown[0]!r}; model.taps has all"
            if unknown
            else f"taps: a name stands twice in {list(wanted)}"
        )
    return tuple(wanted)


class InnerReader:
    """Reads tensors of some looks, within a share of the time that passes.

    Parameters
    ----------
    model : Model
    tensors : sequence of str
    share : float or None
        Of one core; None: of all looks.
    """

    def __init__(
        self, model: Model, tensors: Sequence[str], share: float | None
    ) -> None:
        self._model = model
        self._tensors = list(tensors)
        self._share = share
        self._last_s = time.monotonic()
        self._credit_s = 0.0 if share is None else share  # of a second, at first

    def swap(self, model: Model) -> None:
        """Read the tensors of these names in another model from now on.

        Parameters
        ----------
        model : Model
        """
        self._model = model

    def read(self, look: Look) -> dict[str, Array]:
        """Read the rows of a look, as many as are paid for.

        Parameters
        ----------
        look : Look
            With all inputs of the model.

        Returns
        -------
        tensors : dict of str to ndarray
            Empty where nothing was read.
        """
        model = self._model
        named = {spec.name: look.inputs.get(spec.name) for spec in model.inputs}
        inputs = {name: x for name, x in named.items() if x is not None}
        lengths = [len(x) for x in inputs.values() if x.ndim]
        if len(inputs) < len(named) or not lengths:
            return {}
        found: list[dict[str, Array]] = []
        first = {spec.shape[0] for spec in model.inputs if spec.shape}
        fixed = next((size for size in first if isinstance(size, int)), None)
        size, n_rows = fixed or _MAX_ROWS, lengths[0]
        for start in range(0, n_rows, size):
            if not self._is_paid_for() or (fixed and start + size > n_rows):
                break
            begun = time.monotonic()
            part = {
                name: x[start : start + size] if x.ndim and len(x) == n_rows else x
                for name, x in inputs.items()
            }
            found.append(model.run(part, outputs=self._tensors))
            self._credit_s -= time.monotonic() - begun
        if not found:
            return {}
        return {
            name: np.concatenate([part[name] for part in found])
            for name in self._tensors
        }

    def _is_paid_for(self) -> bool:
        if self._share is None:
            return True
        now = time.monotonic()
        earned = self._share * (now - self._last_s)
        self._credit_s = min(self._credit_s + earned, 10 * self._share)
        self._last_s = now
        return self._credit_s > 0
