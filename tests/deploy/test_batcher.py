"""Concurrent requests that are run together."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from onnx import helper

import trimtab
from trimtab.deploy.batcher import why_not_batched

from .conftest import F, X, factor_of, onnx_bytes, scaling, until, versioned

RANDOM = np.random.default_rng(3)


def of_nodes(*nodes: Any, x: Any = ("n", 4), y: Any = ("n", 4)) -> trimtab.Model:
    """One input, one output."""
    content = onnx_bytes([*nodes], [("x", F, x)], [("y", F, y)], {})
    return trimtab.load_model(content, threads=1)


def batched(model: trimtab.Model, **options: Any) -> trimtab.Deployment:
    return trimtab.deploy_model(
        model, **{"max_batch": 8, "max_delay_s": 0.5, **options}
    )


def hold(deployment: trimtab.Deployment) -> tuple[threading.Event, threading.Event]:
    """Let the model of the champion wait: (it has begun, it may go on)."""
    begun, go_on = threading.Event(), threading.Event()
    arm = deployment.champion
    program = arm.program

    def run(*values: Any) -> Any:
        begun.set()
        assert go_on.wait(20)
        return program(*values)

    arm.program = run  # type: ignore[assignment]
    return begun, go_on


def test_concurrent_requests_are_one_call_and_answers_are_their_own() -> None:
    deployment = batched(versioned(3))
    begun, go_on = hold(deployment)
    requests = [RANDOM.normal(size=(i % 2 + 1, 4)).astype("f") + 9 for i in range(6)]
    with ThreadPoolExecutor(6) as pool:
        first = pool.submit(deployment, requests[0])
        assert begun.wait(20)
        rest = [pool.submit(deployment, x) for x in requests[1:]]
        batcher = deployment._batcher
        assert batcher is not None
        assert until(lambda: len(batcher._queue) == 5)
        go_on.set()
        answers = [future.result() for future in (first, *rest)]
    for x, answer in zip(requests, answers, strict=True):
        alone = deployment.model(x)
        for part, other in zip(answer, alone, strict=True):
            np.testing.assert_allclose(part, other, rtol=1e-6)
            assert part.base is None, "a row does not keep the batch"
    assert batcher.n_batches == 2
    snapshot = deployment.snapshot()
    assert (snapshot["n_requests"], snapshot["n_calls"]) == (6, 2)
    assert snapshot["n_rows"] == sum(map(len, requests))


def test_many_threads_lose_and_mix_nothing() -> None:
    deployment = batched(versioned(2), max_delay_s=0.001)
    n_threads, n_each = 8, 200

    def ask(number: int) -> int:
        rng, n_right = np.random.default_rng(number), 0
        for _ in range(n_each):
            x = rng.normal(size=(rng.integers(1, 4), 4)).astype("f") + 9
            y, z = deployment(x)
            n_right += np.allclose(y, 2 * x) and np.allclose(z, x + 2)
        return n_right

    with ThreadPoolExecutor(n_threads) as pool:
        assert sum(pool.map(ask, range(n_threads))) == n_threads * n_each
    assert deployment._batcher is not None
    assert deployment._batcher.n_batches < n_threads * n_each
    assert deployment.stats["n_requests"] == n_threads * n_each


def test_a_caller_that_is_alone_does_not_wait() -> None:
    deployment = batched(versioned(2), max_delay_s=5)
    start = time.monotonic()
    for _ in range(20):
        assert factor_of(deployment(X)) == 2
    assert time.monotonic() - start < 4


def test_no_batch_has_more_rows_than_allowed_but_a_large_request_runs() -> None:
    deployment = batched(versioned(2), max_batch=4)
    sizes: list[int] = []
    program = deployment.champion.program

    def run(*values: Any) -> Any:
        sizes.append(len(values[0]))
        return program(*values)

    deployment.champion.program = run  # type: ignore[assignment]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(deployment, [np.ones((3, 4), "f")] * 20))
    assert set(sizes) == {3}
    assert len(deployment(np.ones((9, 4), "f"))[0]) == 9
    assert len(deployment(np.ones((0, 4), "f"))[0]) == 0


def test_requests_of_other_shapes_run_apart() -> None:
    model = of_nodes(helper.make_node("Neg", ["x"], ["y"]), x=("n", "t"), y=("n", "t"))
    deployment = batched(model, max_delay_s=0.01)
    with ThreadPoolExecutor(8) as pool:
        shapes = [(1, i % 3 + 1) for i in range(60)]
        answers = list(pool.map(lambda s: deployment(np.ones(s, "f")), shapes))
    assert [a.shape for a in answers] == shapes


def test_a_request_that_does_not_fit_fails_alone() -> None:
    deployment = batched(versioned(2), max_delay_s=0.01)

    def ask(i: int) -> Any:
        try:
            return factor_of(deployment(X if i % 4 else X[:, :3]))
        except trimtab.InputError as error:
            return str(error)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(80)))
    for i, answer in enumerate(answers):
        assert answer == 2 if i % 4 else "expected 4 on axis 1" in answer


def test_a_full_queue_refuses_at_once_and_recovers() -> None:
    deployment = batched(versioned(2), max_queue=3)
    begun, go_on = hold(deployment)
    batcher = deployment._batcher
    assert batcher is not None
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(deployment, X)
        assert begun.wait(20)
        waiting = [pool.submit(deployment, X) for _ in range(3)]
        assert until(lambda: len(batcher._queue) == 3)
        with pytest.raises(trimtab.OverloadedError, match="3 requests wait") as refused:
            deployment(X)
        assert (refused.value.queued, refused.value.max_queue) == (3, 3)
        go_on.set()
        assert {factor_of(f.result()) for f in (first, *waiting)} == {2}
    assert factor_of(deployment(X)) == 2
    assert deployment.stats["errors"] == {"OverloadedError": 1}


def test_a_request_whose_deadline_passes_in_the_queue_does_not_run() -> None:
    deployment = batched(versioned(2))
    begun, go_on = hold(deployment)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(deployment, X)
        assert begun.wait(20)
        start = time.monotonic()
        with pytest.raises(trimtab.DeadlineError, match="before the model ran"):
            deployment(X, deadline_s=0.05)
        assert 0.04 < time.monotonic() - start < 5
        go_on.set()
        assert factor_of(first.result()) == 2
    assert factor_of(deployment(X, deadline_s=5)) == 2
    assert deployment.snapshot()["n_calls"] == 2
    assert deployment.stats["errors"] == {"DeadlineError": 1}


def test_without_a_queue_a_deadline_is_over_when_the_steps_take_too_long() -> None:
    deployment = trimtab.deploy_model(
        versioned(2), preprocess_input=lambda x: time.sleep(0.02) or x, deadline_s=0.01
    )
    with pytest.raises(trimtab.DeadlineError):
        deployment(X)
    assert factor_of(deployment(X, deadline_s=10)) == 2


def test_a_leader_that_is_interrupted_leaves_the_others_a_leader() -> None:
    deployment = batched(versioned(2), max_delay_s=0.2)
    program = deployment.champion.program
    begun, go_on = threading.Event(), threading.Event()
    n_calls = 0

    def run(*values: Any) -> Any:
        nonlocal n_calls
        n_calls += 1
        if n_calls == 1:
            begun.set()
            assert go_on.wait(20)
            raise KeyboardInterrupt
        return program(*values)

    deployment.champion.program = run  # type: ignore[assignment]

    def ask() -> Any:
        try:
            return factor_of(deployment(X))
        except KeyboardInterrupt:
            return "interrupted"

    with ThreadPoolExecutor(5) as pool:
        first = pool.submit(ask)
        assert begun.wait(20)
        rest = [pool.submit(ask) for _ in range(4)]
        assert deployment._batcher is not None
        assert until(lambda: len(deployment._batcher._queue) == 4)
        go_on.set()
        assert first.result(20) == "interrupted"
        assert [f.result(20) for f in rest] == [2] * 4


def test_batches_are_of_one_version_while_they_are_swapped(registry: Any) -> None:
    deployment = trimtab.deploy_model(
        "digits", registry=registry, follow=False, max_batch=8, max_delay_s=0.001
    )
    wrong: list[Any] = []

    def ask(number: int) -> None:
        for _ in range(150):
            response = deployment.respond(X + number)
            if factor_of(response.answer, X + number) != response.version:
                wrong.append(response)

    with ThreadPoolExecutor(9) as pool:
        asking = [pool.submit(ask, i) for i in range(8)]
        for i in range(20):
            deployment.swap(i % 5 + 1)
        for future in asking:
            future.result()
    assert wrong == []


# ---- what cannot be batched ----------------------------------------------------------


def test_models_whose_rows_are_not_their_own_are_refused() -> None:
    mean = of_nodes(
        helper.make_node("ReduceMean", ["x"], ["m"], axes=[0], keepdims=1),
        helper.make_node("Sub", ["x", "m"], ["y"]),
    )
    total = of_nodes(
        helper.make_node("ReduceMean", ["x"], ["y"], axes=[0], keepdims=1), y=(1, 4)
    )
    fixed = of_nodes(helper.make_node("Neg", ["x"], ["y"]), x=(1, 4), y=(1, 4))
    for model, text in (
        (mean, "depends on what is run beside"),
        (total, "cannot be run together"),
        (fixed, "fixed"),
    ):
        with pytest.raises(trimtab.InputError, match=text):
            batched(model)
    assert why_not_batched(trimtab.Pipeline([], versioned(2))) == ""


def test_a_candidate_that_cannot_be_batched_is_refused() -> None:
    negative = of_nodes(helper.make_node("Neg", ["x"], ["y"]))
    deployment = batched(negative)
    mean = of_nodes(
        helper.make_node("ReduceMean", ["x"], ["m"], axes=[0], keepdims=1),
        helper.make_node("Sub", ["x", "m"], ["y"]),
    )
    with pytest.raises(trimtab.SwapError, match="run together"):
        deployment.swap(mean)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"max_batch": 0}, "max_batch"),
        ({"max_delay_s": -1}, "max_delay_s"),
        ({"max_queue": 0}, "max_queue"),
        ({"deadline_s": 0}, "deadline_s"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(trimtab.InputError, match=text):
        batched(versioned(2), **options)


# ---- asynchronous --------------------------------------------------------------------


@pytest.mark.parametrize("max_batch", [None, 8])
def test_asynchronous_requests_are_answered(max_batch: int | None) -> None:
    deployment = trimtab.deploy_model(versioned(2), max_batch=max_batch)

    async def ask() -> list[Any]:
        return await asyncio.gather(
            *(deployment.predict_async(X + i, request_id=i) for i in range(50))
        )

    for i, answer in enumerate(asyncio.run(ask())):
        assert factor_of(answer, X + i) == 2
    assert deployment.stats["n_requests"] == 50
    deployment.close()


def test_asynchronous_requests_are_bounded_and_have_deadlines() -> None:
    go_on = threading.Event()
    deployment = trimtab.deploy_model(
        versioned(2), preprocess_input=lambda x: go_on.wait(20) and x, max_queue=2
    )

    async def ask() -> list[Any]:
        late = [deployment.predict_async(X, deadline_s=0.05) for _ in range(6)]
        tasks = [asyncio.ensure_future(each) for each in late]
        await asyncio.sleep(0.5)
        with pytest.raises(trimtab.OverloadedError):
            await deployment.predict_async(X)
        go_on.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    assert {type(e) for e in asyncio.run(ask())} == {trimtab.DeadlineError}
    assert factor_of(asyncio.run(deployment.predict_async(X))) == 2
    assert scaling(1)
    deployment.close()
