"""A monitor goes on across swaps: its counts, its sketches, labels and embeddings."""

from __future__ import annotations

import gc
import json
import threading
import time
import weakref
from pathlib import Path
from typing import Any

import numpy as np
from onnx import helper

import trimtab
from trimtab import Reference, Registry

from .conftest import F, X, onnx_bytes, versioned

RANDOM = np.random.default_rng(1)
ROWS = RANDOM.normal(size=(2000, 4)).astype(np.float32)


def softmax(sharpness: float) -> trimtab.Model:
    """Four classes by four columns; an inner tensor h."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"], name="h"),
        helper.make_node("Softmax", ["h"], ["y"], name="y"),
    ]
    constants = {"w": (np.eye(4) * sharpness).astype(np.float32)}
    content = onnx_bytes(nodes, [("x", F, ("n", 4))], [("y", F, ("n", 4))], constants)
    return trimtab.load_model(content, threads=1)


def test_rows_are_counted_across_swaps_and_drift_is_found() -> None:
    model = softmax(1)
    deployment = trimtab.deploy_model(model)
    reference = Reference.from_model(model, ROWS)
    with trimtab.monitor_model(
        deployment, reference=reference, window=500, budget=None, background=False
    ) as monitor:
        for i in range(10):
            deployment(ROWS[100 * i : 100 * i + 100])
            if i % 3 == 1:
                deployment.swap(softmax(1))  # in the middle of a window
            if i % 5 == 4:
                monitor.check()
        status = monitor.check()
        assert status.n_rows == 1000
        assert status.n_windows == 2
        assert status.state == "ok"
        assert status.counters["n_requests"] == 10
        deployment.swap(softmax(1))
        for part in np.array_split(ROWS[:1000] + np.float32([0, 2, 0, 0]), 10):
            deployment(part)
        status = monitor.check()
        assert status.n_rows == 2000
        assert status.window is not None
        assert any("x1" in name or "1" in name for name in status.window.drifted)
        assert monitor.troubles == {}
    assert deployment.listener is None
    deployment(X)


def test_labels_join_answers_of_every_version(registry: Registry) -> None:
    deployment = trimtab.deploy_model(softmax(1), name="s", registry=registry)
    registry.register("s", softmax(-1))
    with trimtab.monitor_model(
        deployment, reference=Reference.from_model(softmax(1), ROWS), background=False
    ) as monitor:
        for i, row in enumerate(ROWS[:100]):
            if i == 50:
                deployment.swap(2)
            deployment(row[None], request_id=i)
            assert monitor.label(i, int(row.argmax())) == "matched"
        metrics = monitor.check().metrics
    deployment.close()
    accuracy = metrics["accuracy"]
    value = getattr(accuracy, "value", accuracy)
    value = value["value"] if isinstance(value, dict) else value
    assert abs(value - 0.5) < 0.02  # version 2 is right about nothing


def test_records_say_which_version_served(registry: Registry, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    deployment = trimtab.deploy_model("digits", registry=registry, follow=False)
    with trimtab.monitor_model(
        deployment, sinks=[f"jsonl:{path}"], background=False
    ) as monitor:
        assert monitor.version == "1"
        deployment.swap(2)
        assert monitor.version == "2"
    events = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(e["what"], e["version"]) for e in events if e["kind"] == "event"] == [
        ("started", "1"),
        ("swapped", "2"),
        ("closed", "2"),
    ]


def test_the_embedding_is_read_in_the_version_that_serves() -> None:
    model = softmax(1)
    reference = Reference.from_model(model, ROWS[:500], embedding="h")
    deployment = trimtab.deploy_model(model)
    with trimtab.monitor_model(
        deployment, reference=reference, window=200, budget=None, background=False
    ) as monitor:
        assert monitor._feed is not None
        reader = monitor._feed._inner
        assert reader is not None
        deployment.swap(softmax(1))
        assert reader._model is deployment.model
        model.close()
        for i in range(4):
            deployment(ROWS[100 * i : 100 * i + 100])
        assert monitor.check().state == "ok"
        assert monitor.troubles == {}


def test_a_monitor_keeps_no_old_version(registry: Registry) -> None:
    """While it learns its reference, and after."""
    deployment = trimtab.deploy_model("digits", registry=registry, follow=False)
    with trimtab.monitor_model(deployment, window=50, background=False) as monitor:
        for version in (2, 3):
            arm, model = (
                weakref.ref(each) for each in (deployment.champion, deployment.model)
            )
            for i in range(80):
                deployment(X + i % 7)
            monitor.check()
            deployment.swap(version)
            gc.collect()
            assert arm() is None
            assert model() is None


def test_a_swap_while_a_monitor_comes_and_goes_harms_no_request() -> None:
    deployment = trimtab.deploy_model(versioned(1))
    over, wrong = threading.Event(), []

    def ask() -> None:
        while not over.is_set():
            try:
                deployment(X, request_id="r")
                time.sleep(0.0005)  # or nobody else gets a turn
            except Exception as error:
                wrong.append(error)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    reference: Any = Reference.from_model(versioned(1), [X + i for i in range(100)])
    try:
        for i in range(6):
            with trimtab.monitor_model(
                deployment, reference=reference, interval_s=0.01
            ):
                deployment.swap(versioned(i + 1))
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_a_monitor_may_be_closed_after_its_deployment() -> None:
    deployment = trimtab.deploy_model(versioned(1))
    monitor = trimtab.monitor_model(deployment, background=False)
    deployment(X)
    deployment.close()
    assert monitor.counters()["n_requests"] == 1
    monitor.close()
    assert monitor.troubles == {}
