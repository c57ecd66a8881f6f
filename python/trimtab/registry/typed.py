"""Inputs and outputs with every dtype and rank, as foreign formats want them.

A model need not declare its outputs; then it is run once to see them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trimtab.errors import InputError
from trimtab.registry.version import ModelVersion

__all__ = ["typed_signature"]

_SIDES = ("inputs", "outputs")


def typed_signature(version: ModelVersion) -> dict[str, list[dict[str, Any]]]:
    """Give the signature of a version, without unknown dtypes or ranks.

    Parameters
    ----------
    version : ModelVersion

    Returns
    -------
    signature : dict
        ``inputs`` and ``outputs``: each with name, dtype and shape, where -1 is open.

    Raises
    ------
    InputError
        An input has no dtype or rank.

    Examples
    --------
    >>> typed_signature(version)["outputs"]                # doctest: +SKIP
    [{'name': 'y', 'dtype': 'float32', 'shape': [-1, 10]}]
    """
    signature = version.signature
    found = {side: [_plain(spec) for spec in signature[side]] for side in _SIDES}
    for spec in found["inputs"]:
        if spec["dtype"] is None or spec["shape"] is None:
            raise InputError(
                f"{version}: the input {spec['name']!r} has no dtype or no rank; save "
                "the model with a signature that has both"
            )
    if any(None in (spec["dtype"], spec["shape"]) for spec in found["outputs"]):
        outputs = _seen(version)
        for spec in found["outputs"]:
            array = outputs[spec["name"]]
            spec["dtype"] = spec["dtype"] or array.dtype.name
            spec["shape"] = spec["shape"] or [-1] * array.ndim
    return found


def _plain(spec: Mapping[str, Any]) -> dict[str, Any]:
    shape = spec.get("shape")
    if shape is not None:
        shape = [dim if type(dim) is int else -1 for dim in shape]
    return {"name": spec.get("name"), "dtype": spec.get("dtype"), "shape": shape}


def _seen(version: ModelVersion) -> Mapping[str, Any]:
    """What the model gives for random values."""
    from trimtab.errors import TrimtabError
    from trimtab.signature import probe_inputs

    model = version.load(check=False, verify="off")
    try:
        return model.run(probe_inputs(model.inputs, size=1))
    except TrimtabError as error:
        raise InputError(
            f"{version}: its outputs have no dtype or no rank, and it takes no random "
            f"values that would show them: {error}"
        ) from error
