"""Were rows of the guard or the reference learned from? Then they prove nothing.

Enters: evidence. Leaves: a `Gate`. Copies count, and copies with a little noise; rows
that recur in the data anyway, as in tables with few values, do not.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from trimtab.gates.evidence import Evidence
from trimtab.gates.gate import Gate
from trimtab.gates.rows import Rows, row_digests
from trimtab.gates.share import share_within
from trimtab.gates.space import chosen_rows, neighbours_of, spaces_of
from trimtab.types import Array

__all__ = ["check"]

# A copy is nearer than this share of the usual distance to the nearest row.
_NEAR = 0.2
# Share of rows that may recur by chance.
_ALLOWED = 0.01


def check(evidence: Evidence) -> Gate | None:
    """Count the rows that are held back and were learned from all the same.

    Parameters
    ----------
    evidence : Evidence

    Returns
    -------
    gate : Gate or None
        None where it is not known what was learned from.

    Examples
    --------
    >>> check(evidence).evidence["marked"]                 # doctest: +SKIP
    0
    """
    if evidence.new is None:
        return None
    found = []
    for name in ("guard", "reference"):
        if getattr(evidence, name) is None:
            continue
        marks, usual = _copies(evidence, name)
        gate = share_within(
            "leakage",
            f"rows of {name} were learned from",
            marks,
            usual,
            _ALLOWED,
            alpha=evidence.alpha,
            evidence={"rows": name},
        )
        # Few rows without a copy are no reason to ask for more.
        if gate.state == "needs_data":
            gate = Gate("leakage", "passed", gate.reason, gate.evidence)
        found.append(gate)
    failed = [gate for gate in found if not gate.ok]
    return (failed or found)[0]


def _copies(evidence: Evidence, name: str) -> tuple[Array, Array]:
    """Which rows have a copy among those learned from, and which of those have one."""
    new = evidence.rows("new")
    keys = _keys(new)
    known, counts = np.unique(keys, return_counts=True)
    places = chosen_rows(evidence, name)
    exact = np.isin(_keys(evidence.rows(name))[places], known)
    twice = np.isin(keys, known[counts > 1])
    if evidence.reference is None:
        return exact, twice
    space = next((s for s in spaces_of(evidence) if s.name == "inputs"), None)
    if space is None:
        return exact, twice
    n_new = len(chosen_rows(evidence, "new"))
    learned, guard = space.new[:n_new], space.new[n_new:]
    held = guard if name == "guard" else space.reference
    among = neighbours_of(learned, learned, 1, offset=0).distances[:, 0]
    nearest = neighbours_of(held, learned, 1).distances[:, 0]
    limit = _NEAR * float(np.median(among))
    again = twice[chosen_rows(evidence, "new")] | (among < limit)
    return exact | (nearest < limit), again


def _keys(rows: Rows) -> Any:
    """A row's bytes as a number that equal rows share."""
    digests = row_digests(rows.inputs)
    return np.frombuffer(b"".join(digests), np.uint64)[::2]
