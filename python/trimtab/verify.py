"""Does optimising change what a model computes?  And which pass is to blame?"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from trimtab import _core
from trimtab.errors import InputError, InternalError, TrimtabError
from trimtab.signature import probe_inputs, require_tensors
from trimtab.types import Array

if TYPE_CHECKING:
    from trimtab.model import Model

__all__ = ["find_passes", "find_probe", "largest_difference", "verify_model"]

# f32 sums in another order differ by some 1e-6 of the range, bf16 roundings that are
# made or left out by some 1e-2; a wrong pass by more.
_TOLERANCE = {"f32": 1e-4, "bf16": 1e-1}
# Sizes to try for dims that the signature leaves open.
_SIZES = (1, 8, 16, 32, 64, 128)


def largest_difference(a: Array, b: Array) -> float:
    """Largest absolute difference, relative to the range of `a`.

    ``max |a - b| / max |a|`` over finite elements; infinite when shapes, dtypes or
    the places of NaN and infinities differ; for integers 0 or infinite.

    Parameters
    ----------
    a, b : ndarray
        The reference, and what is compared with it.

    Returns
    -------
    difference : float

    Examples
    --------
    >>> largest_difference(np.array([2.0]), np.array([1.0]))
    0.5
    """
    if a.shape != b.shape or a.dtype != b.dtype:
        return float("inf")
    if a.dtype.kind not in "fcV":
        return 0.0 if np.array_equal(a, b) else float("inf")
    a64, b64 = a.astype(np.complex128), b.astype(np.complex128)
    finite = np.isfinite(a64)
    if not np.array_equal(finite, np.isfinite(b64)):
        return float("inf")
    if not finite.any():
        return 0.0
    scale = float(np.abs(a64[finite]).max()) or 1.0
    return float(np.abs(a64[finite] - b64[finite]).max()) / scale


def _worst(expected: dict[str, Array], got: dict[str, Array]) -> tuple[float, str]:
    return max(
        (largest_difference(expected[name], got[name]), name) for name in expected
    )


def find_probe(model: Model) -> int:
    """Find the first size of open dims that a model accepts.

    Parameters
    ----------
    model : Model

    Returns
    -------
    size : int
        For `trimtab.signature.probe_inputs`.

    Raises
    ------
    InputError
        It accepts none of those tried.

    Examples
    --------
    >>> find_probe(model)                                  # doctest: +SKIP
    1
    """
    error: Exception | None = None
    for size in _SIZES:
        try:
            model.run(probe_inputs(model.inputs, size=size))
            return size
        except TrimtabError as failure:
            error = failure
    raise InputError(
        f"the model accepts none of the probe inputs (open dims {_SIZES}): {error}"
    ) from error


def verify_model(model: Model, load: Callable[[int], Model]) -> None:
    """Compare a model with the same one compiled without any pass.

    Parameters
    ----------
    model : Model
        With the passes to verify.
    load : callable
        Loads the same model with these bits of passes.

    Raises
    ------
    InternalError
        The outputs differ by more than 1e-4 of their range (bfloat16: 1e-1); the
        message names the passes without which they agree.

    Examples
    --------
    >>> trimtab.load_model("model.onnx", verify="passes")      # doctest: +SKIP
    """
    require_tensors(model, 'verify="passes"')
    reference, allowed = load(0), _TOLERANCE[model.precision]
    inputs = probe_inputs(model.inputs, size=find_probe(reference))
    expected = reference.run(inputs)
    difference, name = _worst(expected, model.run(inputs))
    if difference <= allowed:
        return
    guilty = find_passes(load, inputs, expected)
    raise InternalError(
        f"output {name!r} of the optimised model differs by {difference:.1e} of its "
        f"range from the unoptimised one (at most {allowed:.0e} is allowed); "
        + (
            f"it agrees without the pass {' or '.join(guilty)}: load it with passes= "
            "leaving that out"
            if guilty
            else "no single pass is to blame"
        )
    )


def find_passes(
    load: Callable[[int], Model], inputs: dict[str, Any], expected: dict[str, Array]
) -> list[str]:
    """Find passes without which the outputs are as expected.

    Parameters
    ----------
    load : callable
        Loads the model with these bits of passes.
    inputs : dict of str to ndarray
    expected : dict of str to ndarray

    Returns
    -------
    names : list of str

    Examples
    --------
    >>> find_passes(load, {"x": x}, {"y": y})              # doctest: +SKIP
    ['fuse']
    """
    every = sum(bit for bit, _ in _core.PASSES.values())
    found = []
    for name, (bit, _) in _core.PASSES.items():
        model = load(every & ~bit)
        difference, _ = _worst(expected, model.run(inputs))
        if difference <= _TOLERANCE[model.precision]:
            found.append(name)
    return found
