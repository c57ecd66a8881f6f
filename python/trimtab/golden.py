"""Golden pairs: inputs and the outputs that a model must give for them.

Made when a model is saved, with the outputs of the framework that it came from;
replayed at each load on this processor, by this engine, in this precision.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from trimtab.errors import (
    GoldenMismatch,
    GoldenWarning,
    InputError,
    ModelFormatError,
)
from trimtab.precision import largest_allowed
from trimtab.record import FrozenRecord
from trimtab.signature import check_inputs, probe_inputs, require_tensors
from trimtab.types import Array
from trimtab.verify import find_probe, largest_difference

if TYPE_CHECKING:
    from trimtab.formats.native import Artefact
    from trimtab.model import Model

__all__ = [
    "TOLERANCES",
    "Pair",
    "Replay",
    "Verification",
    "read_pairs",
    "replay_golden",
    "take_pairs",
]

Tensors = dict[str, Array]

#: Element type of an output -> largest difference, relative to its range. Two right
#: engines that sum in other orders stay within some 1e-5 in float32; integers are
#: equal, unless a number says how far apart they may be. `Model.save` takes others for
#: nets that amplify rounding, `trimtab.reference` has some for quantised ones.
TOLERANCES: dict[str, float] = {
    "float64": 1e-9,
    "complex128": 1e-9,
    "float32": 1e-4,
    "complex64": 1e-4,
    "float16": 1e-2,
    "bfloat16": 5e-2,
}
#: Seconds that replaying may take at a load; one pair is replayed in any case.
BUDGET_S = 0.1
_N_RANDOM = 2


class Pair(FrozenRecord):
    """Inputs, and the outputs that belong to them.

    Parameters
    ----------
    inputs : dict of str to ndarray
    outputs : dict of str to ndarray
        Empty as long as nobody said.
    """

    __slots__ = ("inputs", "outputs")
    inputs: Tensors
    outputs: Tensors

    def __init__(self, inputs: Tensors, outputs: Tensors) -> None:
        self._set(inputs, outputs)


class Verification(FrozenRecord):
    """How a loaded model compares with its golden pairs.

    Parameters
    ----------
    n_pairs : int
        Pairs that the artefact holds.
    n_replayed : int
        Pairs that were replayed within the budget.
    difference : float
        The largest one, relative to the output's range.
    seconds : float
        What replaying took.
    reference : str
        Who computed the stored outputs.
    is_remembered : bool
        The pairs were replayed at an earlier load of this very file by this build on
        this processor, and that was not cheap enough to be done again.
    """

    __slots__ = (
        "n_pairs",
        "n_replayed",
        "difference",
        "seconds",
        "reference",
        "is_remembered",
    )
    n_pairs: int
    n_replayed: int
    difference: float
    seconds: float
    reference: str
    is_remembered: bool

    def __init__(
        self,
        n_pairs: int,
        n_replayed: int,
        difference: float,
        seconds: float,
        reference: str,
        is_remembered: bool = False,
    ) -> None:
        self._set(n_pairs, n_replayed, difference, seconds, reference, is_remembered)


class Replay(FrozenRecord):
    """What replaying found out.

    Parameters
    ----------
    verification : Verification
    runner : Model
        What ran the pairs: the model or a copy of it.
    is_met : bool
    first_s : float
        What the first pair took, compiling included.
    """

    __slots__ = ("verification", "runner", "is_met", "first_s")
    verification: Verification
    runner: Model
    is_met: bool
    first_s: float

    def __init__(
        self, verification: Verification, runner: Model, is_met: bool, first_s: float
    ) -> None:
        self._set(verification, runner, is_met, first_s)


# ---- taking -------------------------------------------------------------------------


def take_pairs(model: Model, golden: Any) -> list[Pair]:
    """Take what `Model.save` takes as golden pairs.

    Parameters
    ----------
    model : Model
    golden : str, array, tuple, mapping or list of these
        "random"; inputs as `Model.run` takes them; ``(inputs, {name: output})``; or
        a list of such.

    Returns
    -------
    pairs : list of Pair

    Raises
    ------
    InputError
        It is none of these, or does not fit the model.

    Examples
    --------
    >>> take_pairs(model, "random")                        # doctest: +SKIP
    [Pair(...), Pair(...)]
    """
    require_tensors(model, "golden=")
    if isinstance(golden, str):
        if golden != "random":
            raise InputError(f"golden: expected 'random' or inputs, got {golden!r}")
        return _random_pairs(model)
    given = golden if isinstance(golden, list) else [golden]
    if not given:
        raise InputError("golden: an empty list; leave it out for no pairs")
    return [_pair(model, item) for item in given]


def _random_pairs(model: Model) -> list[Pair]:
    size = find_probe(model)
    return [
        Pair(probe_inputs(model.inputs, size=size, seed=seed), {})
        for seed in range(_N_RANDOM)
    ]


def _pair(model: Model, item: Any) -> Pair:
    outputs: Mapping[str, Any] = {}
    if isinstance(item, tuple) and len(item) == 2 and isinstance(item[1], Mapping):
        item, outputs = item
    if isinstance(item, Mapping):
        given = dict(item)
    else:
        values = item if isinstance(item, tuple) else (item,)
        if len(values) != len(model.inputs):
            raise InputError(
                f"golden: the model has {len(model.inputs)} inputs, got {len(values)}"
            )
        given = {
            spec.name: value for spec, value in zip(model.inputs, values, strict=True)
        }
    inputs = {
        spec.name: np.asarray(array, spec.dtype and spec.numpy_dtype)
        for spec, array in zip(
            model.inputs, check_inputs(model.inputs, given).values(), strict=True
        )
    }
    names = {spec.name for spec in model.outputs}
    if unknown := [name for name in outputs if name not in names]:
        raise InputError(f"golden: there is no output {unknown[0]!r}: {sorted(names)}")
    if outputs and len(outputs) != len(names):
        raise InputError(f"golden: expected all of the outputs {sorted(names)}")
    return Pair(inputs, _as_given(model, inputs, outputs))


def _as_given(model: Model, inputs: Tensors, outputs: Mapping[str, Any]) -> Tensors:
    """Outputs as arrays; lists get the dtype that the model gives."""
    arrays = {name: np.asarray(value) for name, value in outputs.items()}
    if any(not hasattr(value, "dtype") for value in outputs.values()):
        results = model.run(inputs)
        for name, value in outputs.items():
            if not hasattr(value, "dtype"):
                arrays[name] = arrays[name].astype(results[name].dtype)
    return arrays


# ---- comparing ----------------------------------------------------------------------


def tolerance_of(dtype: str, tolerances: Mapping[str, float]) -> float:
    """Largest difference allowed for an output of this dtype."""
    return tolerances.get(dtype, TOLERANCES.get(dtype, 0.0))


def compare(
    expected: Tensors, got: Tensors, tolerances: Mapping[str, float]
) -> tuple[float, str]:
    """Largest difference, and the name of the first output beyond its tolerance."""
    largest, wrong = 0.0, ""
    for name, array in expected.items():
        if name not in got:
            return float("inf"), name
        allowed = tolerance_of(array.dtype.name, tolerances)
        difference, is_met = _compare(array, got[name], allowed)
        largest = max(largest, difference)
        if not is_met and not wrong:
            wrong = name
    return largest, wrong


def _compare(expected: Array, got: Array, allowed: float) -> tuple[float, bool]:
    """Difference relative to the range, and whether it is allowed."""
    difference = largest_difference(expected, got)
    is_alike = expected.shape == got.shape and expected.dtype == got.dtype
    if expected.dtype.kind not in "iu" or not is_alike or difference == 0.0:
        return difference, difference <= allowed
    steps = _steps(expected, got)
    if steps > allowed:
        return difference, False
    largest = max(abs(int(expected.max())), abs(int(expected.min()))) or 1
    return steps / largest, True


def _amount(expected: Array, got: Array, difference: float) -> str:
    """Difference as messages have it."""
    is_alike = expected.shape == got.shape and expected.dtype == got.dtype
    if is_alike and expected.dtype.kind in "iu":
        return str(_steps(expected, got))
    return f"{difference:.1e} of its range"


def _steps(expected: Array, got: Array) -> int:
    """Largest difference of integers, as a number."""
    a, b = np.atleast_1d(expected), np.atleast_1d(got)
    apart = np.maximum(a, b) - np.minimum(a, b)  # may wrap around
    return int(apart.view(f"u{apart.dtype.itemsize}").max())


# ---- replaying ----------------------------------------------------------------------


def read_pairs(artefact: Artefact) -> tuple[list[Callable[[], Pair]], dict[str, float]]:
    """Look up the golden pairs of an artefact; each is read when it is called.

    Parameters
    ----------
    artefact : Artefact

    Returns
    -------
    pairs : list of callable
    tolerances : dict of str to float

    Raises
    ------
    ModelFormatError
        What the file says of them is malformed.

    Examples
    --------
    >>> pairs, tolerances = read_pairs(artefact)           # doctest: +SKIP
    """
    golden = artefact.golden or {}
    pairs, tolerances = golden.get("pairs", []), golden.get("tolerances", {})
    if not isinstance(pairs, list) or not isinstance(tolerances, dict):
        raise ModelFormatError("golden: expected pairs and tolerances")
    if not all(isinstance(x, (int, float)) for x in tolerances.values()):
        raise ModelFormatError("golden: tolerances are numbers by dtype")

    def reader(number: int, plain: Any) -> Callable[[], Pair]:
        what = f"golden pair {number}"
        if not isinstance(plain, dict) or not all(
            isinstance(plain.get(side), dict) for side in ("inputs", "outputs")
        ):
            raise ModelFormatError(f"{what}: expected inputs and outputs")

        def read() -> Pair:
            inputs, outputs = (
                {
                    name: artefact.array(entry, f"{what}, {name[:100]!r}")
                    for name, entry in plain[side].items()
                }
                for side in ("inputs", "outputs")
            )
            return Pair(inputs, outputs)

        return read

    return [reader(i, plain) for i, plain in enumerate(pairs)], tolerances


def is_usual(model: Model) -> bool:
    """Are a pair's shapes those of the calls to come? Only a batch may vary."""
    return all(
        spec.shape is not None and all(isinstance(dim, int) for dim in spec.shape[1:])
        for spec in model.inputs
    )


def replay_golden(
    model: Model,
    artefact: Artefact,
    load: Callable[[int | None], Model],
    mode: str,
    budget_s: float | None = None,
) -> Replay | None:
    """Compare a model with the golden pairs of its artefact.

    Plans for the pairs' shapes stay only where these are the usual ones; else the
    pairs run on another copy of the model, which is dropped.

    Parameters
    ----------
    model : Model
    artefact : Artefact
    load : callable
        Loads the same model with these bits of passes; None: as it is.
    mode : {"error", "warn"}
    budget_s : float, optional
        After so many seconds no further pair is begun; 0.1 by default.

    Returns
    -------
    replay : Replay or None
        None where there are no pairs.

    Raises
    ------
    GoldenMismatch
        An output departs, under "error".

    Examples
    --------
    >>> replay_golden(model, artefact, load, "error")      # doctest: +SKIP
    Replay(verification=Verification(n_pairs=2, ...), ...)
    """
    readers, exact = read_pairs(artefact)
    if not readers:
        return None
    tolerances = largest_allowed(exact, model.precision)
    begin = time.perf_counter()
    budget_s = BUDGET_S if budget_s is None else budget_s
    runner = model if is_usual(model) else load(None)
    worst, wrong, n_replayed, first_s = 0.0, "", 0, 0.0
    for read in readers:
        pair = read()
        try:
            got = runner.run(pair.inputs)
        except InputError as error:
            raise ModelFormatError(
                f"golden pair {n_replayed} does not fit the model: {error}"
            ) from error
        difference, wrong = compare(pair.outputs, got, tolerances)
        n_replayed += 1
        worst = max(worst, difference)
        spent_s = time.perf_counter() - begin
        first_s = first_s or spent_s
        if wrong:
            _report(artefact, pair, n_replayed - 1, (wrong, difference), load, mode)
        if wrong or spent_s >= budget_s:
            break
    reference = str((artefact.golden or {}).get("reference", ""))
    found = Verification(
        len(readers), n_replayed, worst, time.perf_counter() - begin, reference
    )
    return Replay(found, runner, not wrong, first_s)


def _report(
    artefact: Artefact,
    pair: Pair,
    number: int,
    wrong: tuple[str, float],
    load: Callable[[int | None], Model],
    mode: str,
) -> None:
    from trimtab.blame import explain_mismatch

    error = explain_mismatch(artefact, pair, number, *wrong, load)
    if mode == "error":
        raise error
    warnings.warn(str(error), GoldenWarning, stacklevel=6)


def check_pairs(
    model: Model, pairs: Sequence[Pair], tolerances: Mapping[str, float], who: str
) -> float:
    """Compare a model that is to be saved with its reference."""
    worst = 0.0
    for number, pair in enumerate(pairs):
        got = model.run(pair.inputs)
        difference, wrong = compare(pair.outputs, got, tolerances)
        worst = max(worst, difference)
        if wrong:
            expected = pair.outputs[wrong]
            dtype = expected.dtype.name
            allowed = tolerance_of(dtype, tolerances)
            raise GoldenMismatch(
                f"golden pair {number}: output {wrong!r} differs by "
                f"{_amount(expected, got[wrong], difference)} from that of {who}, at "
                f"most {allowed:g} is allowed. If that is "
                "rounding which the net amplifies, allow it: "
                f"tolerance={{{dtype!r}: ...}}"
            )
    return worst
