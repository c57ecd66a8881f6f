"""The loop: what acts, what is held back, what is remembered across processes."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trimtab.errors import InputError, RegistryConflict
from trimtab.maintain import (
    DataVolume,
    Drift,
    ErrorRate,
    MaintenancePolicy,
    MaintenanceReport,
    Performance,
    Rule,
    actions,
    maintain_model,
    read_log,
)
from trimtab.maintain.actions import Outcome

from .fakes import Clock, Deployment, Monitor

ROWS = (np.zeros((600, 2), np.float32), np.zeros(600, np.int64))


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was done, without doing it; entries of `fail` make it fail."""
    tasks: list[Any] = []

    def update(task: Any) -> Outcome:
        tasks.append(task)
        if task.rule.options.get("fails"):
            raise ValueError("training fell over")
        task.deployment.version += 1
        return Outcome("PROMOTED", "head_ridge", has_learned=True)

    def back(task: Any) -> Outcome:
        tasks.append(task)
        task.deployment.version -= 1
        return Outcome("ROLLED_BACK")

    monkeypatch.setitem(actions.ACTIONS, "update", update)
    monkeypatch.setitem(actions.ACTIONS, "roll_back", back)
    return tasks


class World:
    """A deployment that is maintained by one look after the other."""

    def __init__(self, path: Path | None, *rules: Rule, **policy: Any) -> None:
        self.clock, self.deployment, self.monitor = Clock(), Deployment(), Monitor()
        self.policy = MaintenancePolicy(rules, **policy) if rules else None
        self.path, self.data, self.alerts = path, None, []
        self.baseline = {"accuracy": 0.95}

    def look(self, after_s: float = 60.0) -> MaintenanceReport:
        """Each look is as of a new process: only the log remembers."""
        self.clock.now += after_s
        return maintain_model(
            self.deployment,
            self.policy,
            monitor=self.monitor,
            new_data=self.data,
            baseline=self.baseline,
            on_alert=lambda rule, reason: self.alerts.append((rule, reason)),
            log=self.path,
            clock=self.clock,
            once=True,
        )

    def kinds(self) -> list[str]:
        assert self.path is not None
        return [r["kind"] for r in read_log(self.path)]


def test_the_usual_policy_tells_updates_and_takes_back(
    tmp_path: Path, done: list[Any]
) -> None:
    world = World(tmp_path / "log")
    assert world.look().actions == ()
    world.monitor.state, world.monitor.drifted = "alert", ("brightness",)
    world.look()
    assert world.alerts == [("drift", "drift of brightness has lasted")]
    assert not done  # drift alone changes nothing
    world.look()
    assert len(world.alerts) == 1  # said once
    world.data = ROWS
    world.monitor.live(0.88)
    report = world.look()
    assert [task.rule.name for task in done] == ["worse"]
    assert done[0].offer.n_rows == 600
    assert report.version == 2
    assert report.ok
    assert "accuracy is 0.88" in str(report)
    world.look(4000)  # the same data again, and still worse: within the first day
    assert [task.rule.name for task in done] == ["worse", "disappoints"]
    assert world.deployment.version == 1
    report = world.look(4000)  # still worse, but there is nothing new to learn from
    assert len(done) == 2
    assert "no labelled rows are new" in str(report)


def test_the_same_rows_are_not_learned_twice(tmp_path: Path, done: list[Any]) -> None:
    rule = Rule("labels", DataVolume(100), "update", cooldown_s=0)
    world = World(tmp_path / "log", rule)
    world.data = ROWS
    for _ in range(3):
        world.look()
    assert len(done) == 1
    x, y = ROWS
    world.data = (np.concatenate([x, x[:99] + 1]), np.concatenate([y, y[:99]]))
    world.look()
    assert len(done) == 1  # 99 rows are new
    world.data = (np.concatenate([x, x[:100] + 1]), np.concatenate([y, y[:100]]))
    world.look()
    assert len(done) == 2


def test_no_more_changes_a_day_than_allowed(tmp_path: Path, done: list[Any]) -> None:
    world = World(
        tmp_path / "log",
        Rule("worse", Performance(), "update", cooldown_s=0),
        max_per_day=2,
    )
    world.monitor.live(0.5)
    for i in range(5):
        world.data = (ROWS[0] + i, ROWS[1])
        world.look(3600)
    assert len(done) == 2
    held = [r for r in read_log(world.path) if r["kind"] == "held"]
    assert [r["reason"] for r in held] == ["there were 2 changes within 24 hours"]
    world.look(22 * 3600)  # the first is a day ago
    assert len(done) == 3


def test_failures_are_waited_on_ever_longer(tmp_path: Path, done: list[Any]) -> None:
    world = World(
        tmp_path / "log",
        Rule("worse", Performance(), "update", 0, {"fails": True}),
        backoff_s=100,
        max_per_day=99,
    )
    world.data = ROWS
    world.monitor.live(0.5)
    at = []
    for _ in range(200):
        before = len(done)
        report = world.look(10)
        if len(done) > before:
            at.append(world.clock.now)
            assert not report.ok
            assert report.reasons == ("worse: FAILED: ValueError: training fell over",)
    gaps = np.diff(at)
    assert gaps.tolist() == [100, 200, 400, 800]
    assert world.deployment.version == 1


def test_quiet_hours_hold_changes_but_not_what_saves(
    tmp_path: Path, done: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    world = World(
        tmp_path / "log",
        Rule("errors", ErrorRate(0.5), "roll_back", 0),
        Rule("worse", Performance(), "update", 0),
        quiet_hours=("00:00", "23:59"),
    )
    world.data = ROWS
    world.monitor.live(0.5)
    world.look()
    assert not done
    world.deployment.n_requests, world.deployment.n_errors = 40, 30
    world.look()
    assert [task.rule.name for task in done] == ["errors"]
    assert "75 % of the requests" in done[0].reason
    world.look()  # no new errors
    assert len(done) == 1


def test_metrics_are_those_of_the_version_that_serves(
    tmp_path: Path, done: list[Any]
) -> None:
    def window(index: int, value: float, n: int = 250) -> dict[str, Any]:
        one = {"value": value, "low": value - 0.03, "high": value + 0.03, "n": n}
        return {"index": index, "n_labels": n, "metrics": {"accuracy": one}}

    rule = Rule("worse", Performance(threshold=0.9), "alert", cooldown_s=0)
    world = World(tmp_path / "log", rule)
    world.monitor.label_windows = (window(0, 0.5), window(1, 0.95))
    world.look()
    assert not world.alerts  # the newest window counts
    world.monitor.label_windows = (window(1, 0.95), window(2, 0.5, n=10))
    world.look()
    assert not world.alerts  # ten labels say nothing
    world.monitor.label_windows = (window(1, 0.95), window(2, 0.5))
    world.deployment.version = 2
    world.look()
    assert not world.alerts  # window 2 holds answers of both versions
    world.monitor.label_windows = (window(2, 0.5), window(3, 0.6))
    world.look()
    assert "accuracy is 0.6" in world.alerts[0][1]


def test_one_change_a_look(tmp_path: Path, done: list[Any]) -> None:
    world = World(
        tmp_path / "log",
        Rule("worse", Performance(), "update", 0),
        Rule("labels", DataVolume(1), "update", 0),
    )
    world.data = ROWS
    world.monitor.live(0.5)
    world.look()
    assert [task.rule.name for task in done] == ["worse"]


def test_a_process_that_was_killed_is_gone_on_from(
    tmp_path: Path, done: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def dies(task: Any) -> Outcome:
        raise Killed

    rule = Rule("worse", Performance(), "update", cooldown_s=0)
    world = World(tmp_path / "log", rule, backoff_s=1000)
    world.data = ROWS
    world.monitor.live(0.5)
    with monkeypatch.context() as patch:
        patch.setitem(actions.ACTIONS, "update", dies)
        with pytest.raises(Killed):
            world.look()
    assert world.kinds()[-1] == "began"
    report = world.look()
    assert world.kinds()[-3:] == ["interrupted", "ended", "held"]
    assert "nothing was put in place" in str(report)
    world.look(1000)
    assert len(done) == 1


def test_data_that_cannot_be_read_are_told_once(tmp_path: Path) -> None:
    world = World(tmp_path / "log", Rule("labels", DataVolume(1), "update"))

    def broken() -> Any:
        raise OSError("the share is away")

    world.data = broken
    world.look()
    assert "the share is away" in read_log(world.path)[-1]["reason"]
    path = tmp_path / "new.npz"
    world.data = path  # it is not there yet
    world.look()
    np.savez(path, x=ROWS[0])
    assert "expected labels" in str(world.look())
    path.write_bytes(b"PK\3\4 no archive")
    assert "new_data" in str(world.look())


@pytest.mark.parametrize("is_signal", [False, True])
def test_the_loop_runs_until_it_is_stopped(done: list[Any], is_signal: bool) -> None:
    deployment, stop = Deployment(), threading.Event()
    seen: list[int] = []

    def data() -> Any:
        seen.append(1)
        if len(seen) == 5:
            if is_signal:
                os.kill(os.getpid(), signal.SIGTERM)
            else:
                stop.set()
        return ROWS

    report = maintain_model(
        deployment,
        {"check_s": 0.01},
        new_data=data,
        stop=None if is_signal else stop,
    )
    assert len(seen) == 5
    kinds = [r["kind"] for r in report.records]
    assert kinds[0] == "started"
    assert kinds[-1] == "stopped"
    assert [task.rule.name for task in done] == ["labels"]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_two_do_not_maintain_with_one_log(tmp_path: Path) -> None:
    from trimtab.maintain.log import MaintenanceLog

    world = World(tmp_path / "log")
    with (
        MaintenanceLog(tmp_path / "log"),
        pytest.raises(RegistryConflict, match="another process"),
    ):
        world.look()
    world.look()


def test_what_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="deploy_model"):
        maintain_model(object(), once=True)
    with pytest.raises(InputError, match="policy"):
        maintain_model(Deployment(), 3, once=True)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="new_data"):
        maintain_model(Deployment(), new_data=3, once=True)
    with pytest.raises(InputError, match="on_alert"):
        maintain_model(Deployment(), on_alert=3, once=True)  # type: ignore[arg-type]
    other = tmp_path / "other"
    other.write_text("this is no log\n" * 3)
    with pytest.raises((InputError, OSError)):
        maintain_model(Deployment(), log=tmp_path / "no" / "log", once=True)


def test_reports_are_told_drawn_and_read_again(tmp_path: Path, done: list[Any]) -> None:
    pytest.importorskip("matplotlib").use("Agg")
    world = World(
        tmp_path / "log",
        Rule("drift", Drift("drift"), "alert", 0),
        Rule("worse", Performance(), "update", 0, {"fails": True}),
    )
    world.monitor.state, world.monitor.drifted = "drift", ("<b>x</b>",)
    world.data = ROWS
    for value in (0.95, 0.9, 0.8):
        world.monitor.live(value)
        world.look()
    report = MaintenanceReport.read(world.path, "digits")
    assert not report.ok
    assert "<b>x</b>" not in report._repr_html_()
    report.save(tmp_path / "r.html")
    assert (tmp_path / "r.html").stat().st_size > 1000
    report.save(tmp_path / "r.json")
    figure = report.plot()
    assert len(figure.axes[0].lines) == 1 + len(report.actions)
    import matplotlib.pyplot as plt

    plt.close(figure)
