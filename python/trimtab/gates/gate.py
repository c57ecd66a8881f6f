"""What a gate says, and what all of them say together.

Enters: verdicts. Leaves: `Gate` and `GateReport`, as text, as data and as a table.
"""

from __future__ import annotations

import html
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trimtab.errors import InputError
from trimtab.report import html_table, text_table

__all__ = ["STATES", "Gate", "GateReport"]

#: What a gate can say, the strongest first: that of a report is the first that occurs.
STATES = ("failed", "needs_data", "passed")
_HEADERS = ["gate", "state", "reason"]


@dataclass(frozen=True)
class Gate:
    """What one gate says of a candidate.

    Parameters
    ----------
    name : str
    state : {"passed", "failed", "needs_data"}
    reason : str
        For people, in one line.
    evidence : mapping of str to object
        The figures behind it: numbers, texts, lists and mappings of these.

    Examples
    --------
    >>> print(Gate("memory", "passed", "1.0 times the champion's"))
    memory: passed, 1.0 times the champion's
    """

    name: str
    state: str
    reason: str
    evidence: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse states that are none."""
        if self.state not in STATES:
            raise InputError(
                f"gate {self.name!r}: expected one of {list(STATES)} as its state, "
                f"got {self.state!r}"
            )

    @property
    def ok(self) -> bool:
        """Did the candidate pass?"""
        return self.state == "passed"

    def __str__(self) -> str:
        """Give it in one line."""
        return f"{self.name}: {self.state}, {self.reason}"

    def to_dict(self) -> dict[str, Any]:
        """Give it as plain values; numbers that are not finite are None."""
        return {
            "name": self.name,
            "state": self.state,
            "reason": self.reason,
            "evidence": _plain(self.evidence),
        }


@dataclass(frozen=True)
class GateReport:
    """What all gates say of a candidate.

    Parameters
    ----------
    gates : tuple of Gate
        In the order in which they were asked.

    Examples
    --------
    >>> gates = Gate("finite", "passed", "all"), Gate("memory", "failed", "3 times")
    >>> GateReport(gates).state
    'failed'
    """

    gates: tuple[Gate, ...]

    @property
    def state(self) -> str:
        """Give "passed" if all passed; "failed" beats "needs_data"."""
        found = {gate.state for gate in self.gates} or {"needs_data"}
        return next(state for state in STATES if state in found)

    @property
    def ok(self) -> bool:
        """Did the candidate pass them all?"""
        return self.state == "passed"

    @property
    def reasons(self) -> tuple[str, ...]:
        """What stands against the candidate; what failed comes first."""
        against = [gate for gate in self.gates if not gate.ok]
        against.sort(key=lambda gate: STATES.index(gate.state))
        if not self.gates:
            return ("no gate was asked",)
        return tuple(f"{gate.name}: {gate.reason}" for gate in against)

    def __getitem__(self, name: str) -> Gate:
        """Give what one gate said."""
        for gate in self.gates:
            if gate.name == name:
                return gate
        raise KeyError(f"no gate {name!r}; there are {[g.name for g in self.gates]}")

    def __contains__(self, name: object) -> bool:
        """Was a gate of this name asked?"""
        return any(gate.name == name for gate in self.gates)

    def _rows(self) -> list[list[str]]:
        return [[gate.name, gate.state, gate.reason] for gate in self.gates]

    def __str__(self) -> str:
        """Give the verdict and the table."""
        return f"{self.state}\n{text_table(_HEADERS, self._rows())}"

    def _repr_html_(self) -> str:
        head = f"<p>{html.escape(self.state)}</p>"
        return head + html_table(_HEADERS, self._rows())

    def to_dict(self) -> dict[str, Any]:
        """Give all of it as plain values."""
        return {
            "state": self.state,
            "ok": self.ok,
            "reasons": list(self.reasons),
            "gates": [gate.to_dict() for gate in self.gates],
        }

    def to_json(self) -> str:
        """Give `to_dict` as JSON."""
        return json.dumps(self.to_dict(), indent=2, allow_nan=False)


def _plain(value: Any, depth: int = 8) -> Any:
    """Values that JSON holds; what is nested deeper becomes text."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if depth and isinstance(value, Mapping):
        return {str(key): _plain(each, depth - 1) for key, each in value.items()}
    if depth and isinstance(value, list | tuple):
        return [_plain(each, depth - 1) for each in value]
    return str(value)
