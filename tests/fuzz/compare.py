"""Does a result agree with one of the oracles?

A float may differ by roundings of its dtype, counted from the largest element, and by
what the oracles themselves differ when the inputs move by a rounding. NaN and
infinities are where the oracle has them. What was only moved agrees to the bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np

#: Share of the output's largest finite element, by dtype.
TOLERANCE = {"float64": 1e-10, "float32": 3e-5, "float16": 6e-3}
# How far beyond the oracles' own spread a result may be.
_SPREAD = 8.0


def disagreement(got: Any, want: Any, others: list[Any], *, moved: bool) -> str:
    """Empty, or what is wrong; `others` tell the oracle's own spread."""
    got, want = np.asarray(got), np.asarray(want)
    if got.dtype != want.dtype:
        return f"dtype {got.dtype}, expected {want.dtype}"
    if got.shape != want.shape:
        return f"shape {got.shape}, expected {want.shape}"
    if got.dtype.name not in TOLERANCE:
        wrong = np.argwhere(got != want)
        return _at(got, want, wrong[0]) if len(wrong) else ""
    if moved:
        differs = (got.view(f"u{got.itemsize}") != want.view(f"u{got.itemsize}")) & ~(
            np.isnan(got) & np.isnan(want)
        )
        wrong = np.argwhere(differs)
        return _at(got, want, wrong[0]) if len(wrong) else ""
    return _floats(got, want, others)


def _floats(got: Any, want: Any, others: list[Any]) -> str:
    g, w = got.astype(np.float64), want.astype(np.float64)
    same = (g == w) | (np.isnan(g) & np.isnan(w))
    finite = np.isfinite(w)
    scale = np.abs(w[finite]).max(initial=0.0)
    # what cancels to nothing leaves the roundings of what it was made of
    allowed = np.full(w.shape, TOLERANCE[got.dtype.name] * max(scale, 1e-2))
    # below the normal numbers, absolute steps
    allowed += np.finfo(got.dtype).tiny
    unsure = np.zeros(w.shape, bool)
    for other in others:
        o = np.asarray(other)
        if o.shape != w.shape or o.dtype != want.dtype:
            continue
        with np.errstate(all="ignore"):
            spread = np.abs(o.astype(np.float64) - w)
        unsure |= np.isfinite(w) != np.isfinite(o)
        allowed = np.maximum(
            allowed, _SPREAD * np.where(np.isfinite(spread), spread, 0)
        )
    with np.errstate(all="ignore"):
        near = np.abs(g - w) <= allowed
    wrong = np.argwhere(~(same | near | unsure))
    return _at(got, want, wrong[0]) if len(wrong) else ""


def _at(got: Any, want: Any, index: Any) -> str:
    at = tuple(int(i) for i in index)
    return f"{got[at]!r}, expected {want[at]!r} at {at}"
