"""Arithmetic that `load_model(precision=...)` asks for: is it there, and is it enough?

The graph is rewritten after it was read and before it is encoded; what is kept, saved
and pickled stays in float32.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from trimtab import _core
from trimtab.errors import DeviceError, GoldenMismatch, GoldenWarning, InputError
from trimtab.signature import probe_inputs
from trimtab.types import Array

if TYPE_CHECKING:
    from trimtab.graph import Model as GraphModel
    from trimtab.model import Model

__all__ = [
    "PRECISIONS",
    "check_precision",
    "in_precision",
    "largest_allowed",
    "verify_precision",
]

#: What layers compute in -> largest difference of outputs from those in float32,
#: relative to their range, that rounding of this kind may make; 0: none.
PRECISIONS: dict[str, float] = {"f32": 0.0, "bf16": 5e-2}

#: Least signal-to-noise ratio of outputs for random inputs, in dB. Nets of some 50
#: layers keep 30 to 45.
_LEAST_SQNR_DB = 20.0
_CAPS = ("ONEDNN_MAX_CPU_ISA", "TRIMTAB_ISA")


def check_precision(precision: str, device: str) -> None:
    """Refuse what this machine has no instructions for.

    Parameters
    ----------
    precision : str
        Key of `PRECISIONS`.
    device : str

    Raises
    ------
    InputError
        There is no such precision.
    DeviceError
        The processor does not multiply bfloat16.

    Examples
    --------
    >>> check_precision("f32", "cpu")
    """
    if precision not in PRECISIONS:
        raise InputError(
            f"precision: expected one of {list(PRECISIONS)}, got {precision!r}"
        )
    if precision == "f32":
        return
    if device != "cpu":
        raise DeviceError(
            f"precision={precision!r} is for device='cpu', got device={device!r}: load "
            "with precision='f32'"
        )
    cpu = _core.cpu_info()
    if cpu["multiplies_bf16"]:
        return
    caps = [f"{name}={os.environ[name]}" for name in _CAPS if os.environ.get(name)]
    raise DeviceError(
        f"precision='bf16' needs a processor that multiplies bfloat16: AVX-512 BF16 or "
        f"AMX (AMD since Zen 4, Intel Xeon since Sapphire Rapids, Cooper Lake). "
        f"{cpu['brand']} has neither"
        + (f" under {' and '.join(caps)}" if caps else "")
        + ": load with precision='f32', which is faster here than emulation"
    )


def in_precision(graph: GraphModel, precision: str) -> GraphModel:
    """Rewrite a graph so that its layers compute in a precision.

    Parameters
    ----------
    graph : trimtab.graph.Model
        It is not changed.
    precision : str
        Key of `PRECISIONS`.

    Returns
    -------
    model : trimtab.graph.Model

    Examples
    --------
    >>> in_precision(graph, "bf16")                        # doctest: +SKIP
    Model('main_graph': x -> y, 96 nodes)
    """
    if precision == "f32":
        return graph
    from trimtab.optimize.bf16 import to_bf16

    return to_bf16(graph)


def largest_allowed(
    tolerances: Mapping[str, float], precision: str
) -> Mapping[str, float]:
    """Widen tolerances for outputs by what a precision costs.

    Parameters
    ----------
    tolerances : mapping of str to float
        Dtype to largest difference, relative to the range.
    precision : str
        Key of `PRECISIONS`.

    Returns
    -------
    tolerances : mapping of str to float

    Examples
    --------
    >>> largest_allowed({"float32": 1e-3, "int64": 0.0}, "bf16")["float32"]
    0.05
    """
    if precision == "f32":
        return tolerances
    floats = ("float16", "bfloat16", "float32", "float64")
    least = PRECISIONS[precision]
    wide = {name: max(least, tolerances.get(name, 0.0)) for name in floats}
    return {**tolerances, **wide}


def _sqnr_db(expected: Array, got: Array) -> float:
    """Signal-to-noise ratio in dB; infinite for what is no float or has no signal."""
    if expected.dtype.kind != "f" or expected.shape != got.shape:
        return np.inf
    a, b = expected.astype("f8"), got.astype("f8")
    is_finite = np.isfinite(a)
    if not np.array_equal(is_finite, np.isfinite(b)):
        return -np.inf
    signal = float(np.square(a[is_finite]).sum())
    noise = float(np.square(a[is_finite] - b[is_finite]).sum())
    return np.inf if noise == 0 or signal == 0 else 10 * np.log10(signal / noise)


def verify_precision(model: Model, load: Callable[[], Model], mode: str) -> None:
    """Compare a model that has no golden pairs with itself in float32.

    Parameters
    ----------
    model : Model
    load : callable
        Loads it in float32.
    mode : {"error", "warn", "passes"}
        What to do where outputs for random inputs are not close.

    Raises
    ------
    GoldenMismatch
        An output has a signal-to-noise ratio below 20 dB.

    Examples
    --------
    >>> verify_precision(model, load, "error")             # doctest: +SKIP
    """
    from trimtab.verify import find_probe

    exact = load()
    try:
        inputs = probe_inputs(model.inputs, size=find_probe(exact))
    except InputError:
        return  # nothing that it accepts was found
    expected, got = exact.run(inputs), model.run(inputs)
    exact.close()
    name, found = min(
        ((name, _sqnr_db(array, got[name])) for name, array in expected.items()),
        key=lambda pair: pair[1],
    )
    if found >= _LEAST_SQNR_DB:
        return
    error = GoldenMismatch(
        f"output {name!r} in {model.precision} has a signal-to-noise ratio of "
        f"{found:.1f} dB against float32 for random inputs, expected at least "
        f"{_LEAST_SQNR_DB:.0f} dB: load with precision='f32', or with verify='off' "
        "where you have checked it on real inputs"
    )
    if mode != "warn":
        raise error
    warnings.warn(str(error), GoldenWarning, stacklevel=5)
