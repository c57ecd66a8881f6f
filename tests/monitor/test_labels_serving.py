"""A classifier of digits in service: labels come hours later, and its inputs fade."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from tests.monitor.clocks import FakeClock

import trimtab
from trimtab.monitor.labels import LabelStore
from trimtab.monitor.performance import ConfidencePerformance

X, Y = load_digits(return_X_y=True)
X = (X / 16).astype(np.float32)
ORDER = np.random.default_rng(0).permutation(len(X))
X, Y = X[ORDER], Y[ORDER]
TRAIN, HELD, LIVE = slice(0, 600), slice(600, 1200), slice(1200, None)


class Records:
    """A sink that keeps them."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []

    def write(self, record: Any) -> None:
        self.records.append(dict(record))

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    fitted = LogisticRegression(C=0.3, max_iter=500).fit(X[TRAIN], Y[TRAIN])
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["x", "w", "b"], ["z"]),
            helper.make_node("Softmax", ["z"], ["p"], axis=1),
        ],
        "digits",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 64])],
        [helper.make_tensor_value_info("p", TensorProto.FLOAT, ["N", 10])],
        [
            onnx.numpy_helper.from_array(fitted.coef_.T.astype(np.float32), "w"),
            onnx.numpy_helper.from_array(fitted.intercept_.astype(np.float32), "b"),
        ],
    )
    found = tmp_path_factory.mktemp("digits") / "digits.onnx"
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), found)
    return found


def watched(path: Path, clock: FakeClock, sink: Records, **options: Any) -> Any:
    model = trimtab.load_model(path)
    estimator = ConfidencePerformance.fit(Y[HELD], model(X[HELD]))
    return trimtab.monitor_model(
        trimtab.deploy_model(model),
        reference=X[HELD],
        window=200,
        estimator=estimator,
        sinks=sink,
        clock=clock,
        budget=None,
        background=False,
        **options,
    )


def served(watching: Any, x: np.ndarray, clock: FakeClock, first: int) -> np.ndarray:
    """Each row a request; what was predicted."""
    found = []
    for i, row in enumerate(x):
        answer = watching.deployment(row[None], request_id=f"r-{first + i}")
        found.append(int(np.argmax(answer)))
        clock.pass_(1.0)
        if i % 10 == 9:
            watching.check()
    return np.array(found)


def test_labels_that_come_late_give_the_accuracy_that_was_estimated(
    path: Path, tmp_path: Path
) -> None:
    clock, sink = FakeClock(), Records()
    store = LabelStore(
        ["accuracy", "f1_macro"], window=200, clock=clock, horizon_s=7200
    )
    with watched(path, clock, sink, labels=store) as watching:
        x, y = X[LIVE][:590], Y[LIVE][:590]
        faded = x.copy()
        faded[200:] = 0.35 * faded[200:]  # a lamp that fails
        predicted = served(watching, faded, clock, 0)
        before = watching.status()
        assert before.metrics == {}  # no label has come
        assert before.window.estimates["accuracy"]["is_estimate"] is True

        clock.pass_(3600.0)
        order = np.random.default_rng(1).permutation(590)
        came = order[:500]
        for i in came.tolist():
            assert watching.label(f"r-{i}", int(y[i])) == "matched"
        for i in came[:20].tolist():
            assert watching.label(f"r-{i}", int(y[i])) == "duplicate"
        assert watching.label("nobody", 3) == "early"
        assert watching.label(f"r-{order[550]}", "a cat") == "invalid"

        status = watching.check()
        truth = float((predicted == y)[came].mean())
        found = status.metrics["accuracy"]
        assert found["value"] == truth
        assert found["low"] < truth < found["high"]
        assert found["n"] == 500
        assert status.labels["matched"] == 500
        assert status.labels["pending"] == 90
        assert "500 labels" in str(status)

        windows = watching.label_windows
        right = (predicted == y)[np.sort(came)]
        n_first = int((came < 200).sum())
        assert windows[0]["n_labels"] == n_first
        assert windows[0]["metrics"]["accuracy"]["value"] == right[:n_first].mean()
        # Each estimate, made before, holds what labels said after.
        for result, window in zip(watching.windows, windows, strict=False):
            estimate = result.estimates["accuracy"]
            said = window["metrics"]["accuracy"]["value"]
            if not estimate["notes"]:
                assert estimate["low"] - 0.05 <= said <= estimate["high"] + 0.05
        # A window has the rows that were looked at: on a busy machine there is but one.
        for result in watching.windows[1:2]:
            faint = result.estimates["accuracy"]
            assert faint["notes"] or faint["value"] < 0.9

        clock.pass_(7200.0)
        assert watching.label(f"r-{order[550]}", 3) == "late"
        assert watching.check().labels["expired"] == 90
        assert watching.status().metrics["accuracy"]["value"] == truth  # it stays
        assert watching.counters()["labels"]["unmatched"] == 1

        report = watching.report()
        report.save(tmp_path / "r.html")
        page = (tmp_path / "r.html").read_text()
        assert "accuracy, of labels that came" in page
        assert "an estimate, before labels" in page
        assert len(page) < 200_000
        assert json.loads(report.to_json())["label_windows"][0]["n_labels"] == n_first
        assert watching.troubles == {}
    said = [one for one in sink.records if one["kind"] == "label"]
    assert said[-1]["metrics"]["accuracy"]["value"] == truth
    assert said[-1]["labels"]["late"] == 1
    json.dumps(sink.records, allow_nan=False)


def test_collectors_see_labels(path: Path) -> None:
    from trimtab.monitor.sinks.families import families
    from trimtab.monitor.sinks.latest import Latest

    clock, sink = FakeClock(), Records()
    with watched(path, clock, sink) as watching:  # with the usual store
        predicted = served(watching, X[LIVE][:50], clock, 0)
        for i in range(50):
            watching.label(f"r-{i}", int(Y[LIVE][i]))
        clock.pass_(20.0)
        watching.check()
        named = {one.name: one for one in families(watching.counters())}
        by_status = {
            dict(s.labels)["status"]: s.value for s in named["trimtab_labels"].samples
        }
        assert by_status["matched"] == 50
    latest = Latest()
    for record in sink.records:
        latest.write(record)
    named = {one.name: one for one in latest.families()}
    truth = float((predicted == Y[LIVE][:50]).mean())
    assert named["trimtab_realized_metric"].samples[0].value == truth


def test_batches_with_ids_and_labels_that_are_known_are_joined(path: Path) -> None:
    clock, sink = FakeClock(), Records()
    with watched(path, clock, sink) as watching:
        model = watching.deployment.model
        ids = [f"b-{i}" for i in range(100)]
        watching.deployment(X[LIVE][:100], request_id=ids)
        for i in reversed(range(100)):
            assert watching.label(f"b-{i}", int(Y[LIVE][i])) == "matched"
        x = X[LIVE][100:200]
        watching.observe(x, model(x), y_true=Y[LIVE][100:200])
        found = watching.check().metrics["accuracy"]
        predicted = model(X[LIVE][:200]).argmax(axis=1)
        assert found["value"] == float((predicted == Y[LIVE][:200]).mean())
        assert found["n"] == 200
