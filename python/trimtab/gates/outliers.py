"""Are some new rows unlike all others, old and new?

Enters: evidence. Leaves: a `Gate`. Data that shifts moves as a whole; what was slipped
in stands apart from the reference and from the other new rows. Looked for off the plane
that reference rows lie in, in the embedding and among the inputs as they are.
"""

from __future__ import annotations

from trimtab.gates.evidence import Evidence
from trimtab.gates.gate import Gate
from trimtab.gates.share import share_within
from trimtab.gates.space import residuals, robust_z, spaces_of

__all__ = ["check"]

# Robust standard deviations from the other new rows.
_FAR = 4.5
# Rows that a plane can be found of.
_N_LEAST = 50


def check(evidence: Evidence) -> Gate | None:
    """Count the new rows that stand apart, against those of the reference.

    Parameters
    ----------
    evidence : Evidence

    Returns
    -------
    gate : Gate or None
        None without new or reference rows.

    Examples
    --------
    >>> check(evidence).evidence["share"]                  # doctest: +SKIP
    0.0
    """
    if evidence.reference is None or evidence.new is None:
        return None
    n = len(evidence.reference.labels)
    if n < _N_LEAST:
        reason = f"{n} reference rows; {_N_LEAST} are needed to say what is usual"
        return Gate("outliers", "needs_data", reason, {"n_required": _N_LEAST})
    found = []
    for space in spaces_of(evidence):
        old = residuals(space.reference, space.reference)
        new = residuals(space.new, space.reference)
        gate = share_within(
            "outliers",
            f"rows stand apart by their {space.name}",
            robust_z(new, old) > _FAR,
            robust_z(old, old) > _FAR,
            evidence.outlier_share,
            alpha=evidence.alpha,
            evidence={"space": space.name},
        )
        found.append(gate)
    failed = [gate for gate in found if gate.state == "failed"]
    return failed[0] if failed else max(found, key=lambda gate: gate.evidence["share"])
