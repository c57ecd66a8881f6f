"""What a load leaves for the next one: a cache, and that golden pairs were met."""

from __future__ import annotations

import math
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from trimtab.cache import Cached, Place
from trimtab.errors import ModelFormatError, TrimtabError
from trimtab.golden import BUDGET_S, Replay, Verification, compare, is_usual, read_pairs
from trimtab.graph import DTYPES, Constant
from trimtab.precision import largest_allowed
from trimtab.signature import probe_inputs
from trimtab.weight_file import Stored

if TYPE_CHECKING:
    from trimtab.cache import CacheFile
    from trimtab.formats.native import Artefact
    from trimtab.model import Model
    from trimtab.types import Array
    from trimtab.weight_file import WeightFile

__all__ = ["recall", "write_cache"]

# A pair that took longer at the first load is not replayed while the cache holds: the
# time that one load may take for it, `trimtab.golden.BUDGET_S`.
_CHEAP_S = BUDGET_S


def _places(artefact: Artefact, plain: dict[str, Any]) -> tuple[Place, ...]:
    from trimtab.formats.native_read import GraphParser

    parser = GraphParser(artefact.file, artefact.limits)
    places = []
    for name, description in plain.items():
        constant = parser.constant(description, name)
        where = artefact.key_of(constant)
        places.append(Place(name, constant.dtype, constant.shape, *where))
    return tuple(places)


def write_cache(
    cache: CacheFile, model: Model, replay: Replay | None, wire: bytes
) -> None:
    """Make the cache of a model that was loaded and verified.

    Parameters
    ----------
    cache : CacheFile
    model : Model
    replay : Replay or None
        None where there are no golden pairs.
    wire : bytes
        What `trimtab.wire.encode` gave.

    Examples
    --------
    >>> write_cache(cache, model, replay, wire)            # doctest: +SKIP
    """
    artefact = model.artefact
    if artefact is None or (replay is not None and not replay.is_met):
        return
    runner, pair, verified = model, None, None
    _, tolerances = read_pairs(artefact)
    if replay is not None:
        runner, v = replay.runner, replay.verification
        verified = (v.n_pairs, v.n_replayed, v.difference, v.reference)
        if runner is model and replay.first_s <= _CHEAP_S:
            first = (artefact.golden or {})["pairs"][0]
            pair = (
                _places(artefact, first["inputs"]),
                _places(artefact, first["outputs"]),
            )
    elif is_usual(model):  # so that the weights are packed
        with suppress(TrimtabError):
            model.memory_report(probe_inputs(model.inputs))
    cache.write(runner.core, Cached(wire, pair, tolerances, verified))


def recall(model: Model, file: WeightFile, cached: Cached) -> Verification | None:
    """Verify a model that was made from its cache.

    The first pair is replayed if that is cheap; else what is remembered holds.

    Parameters
    ----------
    model : Model
    file : WeightFile
        The artefact.
    cached : Cached

    Returns
    -------
    verification : Verification or None
        None: it does not give what it must, so the cache is of no use.

    Examples
    --------
    >>> recall(model, file, cached)                        # doctest: +SKIP
    Verification(n_pairs=2, n_replayed=1, ...)
    """
    assert cached.verified is not None
    n_pairs, n_replayed, difference, reference = cached.verified
    if cached.first_pair is None:
        return Verification(n_pairs, n_replayed, difference, 0.0, reference, True)
    begin = time.perf_counter()
    inputs, outputs = (
        {place.name: _read(file, place) for place in side} for side in cached.first_pair
    )
    tolerances = largest_allowed(cached.tolerances, model.precision)
    difference, wrong = compare(outputs, model.run(inputs), tolerances)
    seconds = time.perf_counter() - begin
    if wrong:
        return None
    return Verification(n_pairs, 1, difference, seconds, reference)


def _read(file: WeightFile, place: Place) -> Array:
    n_bytes = math.prod(place.shape) * DTYPES.get(place.dtype, (0, 0))[1] // 8
    if n_bytes != place.n_bytes or place.offset + n_bytes > file.n_bytes:
        raise ModelFormatError("the cache names a tensor that there is not")
    data: Array = Constant(
        place.dtype, place.shape, Stored(file, place.offset, n_bytes)
    ).numpy()
    return data
