"""A candidate beside the champion: shadow and canary."""

from __future__ import annotations

import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

import trimtab
from trimtab import Registry, Traffic
from trimtab.deploy.shadow import MAX_WAITING
from trimtab.deploy.traffic import share_of

from .conftest import Ear, F, X, factor_of, onnx_bytes, until, versioned


def nan_above(limit: float) -> trimtab.Model:
    """y = x, but NaN where the sum of x is above a limit; z = x + 2."""
    nodes = [
        helper.make_node("ReduceSum", ["x", "axes"], ["s"], keepdims=1),
        helper.make_node("Sub", ["limit", "s"], ["left"]),
        helper.make_node("Sqrt", ["left"], ["root"]),
        helper.make_node("Mul", ["root", "zero"], ["nothing"]),
        helper.make_node("Add", ["x", "nothing"], ["y"]),
        helper.make_node("Add", ["x", "two"], ["z"]),
    ]
    constants = {
        "axes": np.array([1]),
        "limit": np.array([[limit]], np.float32),
        "zero": np.zeros((1, 1), np.float32),
        "two": np.array([2], np.float32),
    }
    outputs = [("y", F, ("n", 4)), ("z", F, ("n", 4))]
    content = onnx_bytes(nodes, [("x", F, ("n", 4))], outputs, constants)
    return trimtab.load_model(content, threads=1)


# ---- shadow --------------------------------------------------------------------------


def test_a_shadow_computes_the_same_requests_and_nobody_gets_its_answers(
    registry: Registry, ear: Ear
) -> None:
    deployment = trimtab.deploy_model("digits", registry=registry, follow=False)
    arm = deployment.prepare("digits/2")
    deployment.set_traffic(Traffic(arm, "shadow", 1.0, ear))
    x = X.copy()
    for i in range(20):
        x[:] = i + 1  # callers use their arrays again
        answer = deployment(x, request_id=i)
        assert factor_of(answer, x) == 1
        answer[0][:] = -1
        assert until(lambda n=i: len(ear.compares) > n)
    for i, told in enumerate(ear.compares):
        name, inputs, ours, theirs, ours_s, theirs_s, error = told
        assert (name, error) == (i, None)
        np.testing.assert_array_equal(inputs["x"], np.full((1, 4), i + 1))
        assert factor_of(ours, inputs["x"]) == 1
        assert factor_of(theirs, inputs["x"]) == 2
        assert min(ours_s, theirs_s) > 0
    assert deployment.shadow is not None
    assert (deployment.shadow.n_compared, deployment.shadow.n_dropped) == (20, 0)
    assert deployment.snapshot()["n_calls"] == 20, "the shadow's calls do not count"
    deployment.set_traffic(None)
    assert deployment.traffic is deployment.shadow is None
    deployment(X)
    assert len(ear.compares) == 20


def test_what_finds_no_room_is_dropped_and_nobody_waits(ear: Ear) -> None:
    free = threading.Event()

    class Slow(Ear):
        def compared(self, *told: Any) -> None:
            assert free.wait(20)
            super().compared(*told)

    slow = Slow()
    deployment = trimtab.deploy_model(versioned(1))
    deployment.set_traffic(Traffic(deployment.prepare(versioned(2)), "shadow", 1, slow))
    start = time.monotonic()
    for _ in range(MAX_WAITING + 40):
        deployment(X)
    assert time.monotonic() - start < 5
    shadow = deployment.shadow
    assert shadow is not None
    assert 38 <= shadow.n_dropped <= 40
    free.set()
    assert until(lambda: shadow.n_compared + shadow.n_dropped == MAX_WAITING + 40)


def ask_until_there_is_trouble(deployment: trimtab.Deployment) -> None:
    assert factor_of(deployment(X)) == 1
    assert until(lambda: bool(deployment.troubles))


def test_a_shadow_that_fails_or_a_listener_that_does_harms_no_request(ear: Ear) -> None:
    deployment = trimtab.deploy_model(versioned(1))
    candidate = versioned(2)
    arm = deployment.prepare(candidate)
    deployment.set_traffic(Traffic(arm, "shadow", 1.0, ear))
    candidate.close()
    assert factor_of(deployment(X)) == 1
    assert until(lambda: bool(ear.compares))
    assert isinstance(ear.compares[0][-1], trimtab.InputError)
    assert ear.compares[0][3] is None

    class Broken(Ear):
        def compared(self, *told: Any) -> None:
            raise KeyError("broken")

    deployment.set_traffic(Traffic(arm, "shadow", 1.0, Broken()))
    with pytest.warns(RuntimeWarning, match="comparing"):
        ask_until_there_is_trouble(deployment)


def test_a_candidate_with_other_steps_prepares_a_copy_of_the_request(ear: Ear) -> None:
    deployment = trimtab.deploy_model(
        versioned(1), preprocess_input=lambda request: request["x"]
    )
    other = trimtab.Pipeline([lambda request: request["x"] * 10], versioned(2))
    arm = deployment.prepare(other)
    deployment.set_traffic(Traffic(arm, "shadow", 1.0, ear))
    request = {"x": X.copy()}
    deployment(request)
    request["x"][:] = 0
    assert until(lambda: bool(ear.compares))
    np.testing.assert_array_equal(ear.compares[0][3][0], X * 20)
    # what cannot be copied is dropped
    deployment.set_traffic(Traffic(arm, "shadow", 1.0, ear))
    deployment({"x": X, "lock": threading.Lock()})
    assert deployment.shadow is not None
    assert deployment.shadow.n_dropped == 1


# ---- canary --------------------------------------------------------------------------


def test_requests_of_one_key_go_the_same_way(registry: Registry, ear: Ear) -> None:
    deployment = trimtab.deploy_model("digits", registry=registry, follow=False)
    arm = deployment.prepare(2)

    def ways(share: float) -> dict[str, str]:
        deployment.set_traffic(Traffic(arm, "canary", share, ear))
        found = {}
        for i in range(400):
            key = f"user-{i}"
            responses = [deployment.respond(X, key=key) for _ in range(2)]
            assert len({r.arm for r in responses}) == 1
            assert responses[0].version == factor_of(responses[0].answer)
            found[key] = responses[0].arm
        return found

    few, many = ways(0.1), ways(0.5)
    assert 20 <= [*few.values()].count("candidate") <= 65
    assert 150 <= [*many.values()].count("candidate") <= 250
    assert all(many[k] == "candidate" for k, arm in few.items() if arm == "candidate")
    assert len(ear.serves) == 1600
    for name, request_id, result, seconds, error in ear.serves:
        assert factor_of(result) == (2 if name == "candidate" else 1)
        assert (request_id, error) == (None, None)
        assert seconds > 0
    assert deployment.stats["n_requests"] == 1600


def test_without_a_key_the_id_decides_and_without_both_chance() -> None:
    deployment = trimtab.deploy_model(versioned(1))
    arm = deployment.prepare(versioned(2))
    deployment.set_traffic(Traffic(arm, "canary", 0.5))
    by_id = [factor_of(deployment(X, request_id=i // 2)) for i in range(100)]
    assert by_id[::2] == by_id[1::2]
    by_chance = [factor_of(deployment(X)) for _ in range(200)]
    assert 60 <= by_chance.count(2) <= 140


def test_the_champion_answers_where_the_candidate_gives_nan(ear: Ear) -> None:
    deployment = trimtab.deploy_model(versioned(1))
    arm = deployment.prepare(nan_above(100), verify=False)
    deployment.set_traffic(Traffic(arm, "canary", 1.0, ear))
    assert deployment.respond(X).arm == "candidate"
    large = X * 50
    response = deployment.respond(large, request_id="r")
    assert response.arm == "champion"
    assert factor_of(response.answer, large) == 1
    [(request_id, seconds, error)] = ear.failures
    assert (request_id, error) == ("r", None)
    assert seconds > 0
    assert [told[0] for told in ear.serves] == ["candidate"]
    # NaN in, NaN out: of both
    bad = np.full((1, 4), np.nan, np.float32)
    assert deployment.respond(bad).arm == "candidate"
    assert len(ear.failures) == 1


@pytest.mark.parametrize("where", ["model", "steps"])
def test_the_champion_answers_once_where_the_candidate_raises(
    ear: Ear, where: str
) -> None:
    n_asked = 0

    def count(result: Any) -> Any:
        nonlocal n_asked
        n_asked += 1
        return result

    deployment = trimtab.deploy_model(versioned(1), postprocess_output=count)
    candidate = versioned(2)

    def fail(result: Any) -> Any:
        raise KeyError("of the candidate")

    steps = [fail] if where == "steps" else [count]
    arm = deployment.prepare(trimtab.Pipeline([], candidate, steps))
    deployment.set_traffic(Traffic(arm, "canary", 1.0, ear))
    if where == "model":
        candidate.close()
    assert factor_of(deployment(X)) == 1
    assert n_asked == 1
    assert len(ear.failures) == 1
    assert ear.serves == []
    assert deployment.stats["n_errors"] == 0


def test_a_request_that_neither_takes_is_the_callers_error(ear: Ear) -> None:
    deployment = trimtab.deploy_model(versioned(1))
    arm = deployment.prepare(versioned(2))
    deployment.set_traffic(Traffic(arm, "canary", 1.0, ear))
    with pytest.raises(trimtab.InputError, match="expected 4 on axis 1"):
        deployment(np.zeros((1, 3), np.float32))
    assert ear.failures == []
    [(name, _, result, _, error)] = ear.serves
    assert (name, result) == ("candidate", None)
    assert isinstance(error, trimtab.InputError)
    assert deployment.stats["errors"] == {"InputError": 1}


def test_a_listener_that_raises_harms_no_request() -> None:
    class Broken(Ear):
        def served(self, *told: Any) -> None:
            raise KeyError("broken")

    deployment = trimtab.deploy_model(versioned(1))
    arm = deployment.prepare(versioned(2))
    deployment.set_traffic(Traffic(arm, "canary", 1.0, Broken()))
    with pytest.warns(RuntimeWarning, match="canary"):
        assert factor_of(deployment(X)) == 2
    assert deployment.troubles == {"telling of a canary": 1}


def test_traffic_changes_and_swaps_under_load_mix_nothing(registry: Registry) -> None:
    deployment = trimtab.deploy_model("digits", registry=registry, follow=False)
    arm = deployment.prepare(2)
    wrong: list[Any] = []
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            try:
                response = deployment.respond(X)
                if factor_of(response.answer) != response.version:
                    wrong.append(response)
                time.sleep(0.0005)  # or nobody else gets a turn
            except Exception as error:
                wrong.append(error)

    with ThreadPoolExecutor(4) as pool:
        for _ in range(4):
            pool.submit(ask)
        try:
            for i in range(40):
                modes = (None, Traffic(arm, "canary", 0.5), Traffic(arm, "shadow", 0.5))
                deployment.set_traffic(modes[i % 3])
                deployment.swap(i % 3 + 1)
        finally:
            over.set()
    assert wrong == []
    deployment.close()


def test_a_candidate_goes_when_its_trial_ends() -> None:
    deployment = trimtab.deploy_model(versioned(1))
    arm = deployment.prepare(versioned(2))
    gone = weakref.ref(arm)
    for mode in ("canary", "shadow"):
        deployment.set_traffic(Traffic(arm, mode))
        deployment(X)
    deployment.set_traffic(None)
    del arm
    assert until(lambda: gone() is None)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"mode": "both"}, "mode"),
        ({"share": 1.5}, "share"),
        ({"share": "all"}, "share"),
        ({"share": float("nan")}, "share"),
        ({"candidate": 3}, "candidate"),
    ],
)
def test_traffic_that_is_none_is_refused(change: dict[str, Any], text: str) -> None:
    arm = trimtab.deploy_model(versioned(1)).champion
    with pytest.raises(trimtab.InputError, match=text):
        Traffic(**{"candidate": arm, "mode": "canary", **change})


@given(st.one_of(st.text(), st.binary(), st.integers(), st.tuples(st.text())))
def test_every_key_has_a_place(key: Any) -> None:
    assert 0 <= share_of(key) < 1
    assert share_of(key) == share_of(key)


def test_places_are_even_and_other_for_another_candidate() -> None:
    places = np.array([[share_of(i, salt) for i in range(4000)] for salt in "ab"])
    for row in places:
        counts, _ = np.histogram(row, bins=10, range=(0, 1))
        assert (abs(counts - 400) < 5 * 400**0.5).all()
    assert abs(np.corrcoef(places)[0, 1]) < 0.06
