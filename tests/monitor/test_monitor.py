"""Monitors that are fed by hand: windows, drift, faults, troubles, records."""

from __future__ import annotations

import json
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.monitor.clocks import FakeClock

from trimtab.errors import InputError
from trimtab.monitor.monitor import Monitor
from trimtab.monitor.reference import Reference
from trimtab.monitor.start import monitor_model
from trimtab.monitor.windows import Window

RANDOM = np.random.default_rng(7)
ROWS = RANDOM.normal(size=(4000, 4))
REFERENCE = Reference.from_data(ROWS, names=["a", "b", "c", "d"])


def monitor(**options: Any) -> Monitor:
    """One without a thread."""
    options = {"reference": REFERENCE, "window": 500, "background": False, **options}
    return monitor_model(**options)


def quiet(n: int, seed: int = 0) -> np.ndarray:
    """Rows as the reference has them."""
    return np.random.default_rng(seed).normal(size=(n, 4))


def test_quiet_traffic_is_ok_and_drift_is_found() -> None:
    watching = monitor()
    for i in range(4):
        watching.observe(quiet(500, i))
    assert watching.check().state == "ok"
    assert watching.status().n_windows == 4
    moved = quiet(1000, 9)
    moved[:, 1] += 1.0
    watching.observe(moved)
    status = watching.check()
    assert status.window is not None
    assert status.window.drifted == ("b",)
    assert not status.ok
    assert status.state == "alert"  # two windows in a row
    assert status.alerts[0]["drifted"] == ["b"]
    assert status.skew == ()
    json.dumps(status.to_dict(), allow_nan=False)
    assert "drifted: b" in str(status)


def test_batches_are_cut_where_windows_end() -> None:
    whole, parts = monitor(), monitor()
    rows = quiet(2300)
    whole.observe(rows)
    for part in np.array_split(rows, 37):
        parts.observe(part)
    assert len(whole.windows) == len(parts.windows) == 4
    for a, b in zip(whole.windows, parts.windows, strict=True):
        assert a.n_rows == b.n_rows == 500
        for f, g in zip(a.features, b.features, strict=True):
            assert f.to_dict() == g.to_dict()


def test_sliding_windows_see_each_row_as_often_as_they_have_panes() -> None:
    watching = monitor(window=Window(rows=600, n_panes=3))
    watching.observe(quiet(1200))
    assert [w.n_rows for w in watching.windows] == [600] * 4
    assert [w.index for w in watching.windows] == [2, 3, 4, 5]


def test_windows_of_time_go_by_the_injected_clock() -> None:
    clock = FakeClock()
    watching = monitor(window="1m", clock=clock)
    for i in range(5):
        watching.observe(quiet(200, i))
        clock.wall_s += [0, -86400, 3600, 1e8, -1e8][i]  # jumps of the wall clock
        clock.pass_(60.0)
    status = watching.check()
    assert status.n_windows == 5
    assert [w.n_rows for w in watching.windows] == [200] * 5
    assert all(w.seconds == pytest.approx(60.0) for w in watching.windows)
    clock.pass_(3600.0)
    watching.observe(quiet(100), age_s=0.0)
    watching.observe(quiet(50), age_s=3600.0)  # too late for any window
    assert watching.check().troubles["rows too late for any window"] == 50


def test_a_table_by_columns_may_lack_some_and_bring_others() -> None:
    watching = monitor()
    rows = quiet(500)
    columns = {name: rows[:, i] for i, name in enumerate("abc")}
    watching.observe({**columns, "zebra": np.ones(500)})
    window = watching.check().window
    assert window is not None
    assert window.drifted[0] == "d"  # it has vanished
    assert window.faults == {"absent": {"d": 500}, "unknown": {"zebra": 500}}
    assert watching.troubles == {}


def test_texts_where_numbers_were_are_missing_values() -> None:
    watching = monitor()
    rows = quiet(500)
    columns: dict[str, Any] = {name: rows[:, i] for i, name in enumerate("abcd")}
    columns["a"] = np.array(
        [f"{x:.3f}" if i % 2 else "n/a" for i, x in enumerate(rows[:, 0])]
    )
    columns["b"] = (rows[:, 1] * 10).astype(np.int64)
    watching.observe(columns)
    window = watching.check().window
    assert window is not None
    assert window.faults["dtype"] == {"a": 500, "b": 500}
    [a] = [f for f in window.features if f.name == "a"]
    assert (a.n, a.n_missing) == (250, 250)
    assert {"a", "b"} <= set(window.drifted)


@pytest.mark.parametrize(
    "batch",
    [
        np.full((500, 4), np.nan),
        np.full((500, 4), np.inf),
        np.zeros((500, 0)),
        np.zeros((500, 9)),
        np.zeros((0, 4)),
        np.zeros(()),
        np.array(["what"] * 500),
        {"a": np.zeros(500), "b": np.zeros(3)},
        {"a": None},
        {},
        None,
        "text",
        [[1, 2], [3]],
        object(),
        np.zeros((500, 4), np.complex64),
        np.zeros((500, 4), "datetime64[s]"),
    ],
)
def test_nothing_that_comes_raises(batch: Any) -> None:
    watching = monitor()
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a warning must not come out as an error
        watching.observe(batch)
        status = watching.check()
    json.dumps(status.to_dict(), allow_nan=False)
    watching.observe(quiet(500))
    assert watching.check().n_rows >= 500


def test_all_nan_is_told_as_missing() -> None:
    watching = monitor()
    watching.observe(np.full((500, 4), np.nan))
    window = watching.check().window
    assert window is not None
    assert set(window.drifted) == set("abcd")
    assert all(f.n_missing == 500 for f in window.features)


def test_a_constant_reference_can_be_watched() -> None:
    watching = monitor(reference=np.full((500, 1), 3.0))
    watching.observe(np.full(500, 3.0))
    assert watching.check().state == "ok"
    watching.observe(np.full(500, 4.0))
    assert watching.check().window.drifted == ("x0",)  # type: ignore[union-attr]


def test_unseen_categories_drift() -> None:
    reference = {"c": np.array(["red", "blue"] * 300)}
    watching = monitor(reference=reference)
    watching.observe({"c": np.array(["red", "blue"] * 250)})
    assert watching.check().state == "ok"
    watching.observe({"c": np.array(["red", "mauve"] * 250)})
    window = watching.check().window
    assert window is not None
    assert window.drifted == ("c",)
    assert window.features[0].counts[-1] == 250


def test_skew_is_drift_that_was_there_from_the_start() -> None:
    seen: list[dict[str, Any]] = []
    watching = monitor(sinks=[seen.append])
    watching.observe(quiet(500) * [1, 1, 3, 1])
    assert watching.check().skew == ("c",)
    watching.close()
    assert [r["drifted"] for r in seen if r.get("what") == "skew"] == [["c"]]


def test_without_a_reference_the_first_traffic_is_one() -> None:
    watching = monitor(reference=None, window=400)
    assert watching.check().state == "learning"
    for i in range(3):
        watching.observe({"u": quiet(200, i)[:, 0], "v": quiet(200, i)[:, 1]})
    assert watching.reference is not None
    assert [f.name for f in watching.reference.features] == ["u", "v"]
    watching.observe({"u": quiet(400)[:, 0] + 2, "v": quiet(400)[:, 1]})
    assert watching.check().window.drifted == ("u",)  # type: ignore[union-attr]


def test_few_rows_are_not_judged() -> None:
    watching = monitor(window=50)
    watching.observe(quiet(50) + 10)
    status = watching.check()
    assert status.window is not None
    assert status.window.drift is None
    assert status.state == "no data"


def test_records_are_plain_and_in_order() -> None:
    seen: list[dict[str, Any]] = []
    clock = FakeClock()
    watching = monitor(sinks=[seen.append], name="m", version="3", clock=clock)
    watching.observe(quiet(1000))
    watching.close()
    watching.close()
    kinds = [record["kind"] for record in seen]
    assert kinds == ["event", "window", "window", "event"]
    assert all(r["model"] == "m" and r["version"] == "3" for r in seen)
    assert all(r["time"] == clock.wall_s for r in seen)
    window = seen[1]
    assert window["n_rows"] == 500
    assert window["features"]["a"]["mean"] == pytest.approx(0, abs=0.2)
    assert "population_stability_index" in window["features"]["a"]
    json.dumps(seen, allow_nan=False)


class Broken:
    """A sink that fails in every way."""

    def write(self, record: Any) -> None:
        raise OSError(28, "No space left on device")

    def close(self) -> None:
        raise RuntimeError("close")


def test_a_sink_that_fails_is_counted_and_nothing_else() -> None:
    seen: list[dict[str, Any]] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with monitor(sinks=[Broken(), seen.append]) as watching:
            watching.observe(quiet(2000))
            assert watching.check().n_windows == 4
    assert len([r for r in seen if r["kind"] == "window"]) == 4
    assert any("broken" in what for what in watching.troubles)


def test_a_detector_that_fails_is_counted_and_warned_of_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import trimtab.monitor.drift as drift

    def fail(*args: Any, **named: Any) -> None:
        raise ZeroDivisionError("inside")

    watching = monitor()
    monkeypatch.setattr(drift, "detect", fail)
    with pytest.warns(RuntimeWarning, match="comparing a window") as caught:
        watching.observe(quiet(2000))
    assert len(caught) == 1
    status = watching.check()
    assert status.n_windows == 4
    assert status.troubles == {"comparing a window with the reference": 4}


def test_a_store_of_labels_that_fails_is_counted() -> None:
    class Store:
        def predicted(self, *args: Any) -> None:
            raise KeyError("q")

        def label(self, *args: Any) -> None:
            raise MemoryError

        def metrics(self) -> None:
            raise ValueError("m")

        counts = None

    watching = monitor(labels=Store())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        watching.observe(quiet(3), {"y": np.zeros(3)}, request_ids=[1, 2, 3])
        assert watching.label(1, 0) == "not kept"
        assert watching.check().troubles["taking a label"] == 1
    assert watching.troubles["keeping predictions for labels"] == 1


def test_many_threads_lose_no_row() -> None:
    watching = monitor(window=1000, background=True, interval_s=0.01)
    rows = quiet(500)

    def work() -> None:
        for _ in range(20):
            watching.observe(rows)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    watching.close()
    assert watching.status().n_rows == 40_000
    assert watching.status().n_windows == 40
    assert sum(w.n_rows for w in watching.windows) == 40_000
    assert watching.troubles == {}


def test_a_window_of_50_features_takes_at_most_64_kb() -> None:
    watching = monitor(reference=np.random.default_rng(0).normal(size=(5000, 50)))
    watching.observe(np.random.default_rng(1).normal(size=(400, 50)))
    assert watching._live is not None
    assert 0 < watching._live.nbytes <= 64 << 10
    assert len(watching.snapshot()) <= 64 << 10


def test_a_closed_monitor_counts_what_comes_as_trouble() -> None:
    watching = monitor()
    watching.close()
    with pytest.warns(RuntimeWarning, match="closed"):
        watching.observe(quiet(10))
    assert watching.troubles == {"observing a batch": 1}


@pytest.mark.parametrize(
    "wrong",
    [
        {"window": 0},
        {"window": "soon"},
        {"budget": 2.0, "reference": None},
        {"labels": 3},
        {"methods": ["astrology"]},
        {"alpha": 1.5},
        {"alerts": 3},
        {"sinks": ["carrier pigeon:home"]},
        {"deployment": 3},
    ],
)
def test_wrong_arguments_are_refused_at_the_door(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        monitor(**wrong)


def test_reports_are_pages_of_their_own(tmp_path: Path) -> None:
    reference = Reference.from_data(
        np.random.default_rng(0).normal(size=(5000, 50)),
        names=[f"<b>&{i}" for i in range(50)],
    )
    watching = monitor(reference=reference, name="<script>")
    for i in range(30):
        rows = np.random.default_rng(i).normal(size=(500, 50)) + (i > 20)
        watching.observe(rows)
    report = watching.report()
    path = tmp_path / "r.html"
    report.save(path)
    page = path.read_text()
    assert path.stat().st_size < 200_000
    assert "<script" not in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "&lt;script&gt;" in page
    report.save(tmp_path / "r.json")
    values = json.loads((tmp_path / "r.json").read_text())
    assert not values["ok"]
    assert len(values["windows"]) == 30
    assert "50 of 50" in str(report) or "drifted" in str(report)
    assert report._repr_html_().count("<svg") >= 50


def test_reports_are_drawn() -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    watching = monitor()
    watching.observe(quiet(2000))
    axes = watching.report().plot()
    assert len(axes.lines) == 5  # four features and the threshold
    assert axes.get_ylabel() == "effect, in thresholds"
