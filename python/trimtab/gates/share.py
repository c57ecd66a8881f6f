"""Is a share of the new rows larger than it was, by more than is borne?

Enters: what was counted in new and in reference rows. Leaves: a `Gate`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from trimtab.gates.gate import Gate
from trimtab.stats.paired import clopper_pearson_upper

__all__ = ["share_within"]


def share_within(
    gate: str,
    what: str,
    new: Any,
    usual: Any,
    allowed: float,
    *,
    alpha: float = 0.05,
    evidence: Mapping[str, Any] | None = None,
) -> Gate:
    """Hold the share of rows that are marked against that of the reference rows.

    Parameters
    ----------
    gate : str
        Its name.
    what : str
        What is marked, for people: "labels contradict their rows".
    new, usual : ndarray of bool
        Marks of new and of reference rows.
    allowed : float
        Share that is borne beyond the usual one.
    alpha : float, default=0.05
    evidence : mapping, optional
        Told besides.

    Returns
    -------
    gate : Gate
        "needs_data" where so few rows are new that a share as large as `allowed`
        could have left no mark.

    Examples
    --------
    >>> new, usual = np.arange(200) < 20, np.zeros(300, bool)
    >>> gate = share_within("outliers", "rows are strange", new, usual, 0.02)
    >>> gate.reason
    '20 of 200 rows are strange, at least 0.067; usual is 0, 0.02 more are allowed'
    """
    n, k = len(new), int(np.sum(new))
    before = float(np.mean(usual)) if len(usual) else 0.0
    low = 1 - clopper_pearson_upper(n - k, n, alpha) if k else 0.0
    share = k / n
    told = {
        **(evidence or {}),
        "n": n,
        "marked": k,
        "share": share,
        "share_low": low,
        "usual": before,
        "allowed": allowed,
    }
    reason = (
        f"{k} of {n} {what}, at least {low:.2g}; usual is {before:.2g}, {allowed:g} "
        "more are allowed"
    )
    if share - before > allowed and low > before:
        return Gate(gate, "failed", reason, told)
    needed = math.ceil(math.log(alpha) / math.log1p(-max(min(allowed, 0.99), 1e-3)))
    if n < needed:
        told["n_required"] = needed
        reason = f"{reason}; {needed} rows would show such a share"
        return Gate(gate, "needs_data", reason, told)
    return Gate(gate, "passed", reason, told)
