"""Alerts: sustained, material, said once; and rare where nothing happens."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.errors import InputError
from trimtab.monitor import FeatureSketch
from trimtab.monitor.alert import Alert, AlertPolicy, AlertRule
from trimtab.monitor.drift import DriftReport, DriftScore, FeatureDrift, detect


def report_of(**effects: float | None) -> DriftReport:
    """A report; effects in thresholds, drift above 1, severe above 2, None: gone."""
    features, scores = [], []
    for name, effect in effects.items():
        if effect is None:
            features.append(FeatureDrift(name, "numeric", "vanished"))
            continue
        score = DriftScore(
            name,
            "wasserstein",
            effect,
            0.0,
            effect,
            1.0,
            effect > 1,
            is_drift=effect > 1,
            is_severe=effect > 2,
        )
        state = "drift" if effect > 1 else "stable"
        features.append(FeatureDrift(name, "numeric", state, (score,)))
        scores.append(score)
    return DriftReport(tuple(features), tuple(scores), 0.05)


def course(policy: AlertPolicy, effects: list[float | None]) -> list[list[str]]:
    return [
        [f"{a.state} {a.severity}" for a in policy.observe(report_of(x=effect), time=0)]
        for effect in effects
    ]


def test_one_window_is_no_alert_and_two_of_three_are_one() -> None:
    policy = AlertPolicy()
    found = course(policy, [0, 1.5, 0, 0, 1.5, 0, 1.5, 1.5, 1.5])
    assert found == [[], [], [], [], [], [], ["raised warning"], [], []]
    assert len(policy.active) == 1


def test_a_warning_escalates_once_and_clears() -> None:
    policy = AlertPolicy()
    found = course(policy, [1.5, 1.5, 3, 3, 3, 0, 0, 0, 0])
    assert [x for part in found for x in part] == [
        "raised warning",
        "escalated critical",
        "cleared critical",
    ]
    assert policy.active == ()


def test_what_comes_and_goes_is_held_off() -> None:
    policy = AlertPolicy(AlertRule(hold_off=8))
    found = course(policy, [2, 2, 0, 0, 0, 2, 2, 0, 0, 0, 2, 2, 2])
    raised = [i for i, part in enumerate(found) if "raised warning" in part]
    assert raised == [1, 11]
    assert policy.n_held_off == 1


def test_features_of_a_window_are_one_alert_the_strongest_first() -> None:
    policy = AlertPolicy(AlertRule(needed=1, of=1))
    alerts = policy.observe(report_of(a=1.2, b=1.9, c=0.1, d=None), window=7, time=3.5)
    assert [(a.severity, a.drifted) for a in alerts] == [
        ("critical", ("d",)),
        ("warning", ("b", "a")),
    ]
    assert alerts[1].window == 7
    assert alerts[1].time == 3.5
    assert "wasserstein 1.9 > 1" in alerts[1].message
    assert "vanished" in alerts[0].message
    json.dumps([alert.to_dict() for alert in alerts])


def test_effects_below_the_rule_are_no_alert() -> None:
    assert not any(course(AlertPolicy(AlertRule(effect=2)), [1.5] * 9))


def test_windows_of_the_monitor_are_read() -> None:
    policy = AlertPolicy(AlertRule(needed=1, of=1))
    window = SimpleNamespace(drift=report_of(x=3), index=4, time=9.0)
    (record,) = policy.update(window)
    assert record["drifted"] == ["x"]
    assert record["window"] == 4
    assert policy.active[0]["severity"] == "critical"
    assert policy.update(SimpleNamespace(drift=None)) == ()
    assert policy.update(report_of(x=3)) == ()
    policy.renew()
    assert policy.active == ()


def test_windows_that_could_not_be_compared_say_nothing() -> None:
    policy = AlertPolicy()
    empty = DriftReport((FeatureDrift("x", "numeric", "empty"),), (), 0.05)
    for report in (report_of(x=1.5), empty, empty, empty):
        assert not policy.observe(report)
    assert policy.observe(report_of(x=1.5))


@given(
    st.lists(st.floats(0, 4), max_size=60),
    st.integers(1, 5),
    st.integers(0, 4),
    st.integers(0, 12),
)
def test_alerts_follow_from_the_last_windows(
    effects: list[float], needed: int, more: int, hold_off: int
) -> None:
    rule = AlertRule(needed=needed, of=needed + more, hold_off=hold_off)
    policy = AlertPolicy(rule)
    raised = []
    for i, effect in enumerate(effects):
        for alert in policy.observe(report_of(x=effect), time=0):
            assert isinstance(alert, Alert)
            recent = [e > 1 for e in effects[max(i + 1 - rule.of, 0) : i + 1]]
            if alert.state == "raised":
                assert sum(recent) >= needed
                assert not raised or i - raised[-1] > hold_off
                raised.append(i)
            elif alert.state == "cleared":
                assert not any(recent)
    sustained = [
        i
        for i in range(len(effects))
        if sum(e > 1 for e in effects[max(i + 1 - rule.of, 0) : i + 1]) >= needed
    ]
    assert bool(raised) == bool(sustained)


@pytest.mark.parametrize(
    "arguments", [{"needed": 4}, {"needed": 0}, {"effect": 0}, {"hold_off": -1}]
)
def test_mistakes_are_refused(arguments: dict) -> None:
    with pytest.raises(InputError, match="an alert rule"):
        AlertRule(**arguments)


@pytest.mark.parametrize("size", [100, 500])
def test_quiet_windows_of_fifty_features_raise_less_than_one_alert_in_100(
    size: int,
) -> None:
    """Also of 100 rows, where effects exceed their thresholds by chance."""
    rng = np.random.default_rng(size)
    edges = np.arange(31) / 31

    def sketches(n: int) -> list[FeatureSketch]:
        counts = rng.multinomial(n, np.full(32, 1 / 32), size=50)
        return [
            FeatureSketch(f"x{i}", "numeric", row, edges=edges, minimum=-1, maximum=2)
            for i, row in enumerate(counts)
        ]

    reference, policy = sketches(10_000), AlertPolicy()
    n_windows = 300
    n_alerts = sum(
        alert.state == "raised"
        for _ in range(n_windows)
        for alert in policy.observe(detect(reference, sketches(size)), time=0)
    )
    assert n_alerts <= n_windows / 100
