"""Is a part of the data worse off, though the whole is not?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from trimtab.errors import InputError
from trimtab.gates.evidence import Evidence
from trimtab.gates.gate import Gate
from trimtab.gates.paired import scored
from trimtab.stats.multiplicity import benjamini_hochberg
from trimtab.stats.special import binomial_cdf, t_tail
from trimtab.types import Array

__all__ = ["check", "worse_p_value"]

# Rows that a slice must have to be tested, and slices of one column.
_N_LEAST = 10
_MAX_VALUES = 100


def check(evidence: Evidence) -> Gate | None:
    """Test each class and each slice for a drop beyond what is borne of a part.

    Parts of the guard and of the reference set; p-values count how many were looked at.

    Parameters
    ----------
    evidence : Evidence

    Returns
    -------
    gate : Gate or None
        None where the metric has no score for each row, or nothing makes parts.

    Examples
    --------
    >>> check(evidence).evidence["slices"][0]["drop"]      # doctest: +SKIP
    0.0
    """
    parts = [
        (f"{name}, {label}", mask, lost)
        for name in ("guard", "reference")
        for lost in _lost(evidence, name)
        for label, mask in _masks(evidence, name)
        if mask.sum() >= _N_LEAST
    ]
    if not parts:
        return None
    drops = [float(lost[mask].mean()) for _, mask, lost in parts]
    raw = [worse_p_value(lost[mask], evidence.slice_margin) for _, mask, lost in parts]
    adjusted = benjamini_hochberg(raw)
    found: list[dict[str, Any]] = [
        {
            "slice": part[0],
            "n": int(part[1].sum()),
            "drop": drop,
            "adjusted_p": float(p),
        }
        for part, drop, p in zip(parts, drops, adjusted, strict=True)
    ]
    bad = [one for one in found if one["adjusted_p"] <= evidence.alpha]
    told = {"slices": found[:_MAX_VALUES], "margin": evidence.slice_margin}
    if bad:
        texts = [f"{one['slice']}: {one['drop']:.3g} of {one['n']} rows" for one in bad]
        reason = f"worse by more than {evidence.slice_margin:g}: {'; '.join(texts[:5])}"
        return Gate("slices", "failed", reason, told)
    worst = max(found, key=lambda one: float(one["drop"]))
    reason = (
        f"{len(found)} parts, none shown to be worse by more than "
        f"{evidence.slice_margin:g}; the largest drop is {worst['drop']:.3g}, "
        f"{worst['slice']}"
    )
    return Gate("slices", "passed", reason, told)


def _lost(evidence: Evidence, name: str) -> Iterator[Array]:
    """What each row lost, once, where there are such rows and scores."""
    if getattr(evidence, name) is None:
        return
    old, new = (scored(evidence, who, name) for who in ("champion", "candidate"))
    if old.scores.ndim == 1:
        yield old.scores - new.scores


def _masks(evidence: Evidence, name: str) -> Iterator[tuple[str, Array]]:
    """Classes, and what the user tells apart in the guard set."""
    columns: dict[str, Any] = {}
    if evidence.is_classifier:
        columns["class"] = evidence.codes(name)
    if name == "guard":
        columns |= _columns(evidence.slices or {}, len(evidence.guard.labels))
    for column, values in columns.items():
        if values.dtype.kind == "b":
            yield column, values
            continue
        for value in np.unique(values)[:_MAX_VALUES]:
            yield f"{column} {value}", values == value


def _columns(slices: Mapping[str, Any], n: int) -> dict[str, Array]:
    found = {}
    for name, given in slices.items():
        values = np.asarray(given)
        if values.shape != (n,):
            raise InputError(
                f"slices: {name!r}: expected a value for each of the {n} guard rows, "
                f"got shape {values.shape}"
            )
        found[str(name)] = values
    return found


def worse_p_value(lost: Array, margin: float) -> float:
    """Test that the mean loss is at most `margin`, one-sided.

    Parameters
    ----------
    lost : ndarray of shape (n,)
        What each row lost: -1, 0 or 1, or any numbers.
    margin : float

    Returns
    -------
    p_value : float
        Of the exact test on the rows that changed where these are by one, at a loss of
        the margin; else of Student's t.

    Examples
    --------
    >>> round(worse_p_value(np.repeat([1.0, 0.0], [8, 92]), 0.0), 6)
    0.003906
    """
    n = len(lost)
    if np.isin(lost, (-1.0, 0.0, 1.0)).all():
        worse, better = int((lost > 0).sum()), int((lost < 0).sum())
        changed = worse + better
        if changed == 0:
            return 1.0
        # Under the hypothesis worse - better is n * margin at most.
        share = min(1.0, 0.5 + 0.5 * n * margin / max(changed, n * margin))
        below = np.array([worse - 1.0])
        if share >= 1.0:
            return 1.0
        counts = np.array([float(changed)]), np.array([share])
        return float(1 - binomial_cdf(below, *counts)[0]) if worse else 1.0
    error = float(lost.std(ddof=1)) / math.sqrt(n)
    gap = float(lost.mean()) - margin
    if error == 0:
        return 0.0 if gap > 0 else 1.0
    t = gap / error
    tail = float(t_tail(abs(t), n - 1))
    return tail if t > 0 else 1 - tail
