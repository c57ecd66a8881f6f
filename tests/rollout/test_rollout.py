"""Rollouts of real versions behind a real deployment, with clients that keep asking."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import trimtab
from trimtab import InputError, Registry, RegistryConflict, RegistryError
from trimtab.rollout import Rollout, RolloutHandle, read_rollout
from trimtab.rollout.log import RolloutLog
from trimtab.rollout.states import FINAL

from .conftest import Clients, quick, request_of


def same(number: int) -> tuple[np.ndarray, int]:
    """Both give the right class."""
    return request_of(number % 2, number % 2), number % 2


def worse(number: int) -> tuple[np.ndarray, int]:
    """The candidate is wrong on every fifth request, the champion never."""
    right = number % 2
    return request_of(right, 1 - right if number % 5 == 0 else right), right


def run(
    dep: Any, version: Any, make: Any, *, has_labels: bool = False, **options: Any
) -> trimtab.rollout.RolloutResult:
    """With clients, who may know labels."""
    handle: list[RolloutHandle] = []
    label = (
        (lambda i, y: handle[0].label(i, y) if handle else None) if has_labels else None
    )
    with Clients(dep, same if make is None else make, label=label) as clients:
        handle.append(quick(needs_labels=has_labels, **options).start(dep, version))
        result = handle[0].wait(60)
    assert result.state in FINAL, str(result)
    assert clients.errors == []
    assert dep.traffic is None
    return result


def states(result: trimtab.rollout.RolloutResult) -> list[str]:
    return [edge.after for edge in result.edges if edge.before != edge.after]


def test_a_candidate_that_is_as_good_is_promoted_and_nobody_sees_an_error(
    dep: Any, registry: Registry
) -> None:
    result = run(dep, "digits/2", same)
    assert result.ok
    assert states(result) == [
        *("VALIDATING", "EVALUATING", "STAGED", "SHADOW", "CANARY"),
        *("PROMOTING", "BAKING", "PROMOTED"),
    ]
    assert registry.alias("digits").version == dep.version == 2
    assert registry.alias("digits", "challenger").version == 2
    assert "no labels" in " ".join(result.reasons)
    read = read_rollout(registry, "digits")
    assert read is not None
    assert read.to_dict()["edges"] == result.to_dict()["edges"]
    assert registry.verify().ok


def test_labels_prove_a_candidate_before_it_answers_anything(
    dep: Any, registry: Registry
) -> None:
    result = run(dep, 2, same, has_labels=True, margin=0.1)
    assert result.ok, str(result)
    shadow = next(edge for edge in result.edges if edge.before == "SHADOW")
    assert "proven to lose less than 10 points" in shadow.reasons[0]
    assert shadow.data["n_labels"] >= 20


def test_a_worse_candidate_is_stopped_by_labels_and_never_answers(
    dep: Any, registry: Registry
) -> None:
    served = []

    def remember(number: int) -> tuple[np.ndarray, int]:
        served.append(dep.version)
        return worse(number)

    result = run(dep, 2, remember, has_labels=True)
    assert result.state == "ROLLED_BACK"
    assert "CANARY" not in states(result)
    assert result.reasons[0].startswith("quality: worse on")
    assert registry.alias("digits").version == dep.version == 1
    assert set(served) == {1}


def test_nan_is_never_given_out_and_stops_the_candidate(dep: Any) -> None:
    """At shadow it shows; where the shadow was too short, the canary answers for it."""

    def make(number: int) -> tuple[np.ndarray, None]:
        request = request_of(number % 2, number % 2)
        if number % 7 == 0:
            request[0, 2:] = 7.0
        return request, None

    for options in ({}, {"shadow_requests": 0}):
        result = run(dep, 3, make, **options)
        assert result.state == "ROLLED_BACK", str(result)
        assert result.reasons[0].startswith("failures:")
        assert dep.version == 1


def test_without_labels_that_were_promised_nothing_is_promoted(dep: Any) -> None:
    with Clients(dep, same):
        result = quick(max_duration_s=0.5).run(dep, 2, labels=lambda request_id: None)
    assert result.state == "NEEDS_DATA"
    assert not result.ok
    assert "CANARY" not in states(result)
    assert dep.version == 1


def test_a_source_of_labels_that_fails_is_no_proof(dep: Any) -> None:
    def labels(request_id: Any) -> int:
        raise OSError("the store is away")

    with Clients(dep, same):
        result = quick(max_duration_s=0.5).run(dep, 2, labels=labels)
    assert result.state == "NEEDS_DATA"
    assert "could not be had" in result.reasons[-1]


def test_labels_by_function_are_asked_for_and_used(dep: Any) -> None:
    with Clients(dep, same):
        result = quick(margin=0.1).run(dep, 2, labels=lambda number: number % 2)
    assert result.ok, str(result)


def test_too_little_traffic_is_no_proof_either(dep: Any) -> None:
    result = quick(max_duration_s=0.2).run(dep, 2)
    assert result.state == "NEEDS_DATA"
    assert "0 requests in 0.2 s, of 20" in result.reasons
    result = quick(max_duration_s=0.2, shadow_requests=0).run(dep, 2)
    assert states(result)[-2:] == ["PAUSED", "NEEDS_DATA"]
    assert dep.version == 1


# ---- people ----------------------------------------------------------------------


def waiting_for(handle: RolloutHandle, state: str) -> None:
    end = time.monotonic() + 30
    while handle.state != state and time.monotonic() < end:
        time.sleep(0.002)
    assert handle.state == state


def test_a_person_approves(dep: Any) -> None:
    with Clients(dep, same):
        handle = quick(approval="manual").start(dep, 2)
        waiting_for(handle, "PAUSED")
        assert dep.version == 1
        assert handle.is_running
        handle.approve("looks good")
        result = handle.wait(30)
    assert result.ok
    assert any("approved: looks good" in edge.reasons for edge in result.edges)


@pytest.mark.parametrize("state", ["SHADOW", "CANARY", "PAUSED", "BAKING"])
def test_a_person_aborts_anywhere(dep: Any, registry: Registry, state: str) -> None:
    slow = {
        "SHADOW": {"shadow_requests": 10**9},
        "CANARY": {"min_requests": 10**9},
        "PAUSED": {"approval": "manual"},
        "BAKING": {"bake_s": 60.0},
    }[state]
    with Clients(dep, same) as clients:
        handle = quick(**slow).start(dep, 2)
        waiting_for(handle, state)
        handle.abort("second thoughts")
        result = handle.wait(30)
    assert result.state == "ROLLED_BACK"
    assert result.reasons == ("aborted: second thoughts",)
    assert registry.alias("digits").version == dep.version == 1
    assert clients.errors == []


def test_a_person_who_never_comes_promotes_nothing(dep: Any) -> None:
    with Clients(dep, same):
        result = quick(approval="manual", max_duration_s=0.5).run(dep, 2)
    assert result.state == "NEEDS_DATA"
    assert dep.version == 1


# ---- after the promotion -----------------------------------------------------------


def test_what_shows_while_it_bakes_is_taken_back_within_a_look(
    dep: Any, registry: Registry
) -> None:
    """From some moment on, the new version is wrong where the old one is right."""
    bad = {"since": None}

    def make(number: int) -> tuple[np.ndarray, int]:
        right = number % 2
        return request_of(right, right if bad["since"] is None else 1 - right), right

    handles: list[RolloutHandle] = []
    with Clients(
        dep, make, label=lambda i, y: handles[0].label(i, y) if handles else None
    ) as clients:
        handles.append(quick(bake_s=60.0, margin=0.2, late_labels=True).start(dep, 2))
        waiting_for(handles[0], "BAKING")
        assert dep.version == registry.alias("digits").version == 2
        bad["since"] = time.time()
        result = handles[0].wait(30)
    assert result.state == "ROLLED_BACK", str(result)
    assert registry.alias("digits").version == dep.version == 1
    assert clients.errors == []
    begun = next(e.time for e in result.edges if e.after == "ROLLING_BACK")
    assert result.edges[-1].time - begun < 5.0
    events = registry.history("digits")
    assert events[-1].reason.startswith("rollout 1: ")


def test_late_labels_decide_at_the_end_of_baking(dep: Any) -> None:
    result = run(dep, 2, same, has_labels=True, late_labels=True, margin=0.1)
    assert result.ok
    assert "proven" in result.reasons[0]
    with Clients(dep, same):
        late = quick(late_labels=True, max_duration_s=1.0, shadow_requests=5)
        result = late.run(dep, 1, labels=lambda number: None)
    assert result.state == "ROLLED_BACK"
    assert "inconclusive" in result.reasons[0] or "no labels" in result.reasons[0]
    assert dep.version == 2


def test_who_sets_the_alias_meanwhile_wins(dep: Any, registry: Registry) -> None:
    for state, slow in (
        ("SHADOW", {"shadow_requests": 10**9}),
        ("BAKING", {"bake_s": 60}),
    ):
        with Clients(dep, same) as clients:
            handle = quick(**slow).start(dep, 2)
            waiting_for(handle, state)
            registry.promote("digits", 3, reason="by hand")
            result = handle.wait(30)
        assert result.state == "ROLLED_BACK"
        assert "set to version 3" in result.reasons[0]
        assert registry.alias("digits").version == 3
        assert clients.errors == []
        registry.promote("digits", 1)
        dep.swap(1)


@pytest.mark.parametrize("state", ["SHADOW", "BAKING"])
def test_a_deployment_that_is_closed_meanwhile_ends_it(
    registry: Registry, state: str
) -> None:
    slow = {"SHADOW": {"shadow_requests": 10**9}, "BAKING": {"bake_s": 60.0}}[state]
    dep = trimtab.deploy_model("digits", registry=registry)
    with Clients(dep, same):
        handle = quick(**slow).start(dep, 2)
        waiting_for(handle, state)
        dep.close()
        if state == "SHADOW":
            handle.abort("closed")
        result = handle.wait(30)
    assert result.state == "ROLLED_BACK", str(result)
    assert registry.alias("digits").version == 1


# ---- what is refused ---------------------------------------------------------------


def test_what_cannot_be_loaded_is_rejected_and_set_aside(
    dep: Any, registry: Registry
) -> None:
    path = Path(registry.get("digits/2").path)
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    result = quick().run(dep, 2)
    assert states(result) == ["VALIDATING", "REJECTED"]
    assert "digits/2" in registry.verify(quarantine=False).__str__()
    with pytest.raises(RegistryError, match="2"):
        quick().run(dep, 2)
    assert dep.version == 1


def test_the_champion_itself_is_rejected(dep: Any) -> None:
    result = quick().run(dep, 1)
    assert result.state == "REJECTED"
    assert "champion already" in result.reasons[0]


@pytest.mark.parametrize(
    ("state", "wanted"), [("failed", "REJECTED"), ("needs_data", "NEEDS_DATA")]
)
def test_gates_come_first(dep: Any, state: str, wanted: str) -> None:
    report = SimpleNamespace(state=state, reasons=("golden: departs",))
    result = quick(prove=lambda version: report).run(dep, 2)
    assert result.state == wanted
    assert result.reasons == ("golden: departs",)


def test_two_rollouts_of_a_model_are_one_too_many(dep: Any) -> None:
    handle = quick(shadow_requests=10**9).start(dep, 2)
    with pytest.raises(RegistryConflict, match="another rollout"):
        quick().start(dep, 3)
    handle.abort()
    assert handle.wait(30).state == "ROLLED_BACK"


def test_what_is_not_written_down_does_not_happen(
    dep: Any, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = RolloutLog.add

    def full(self: RolloutLog, edge: Any) -> None:
        if edge.after == "PROMOTING":
            raise RegistryError("No space left on device")
        add(self, edge)

    monkeypatch.setattr(RolloutLog, "add", full)
    result = run(dep, 2, same)
    assert result.state == "ROLLED_BACK"
    assert registry.alias("digits").version == dep.version == 1


def test_a_full_disk_at_the_promotion_leaves_the_champion(
    dep: Any, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise RegistryError("No space left on device")

    set_alias = Registry.set_alias

    def some(self: Registry, name: str, alias: str, *args: Any, **more: Any) -> Any:
        if alias == "champion":
            full()
        return set_alias(self, name, alias, *args, **more)

    monkeypatch.setattr(Registry, "set_alias", some)
    result = run(dep, 2, same)
    assert result.state == "ROLLED_BACK"
    assert "No space left" in result.reasons[0]
    assert registry.alias("digits").version == dep.version == 1


def test_a_deployment_without_a_registry_is_told_what_to_do(artefacts: list) -> None:
    with (
        trimtab.deploy_model(trimtab.load_model(artefacts[0])) as dep,
        pytest.raises(InputError, match="has no registry"),
    ):
        Rollout().run(dep, 2)


@pytest.mark.parametrize(
    "options",
    [
        {"shadow_requests": -1},
        {"canary": (0.5, 0.1)},
        {"canary": (0.0,)},
        {"min_requests": 0},
        {"check_s": 0},
        {"alpha": 1.0},
        {"margin": float("nan")},
        {"approval": "later"},
        {"min_agreement": 1.0},
        {"bake_s": float("inf")},
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        Rollout(**options)


def test_no_canary_and_no_shadow_is_a_promotion_that_bakes(dep: Any) -> None:
    result = quick(canary=(), shadow_requests=0).run(dep, 2)
    assert result.ok
    assert dep.version == 2
