"""What gates say, and what that adds up to."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.errors import InputError
from trimtab.gates import GATES, Evidence, Gate, GateReport, prove

from .nets import blobs, evidence, rows

STATES = ("failed", "needs_data", "passed")


@settings(deadline=None)
@given(st.lists(st.sampled_from(STATES), max_size=6))
def test_failed_beats_needs_data_beats_passed(states: list[str]) -> None:
    gates = tuple(Gate(f"g{i}", state, "r") for i, state in enumerate(states))
    report = GateReport(gates)
    expected = "failed" if "failed" in states else "needs_data"
    if states and set(states) == {"passed"}:
        expected = "passed"
    assert report.state == expected
    assert report.ok == (expected == "passed")
    assert bool(report.reasons) != report.ok


def test_no_gate_asked_is_not_passed() -> None:
    assert GateReport(()).state == "needs_data"


def test_an_unknown_state_is_refused() -> None:
    with pytest.raises(InputError, match="expected one of"):
        Gate("mine", "fine", "r")


def test_reports_are_plain_json_whatever_the_evidence_holds() -> None:
    told = {
        "x": np.float32(1.5),
        "bad": math.nan,
        "a": np.arange(3),
        "t": (1, {2: "b"}),
    }
    report = GateReport((Gate("<mine>", "failed", "<b>", told),))
    plain = json.loads(report.to_json())
    assert plain["gates"][0]["evidence"] == {
        "x": 1.5,
        "bad": None,
        "a": [0, 1, 2],
        "t": [1, {"2": "b"}],
    }
    assert "<b>" not in report._repr_html_()
    assert "<mine>" in str(report)


def test_all_gates_pass_an_honest_update() -> None:
    report = prove(evidence())
    assert report.ok, report.reasons
    asked = [gate.name for gate in report.gates]
    assert asked == [name for name in GATES if name != "cross_validation"]
    assert report["memory"].ok
    assert "latency" in report


def test_gates_are_chosen_by_name_and_own_ones_are_asked_last() -> None:
    def enough(found: Evidence) -> Gate:
        return Gate("enough", "needs_data", f"{len(found.guard.labels)} rows")

    report = prove(evidence(), [enough, "forgetting", "finite"])
    assert [gate.name for gate in report.gates] == ["finite", "forgetting", "enough"]
    assert report.state == "needs_data"
    assert report.reasons == ("enough: 300 rows",)


@pytest.mark.parametrize("gates", ["nothing", [], ["finite", "nothing"], [3]])
def test_unknown_gates_are_refused(gates: Any) -> None:
    with pytest.raises(InputError, match="gates: expected 'standard'"):
        prove(evidence(), gates)


def test_an_own_gate_that_gives_no_verdict_is_refused() -> None:
    with pytest.raises(InputError, match="expected a Gate"):
        prove(evidence(), [lambda found: True])  # type: ignore[list-item, return-value]


@pytest.mark.parametrize(
    "changes",
    [
        {"margin": -0.1},
        {"forget": math.nan},
        {"latency_factor": 0.5},
        {"alpha": 0.0},
        {"guard": rows((blobs(5, 0)[0], blobs(4, 0)[1]))},
        {"new": rows(blobs(0, 0))},
    ],
)
def test_what_fits_nothing_is_refused_before_anything_runs(changes: Any) -> None:
    with pytest.raises(InputError):
        evidence(**changes)
