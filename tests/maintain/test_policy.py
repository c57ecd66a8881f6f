"""Triggers and policies: when they fire, what is none, files of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.errors import InputError
from trimtab.maintain import (
    All,
    DataVolume,
    Drift,
    ErrorRate,
    MaintenancePolicy,
    Observation,
    Performance,
    Rule,
    Schedule,
)
from trimtab.maintain.actions import ACTIONS
from trimtab.maintain.policy import ACTION_KINDS


def live(value: float, low: float, high: float, n: int = 600) -> dict[str, Any]:
    return {"accuracy": {"value": value, "low": low, "high": high, "n": n}}


def fires(trigger: Any, **seen: Any) -> str | None:
    return trigger.reason(Observation(0.0, **seen), "rule")


def test_drift_fires_by_state_and_feature() -> None:
    assert fires(Drift(), state="alert", drifted=("a", "b")) == (
        "drift of a, b has lasted"
    )
    assert fires(Drift(), state="drift", drifted=("a",)) is None
    assert fires(Drift("drift"), state="drift", drifted=("a",)) == "drift of a"
    assert fires(Drift(features=("b",)), state="alert", drifted=("a",)) is None
    assert fires(Drift(), state="no monitor") is None


def test_performance_fires_only_beyond_doubt() -> None:
    below = Performance(threshold=0.9)
    assert fires(below, metrics=live(0.85, 0.82, 0.88)) is not None
    assert fires(below, metrics=live(0.85, 0.78, 0.92)) is None  # may be chance
    assert fires(below, metrics=live(0.85, 0.82, 0.88, n=20)) is None  # too few
    fell = Performance(drop=0.02)
    known = {"accuracy": 0.95}
    assert fires(fell, metrics=live(0.90, 0.88, 0.92), baseline=known) is not None
    assert fires(fell, metrics=live(0.94, 0.92, 0.96), baseline=known) is None
    assert fires(fell, metrics=live(0.1, 0.0, 0.2)) is None  # nobody knows what for


def test_performance_of_errors_is_worse_when_it_is_greater() -> None:
    one = {"value": 2.0, "low": 1.8, "high": 2.2, "n": 100}
    trigger = Performance("mse", threshold=1.5)
    found = fires(trigger, metrics={"mse": one})
    assert found == "mse is 2 [1.8, 2.2] of 100 labels, worse than 1.5"
    assert fires(Performance("mse", threshold=1.9), metrics={"mse": one}) is None


def test_estimates_count_where_they_are_asked_for() -> None:
    estimates = {"accuracy": {"value": 0.7, "low": 0.68, "high": 0.72}}
    asked = Performance(threshold=0.9, with_estimates=True)
    assert "as estimated" in str(fires(asked, estimates=estimates))
    assert fires(Performance(threshold=0.9), estimates=estimates) is None
    # labels that came are better than an estimate
    assert fires(asked, estimates=estimates, metrics=live(0.95, 0.93, 0.97)) is None


def test_the_others_fire_as_they_say() -> None:
    assert fires(Schedule(60)) == "never done before"
    assert fires(Schedule(60), since_s={"rule": 59}) is None
    assert fires(Schedule(60), since_s={"rule": 61, "other": 1}) is not None
    assert fires(DataVolume(10), n_new=9) is None
    assert fires(DataVolume(10), n_new=10) == "10 labelled rows are new"
    assert fires(ErrorRate(0.1), error_rate=0.09) is None
    assert fires(ErrorRate(0.1), error_rate=0.25) is not None
    both = All((DataVolume(10), Drift("drift")), since_promotion_s=100)
    seen = {"n_new": 10, "state": "drift", "drifted": ("a",)}
    assert fires(both, **seen) is None
    assert fires(both, **seen, since_promotion_s=101) is None
    assert fires(both, **seen, since_promotion_s=99) is not None
    assert fires(both, n_new=10, since_promotion_s=99) is None


triggers = st.one_of(
    st.builds(Drift, st.sampled_from(["alert", "drift"]), st.just(("a", "b"))),
    st.builds(Performance, st.sampled_from(["accuracy", "mse"]), st.floats(-5, 5)),
    st.builds(Schedule, st.floats(1, 1e6)),
    st.builds(DataVolume, st.integers(1, 10**6)),
    st.builds(ErrorRate, st.floats(0.001, 1)),
)


@given(
    st.lists(st.one_of(triggers, st.builds(All, st.tuples(triggers, triggers)))),
    st.sampled_from(sorted(ACTION_KINDS)),
    st.integers(0, 10),
    st.sampled_from([None, ("22:00", "06:30")]),
)
def test_what_is_written_is_read(ts: Any, action: str, most: int, quiet: Any) -> None:
    rules = tuple(Rule(f"r{i}", t, action, i * 10.0) for i, t in enumerate(ts))
    policy = MaintenancePolicy(rules, max_per_day=most, quiet_hours=quiet)
    again = MaintenancePolicy.from_dict(json.loads(json.dumps(policy.to_dict())))
    assert again == policy


def test_quiet_hours_go_over_midnight() -> None:
    night = MaintenancePolicy(quiet_hours=("22:00", "06:00"))
    assert [night.is_quiet(h * 60) for h in (21, 22, 23, 0, 5, 6)] == [
        False, True, True, True, True, False,
    ]  # fmt: skip
    noon = MaintenancePolicy(quiet_hours=("12:00", "13:00"))
    assert [noon.is_quiet(h * 60) for h in (11, 12, 13)] == [False, True, False]
    assert not MaintenancePolicy().is_quiet(0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Drift("panic"), "state"),
        (lambda: Performance("acuracy"), "acuracy"),
        (lambda: Performance(drop=-1), "drop"),
        (lambda: Performance(threshold=float("nan")), "threshold"),
        (lambda: Schedule(0), "every_s"),
        (lambda: DataVolume(True), "rows"),
        (lambda: ErrorRate(-0.5), "share"),
        (lambda: All(()), "triggers"),
        (lambda: Rule("Big Name", Drift(), "alert"), "name"),
        (lambda: Rule("a", Drift(), "explode"), "explode"),
        (lambda: Rule("a", "drift", "alert"), "trigger"),
        (lambda: Rule("a", Drift(), "alert", float("inf")), "cooldown_s"),
        (
            lambda: MaintenancePolicy(rules=(Rule("a", Drift(), "alert"),) * 2),
            "differ",
        ),
        (lambda: MaintenancePolicy(max_per_day=-1), "max_per_day"),
        (lambda: MaintenancePolicy(check_s=0), "check_s"),
        (lambda: MaintenancePolicy(quiet_hours=("25:00", "06:00")), "quiet_hours"),
        (lambda: MaintenancePolicy.from_dict({"speed": 3}), "speed"),
        (lambda: MaintenancePolicy.from_dict([]), "policy"),
        (lambda: MaintenancePolicy.from_dict({"rules": [{"name": "a"}]}), "trigger"),
        (
            lambda: MaintenancePolicy.from_dict(
                {"rules": [{"name": "a", "action": "alert", "trigger": {"kind": "x"}}]}
            ),
            "trigger",
        ),
        (
            lambda: MaintenancePolicy.from_dict(
                {
                    "rules": [
                        {
                            "name": "a",
                            "action": "alert",
                            "trigger": {
                                "kind": "all",
                                "triggers": [{"kind": "all", "triggers": []}],
                            },
                        }
                    ]
                }
            ),
            "within",
        ),
    ],
)
def test_what_is_none_is_refused(make: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


def test_files_are_read_and_refused(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    path.write_text(json.dumps(MaintenancePolicy(max_per_day=7).to_dict()))
    assert MaintenancePolicy.read(path).max_per_day == 7
    for text in ("{", "[" * 100_000, "3", '{"max_per_day": "many"}'):
        path.write_text(text)
        with pytest.raises(InputError):
            MaintenancePolicy.read(path)
    path.write_bytes(b" " * ((1 << 20) + 1))
    with pytest.raises(InputError, match="megabyte"):
        MaintenancePolicy.read(path)
    with pytest.raises(InputError, match="No such file"):
        MaintenancePolicy.read(tmp_path / "none.json")


def test_every_kind_of_action_has_a_function() -> None:
    assert list(ACTIONS) == list(ACTION_KINDS)
