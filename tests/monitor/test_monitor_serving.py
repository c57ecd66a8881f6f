"""Monitors of deployments: counted in C, looked at within a budget."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, save
from tests.monitor.test_reference import softmax_model

import trimtab
from trimtab.cli import main
from trimtab.monitor.inner import InnerReader
from trimtab.monitor.intake import Look
from trimtab.monitor.monitor import Monitor
from trimtab.monitor.reference import Reference
from trimtab.monitor.worker import Worker

RANDOM = np.random.default_rng(5)
X = RANDOM.normal(size=(3000, 4)).astype(np.float32)


@pytest.fixture
def model(tmp_path: Path) -> trimtab.Model:
    return softmax_model(tmp_path / "m.onnx")


def settled(watching: Monitor, n_windows: int, seconds: float = 20.0) -> None:
    """Wait for the thread."""
    end = time.monotonic() + seconds
    while watching.status().n_windows < n_windows and time.monotonic() < end:
        time.sleep(0.01)


def test_columns_are_counted_in_c_and_drift_is_found(model: trimtab.Model) -> None:
    deployment = trimtab.deploy_model(model)
    reference = Reference.from_model(model, X, names=["a", "b", "c", "d"])
    with trimtab.monitor_model(
        deployment, reference=reference, window=500, budget=1.0, interval_s=0.01
    ) as watching:
        assert watching._feed is not None
        assert watching._feed._attachment.tables == {"input/x"}
        for i in range(20):
            deployment(X[100 * i : 100 * i + 100])
        settled(watching, 2)
        assert watching.check().state == "ok"
        moved = X[:1500].copy()
        moved[:, 2] += 1.5
        for part in np.array_split(moved, 30):
            deployment(part)
        watching.check()
        settled(watching, 4)
        status = watching.check()
    assert status.window is not None
    assert "c" in status.window.drifted
    assert status.counters["n_requests"] == 50
    assert status.troubles == {}
    assert deployment.listener is None
    deployment(X[:2])  # serves on


def test_answers_are_the_same_with_and_without_a_monitor(model: trimtab.Model) -> None:
    deployment = trimtab.deploy_model(model)
    before = deployment(X)
    with trimtab.monitor_model(deployment, reference=X, budget=1.0):
        np.testing.assert_array_equal(deployment(X), before)
        for one, two in zip(
            deployment.predict_batch([X[:1], X[1:2]]), before[:2], strict=True
        ):
            np.testing.assert_allclose(one[0], two, rtol=1e-6)


def test_steps_around_the_model_are_watched_too(model: trimtab.Model) -> None:
    deployment = trimtab.deploy_model(
        model,
        preprocess_input=lambda row: np.array([row], np.float32),
        postprocess_output=lambda p: int(p.argmax()),
    )
    with trimtab.monitor_model(
        deployment, reference=X, window=200, budget=1.0, background=False
    ) as watching:
        for row in X[:400].tolist():
            assert deployment(row, request_id=len(row)) in (0, 1, 2)
        assert watching.check().n_windows >= 1


def test_odd_inputs_of_a_deployment_do_not_upset_its_monitor(
    model: trimtab.Model,
) -> None:
    deployment = trimtab.deploy_model(model)
    with trimtab.monitor_model(
        deployment, reference=X, budget=1.0, background=False
    ) as watching:
        for wrong in (np.zeros((2, 5), np.float32), np.zeros(4), "text", None):
            with pytest.raises(trimtab.TrimtabError):
                deployment(wrong)
        deployment(np.full((300, 4), np.nan, np.float32))
        deployment(X[:10].tolist())
        status = watching.check()
    assert status.troubles == {}
    assert sum(status.counters["request_errors"].values()) == 4


def test_a_model_learns_its_reference_in_service(model: trimtab.Model) -> None:
    with trimtab.monitor_model(
        model, window=300, budget=None, interval_s=0.01
    ) as watching:
        assert watching.deployment is not None
        assert watching.status().state == "learning"
        for i in range(25):
            watching.deployment(X[30 * i : 30 * i + 30])
            watching.check()
        assert watching.reference is not None
        assert {t.name for t in watching.reference.tables} == {"input/x", "output/p"}
        for _ in range(5):
            watching.deployment(X[:300] + 3)
            watching.check()
        settled(watching, 1)
        assert "x[0]" in watching.check().window.drifted  # type: ignore[union-attr]


def test_looking_stays_within_the_budget(model: trimtab.Model) -> None:
    """By the monitor's own account, which rules how often it looks."""
    deployment = trimtab.deploy_model(model)
    with trimtab.monitor_model(
        deployment, reference=X, budget=0.02, background=False
    ) as watching:
        assert watching._feed is not None
        intake = watching._feed.intake
        n_looks = 0
        take = intake.take

        def counted(*args: Any) -> None:
            nonlocal n_looks
            n_looks += 1
            take(*args)

        intake.take = counted  # type: ignore[method-assign]
        for i in range(5000):
            deployment(X[:1])
            if i % 100 == 0:
                watching.check()
        budget = intake.budget
        looked = n_looks * (budget.copy_s + budget.work_s)
        # half of the budget is for what C does; a few looks teach it what they cost
        assert looked <= 3 * 0.01 * 5000 * budget.call_s + 200 * budget.copy_s


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_worker_that_was_forked_is_watched(model: trimtab.Model) -> None:
    deployment = trimtab.deploy_model(model)
    with trimtab.monitor_model(
        deployment, reference=X, window=10_000, budget=1.0, interval_s=0.01
    ) as watching:
        for _ in range(10):
            deployment(X[:100])
        assert watching.check().n_rows > 0  # and none of these are the child's
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            found = -1
            try:
                for _ in range(5):
                    deployment(X[:100])
                watching.check()
                found = watching.status().n_rows
            finally:
                os.write(write, json.dumps(found).encode())
                os._exit(0)
        os.close(write)
        with os.fdopen(read) as file:
            assert 0 < json.loads(file.read()) <= 500
        os.waitpid(pid, 0)


def test_the_command_tells_drift_by_its_exit_code(
    model: trimtab.Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "m.safetensors"
    reference = Reference.from_model(model, X[:2000])
    model.save(path, reference=reference)
    now, moved = tmp_path / "now.npz", tmp_path / "moved.npz"
    np.savez(now, x=X[2000:])
    np.savez(moved, x=X[2000:] * 3)
    assert main(["monitor", str(path), "--data", str(now)]) == 0
    assert "ok: 1000 rows" in capsys.readouterr().out
    page = tmp_path / "r.html"
    command = ["monitor", str(path), "--data", str(moved), "--report", str(page)]
    assert main([*command, "--json"]) == 4
    values = json.loads(capsys.readouterr().out)
    assert not values["ok"]
    assert "x[0]" in values["windows"][0]["drifted"]
    assert page.stat().st_size < 200_000
    before = tmp_path / "before.npz"
    np.savez(before, x=X[:1000] * 3)
    assert main([*command, "--reference", str(before)]) == 0
    plain = tmp_path / "m.onnx"
    assert main(["monitor", str(plain), "--data", str(now)]) == 1
    assert "--reference" in capsys.readouterr().err


def hidden_model(path: Path) -> trimtab.Model:
    """x [N, 4] -> relu(x w) = h [N, 16] -> softmax(h v)."""
    random = np.random.default_rng(0)
    weights = {
        "w": random.normal(size=(4, 16)).astype(np.float32),
        "v": random.normal(size=(16, 3)).astype(np.float32),
    }
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w"], ["z"]),
            helper.make_node("Relu", ["z"], ["h"]),
            helper.make_node("MatMul", ["h", "v"], ["s"]),
            helper.make_node("Softmax", ["s"], ["p"], axis=1),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4])],
        [helper.make_tensor_value_info("p", TensorProto.FLOAT, ["N", 3])],
        [numpy_helper.from_array(w, name) for name, w in weights.items()],
    )
    opsets = [helper.make_opsetid("", 17)]
    save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return trimtab.load_model(path)


def test_the_embedding_is_watched_and_travels(tmp_path: Path) -> None:
    model = hidden_model(tmp_path / "h.onnx")
    assert Reference.from_model(model, X).inner is None  # columns tell more
    reference = Reference.from_model(model, X, embedding=True)
    assert reference.inner is not None
    assert reference.inner.tensor == "h"
    path = tmp_path / "h.safetensors"
    model.save(path, reference=reference)
    loaded = trimtab.load_model(path)
    assert loaded.reference is not None
    assert loaded.reference.to_json() == reference.to_json()
    options: dict[str, Any] = {"window": 640, "budget": None, "background": False}
    deployment = trimtab.deploy_model(loaded)
    with trimtab.monitor_model(deployment, **options) as watching:
        for i in range(20):
            deployment(X[32 * i : 32 * i + 32])
        status = watching.check()
        assert status.window is not None
        assert status.window.drift is not None
        assert "embedding" in {f.name for f in status.window.drift.features}
        assert status.state == "ok"
        merged = trimtab.monitor_model(reference=loaded.reference, background=False)
        merged.merge(watching.snapshot(reset=True))
        assert merged._live is not None
        tally = merged._live.take(reset=False)
        assert tally.embedding is not None
        assert tally.embedding.n == 640
        for i in range(20):
            deployment(X[32 * i : 32 * i + 32] * 2 + 1)
        window = watching.check().window
        assert window is not None
        assert "embedding" in window.drifted
        assert watching.troubles == {}
    with pytest.raises(trimtab.InputError, match="taps"):
        Reference.from_model(model, X, embedding="q")


def test_reading_the_embedding_keeps_to_its_share(tmp_path: Path) -> None:
    model = hidden_model(tmp_path / "h.onnx")
    reader = InnerReader(model, ["h"], 1e-4)
    look = Look({"x": X[:64]}, {}, 0)
    begun = time.monotonic()
    n_read = sum(bool(reader.read(look)) for _ in range(2000))
    assert n_read <= 20 + 20 * (time.monotonic() - begun)
    assert InnerReader(model, ["h"], None).read(look)["h"].shape[0] > 0
    assert InnerReader(model, ["h"], None).read(Look({}, {}, 0)) == {}


def test_labels_come_late_out_of_order_or_for_nobody(model: trimtab.Model) -> None:
    deployment = trimtab.deploy_model(model)
    right = deployment(X[:200]).argmax(axis=1)
    with trimtab.monitor_model(deployment, reference=X, background=False) as watching:
        for i in range(100):
            deployment(X[i : i + 1], request_id=f"r{i}")
        deployment(X[100:200], request_id=[f"r{i}" for i in range(100, 200)])
        deployment(X[:1])  # nobody will ask
        for i in np.random.default_rng(0).permutation(200):
            y = int(right[i]) if i % 4 else int(right[i] + 1) % 3
            assert watching.label(f"r{i}", y) == "matched"
        assert watching.label("r3", int(right[3])) == "duplicate"
        watching.label("nobody", 1)
        status = watching.check()
    accuracy = status.metrics["accuracy"]
    assert (accuracy["value"], accuracy["n"]) == (0.75, 200)
    assert accuracy["low"] < 0.75 < accuracy["high"]
    assert status.labels["matched"] == 200
    assert status.labels["duplicate"] == 1
    assert status.troubles == {}
    assert "accuracy: 0.75" in str(status)


def test_threads_that_start_a_worker_at_once_start_one() -> None:
    class Job:
        def tick(self) -> float:
            return 60.0

        def renew(self) -> None:
            pass

    for _ in range(20):
        job = Job()
        worker = Worker(job)
        before = threading.active_count()
        starters = [threading.Thread(target=worker.start) for _ in range(8)]
        for starter in starters:
            starter.start()
        worker.stop()  # whatever they are at
        for starter in starters:
            starter.join()
        assert not worker.is_alive
        assert threading.active_count() == before
