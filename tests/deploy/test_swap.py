"""Swapping what serves: nothing is dropped, nothing mixed, nothing left behind."""

from __future__ import annotations

import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import trimtab
from trimtab import Registry

from .conftest import X, factor_of, scaling, versioned


def test_the_next_request_is_answered_by_the_new_version() -> None:
    deployment = trimtab.deploy_model(versioned(1))
    assert factor_of(deployment(X)) == 1
    swap = deployment.swap(versioned(2))
    assert factor_of(deployment(X)) == 2
    assert (swap.from_version, swap.to_version, swap.reasons) == (None, None, ())
    assert swap.seconds > 0


def test_versions_of_a_registry_are_named_by_every_response(registry: Registry) -> None:
    with trimtab.deploy_model("digits", registry=registry, follow=False) as deployment:
        assert deployment.version == 1
        assert deployment.name == "digits"
        for wanted in (3, "digits/4", registry.get("digits/2")):
            swap = deployment.swap(wanted)
            response = deployment.respond(X, request_id="a")
            assert response.version == swap.to_version == deployment.version
            assert factor_of(response.answer) == response.version
            assert (response.arm, response.request_id) == ("champion", "a")
            assert response.seconds > 0
        assert registry.get("digits@champion").version == 1, "the alias is as it was"


def test_steps_that_were_given_are_put_around_every_version() -> None:
    deployment = trimtab.deploy_model(
        versioned(1),
        preprocess_input=lambda text: np.array([[float(p) for p in text.split()]], "f"),
        postprocess_output=lambda result: factor_of(result),
    )
    assert deployment("1 2 3 4") == 1
    deployment.swap(versioned(2))
    assert deployment("1 2 3 4") == 2
    deployment.swap(trimtab.Pipeline([], versioned(3), [lambda result: "third"]))
    assert deployment(X) == "third"


@pytest.mark.parametrize("with_steps", [False, True])
def test_no_request_fails_or_mixes_versions_while_they_are_swapped(
    registry: Registry, with_steps: bool
) -> None:
    """8 threads; every answer is of one version, and of the one that it says."""
    steps = {"postprocess_output": lambda result: result} if with_steps else {}
    deployment = trimtab.deploy_model(
        "digits", registry=registry, follow=False, **steps
    )
    wrong: list[Any] = []
    over = threading.Event()

    def ask(number: int) -> int:
        x = X + number
        for i in range(400):
            try:
                if i % 2:
                    response = deployment.respond(x)
                    if factor_of(response.answer, x) != response.version:
                        wrong.append(response)
                elif factor_of(deployment(x), x) is None:
                    wrong.append("parts of two")
            except Exception as error:
                wrong.append(error)
        return 400

    def swap() -> int:
        n = 0
        while not over.is_set() or n < 20:
            deployment.swap(n % 5 + 1)
            n += 1
        return n

    with ThreadPoolExecutor(9) as pool:
        swaps = pool.submit(swap)
        n_requests = sum(pool.map(ask, range(8)))
        over.set()
        assert swaps.result() >= 20
    assert wrong == []
    assert deployment.stats["n_requests"] == n_requests
    assert deployment.stats["n_errors"] == 0


def test_the_old_version_goes_when_its_last_request_ends() -> None:
    entered, leave = threading.Event(), threading.Event()

    def wait(result: Any) -> Any:
        entered.set()
        assert leave.wait(10)
        return result

    deployment = trimtab.deploy_model(versioned(1), postprocess_output=wait)
    arm = weakref.ref(deployment.champion)
    core = weakref.ref(deployment.champion.pipeline)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(deployment, X)
        assert entered.wait(10)
        gc.disable()  # nothing waits for the collector of cycles
        try:
            deployment.swap(versioned(2))
            assert arm() is not None
            leave.set()
            assert factor_of(answer.result()) == 1
            del answer
            assert arm() is None
            assert core() is None
        finally:
            gc.enable()
    assert factor_of(deployment(X)) == 2


def test_an_arm_that_someone_holds_is_swapped_back_without_loading(
    registry: Registry,
) -> None:
    deployment = trimtab.deploy_model("digits", registry=registry, follow=False)
    first = deployment.champion
    deployment.swap(2)
    assert deployment.prepare(1) is first
    deployment.swap(first)
    assert deployment.champion is first
    other = trimtab.deploy_model(versioned(1))
    with pytest.raises(trimtab.InputError, match="another deployment"):
        other.swap(first)


def test_a_version_is_loaded_with_the_options_of_the_one_that_serves(
    registry: Registry,
) -> None:
    deployment = trimtab.deploy_model(versioned(1), name="one", registry=registry)
    assert deployment.model.threads == 1
    registry.register("one", versioned(2))
    deployment.swap(2)
    assert deployment.model.threads == 1
    deployment.close()


def test_a_first_request_finds_everything_warm() -> None:
    deployment = trimtab.deploy_model(versioned(1))
    deployment.swap(versioned(2))
    before = deployment.model.stats["n_compiles"]
    deployment(X)
    assert deployment.model.stats["n_compiles"] == before > 0


def test_counters_go_on_across_a_swap() -> None:
    deployment = trimtab.deploy_model(versioned(1))
    bad = X.copy()
    bad[0, 1] = np.nan
    for factor in (2, 3):
        deployment(bad)
        deployment.swap(versioned(factor))
    deployment(bad)
    snapshot = deployment.snapshot()
    assert snapshot["n_requests"] == snapshot["n_calls"] == 3, "trials do not count"
    assert snapshot["inputs"]["x"]["n_nan"] == 3


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        (2, "no registry"),
        ("digits/2", "no registry"),
        (None, "NoneType"),
        (True, "bool"),
    ],
)
def test_what_cannot_be_swapped_in_is_said(wanted: Any, text: str) -> None:
    with pytest.raises(trimtab.InputError, match=text):
        trimtab.deploy_model(versioned(1)).swap(wanted)


def test_a_closed_deployment_refuses_and_says_so() -> None:
    with trimtab.deploy_model(versioned(1)) as deployment:
        deployment(X)
        arm = weakref.ref(deployment.champion)
    gc.collect()
    assert arm() is None
    for ask in (deployment, deployment.respond, deployment.swap):
        with pytest.raises(trimtab.InputError, match="closed"):
            ask(X if ask is not deployment.swap else versioned(2))
    assert deployment.stats["n_requests"] == deployment.snapshot()["n_requests"] == 1
    assert "closed" in repr(deployment)
    deployment.close()


def test_without_verification_anything_that_runs_serves() -> None:
    deployment = trimtab.deploy_model(versioned(1))
    wide = trimtab.load_model(scaling(2, width=6), threads=1)
    with pytest.raises(trimtab.SwapError, match=r"expected x: float32\[n,4\]"):
        deployment.swap(wide)
    swap = deployment.swap(wide, verify=False)
    assert "not examined" in swap.reasons[0]
    x = np.ones((1, 6), np.float32)
    assert factor_of(deployment(x), x) == 2


def test_memory_is_flat_over_swaps(registry: Registry) -> None:
    def resident_kb() -> int:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4

    deployment = trimtab.deploy_model("digits", registry=registry, follow=False)
    for n in range(30):
        deployment.swap(n % 5 + 1)
    before = resident_kb()
    for n in range(60):
        deployment.swap(n % 5 + 1)
        deployment(X)
    assert resident_kb() - before < 2000
