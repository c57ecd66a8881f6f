"""What stops a candidate besides labels, and how labels find their requests."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab import Registry
from trimtab.rollout import Rollout
from trimtab.rollout.answers import agree, answers_of, losses, wrong
from trimtab.rollout.ears import Compared, Ears, LabelJoin, Served
from trimtab.rollout.evidence import Evidence

from .conftest import Clients, FakeDeployment, quick

ONE = np.eye(2)[[1]]


def number(i: int) -> tuple[int, None]:
    return i, None


def run(registry: Registry, answers: Any, **options: Any) -> tuple[Any, FakeDeployment]:
    dep = FakeDeployment(registry, answers)
    with Clients(dep, number) as clients:
        result = quick(**options).run(dep, 2)
    assert clients.errors == []
    return result, dep


# ---- what stops it ---------------------------------------------------------------


def test_a_slow_candidate_is_stopped_by_the_canary(registry: Registry) -> None:
    rng = np.random.default_rng(0)

    def answers(version: int, _: int) -> tuple[np.ndarray, float]:
        return ONE, 0.01 * rng.lognormal(0, 0.2) * (2.0 if version == 2 else 1.0)

    result, dep = run(registry, answers, latency_factor=1.5, min_requests=10**6)
    assert result.state == "ROLLED_BACK"
    assert result.reasons[0].startswith("latency: more than 1.5 times")
    assert dep.version == 1


def test_exceptions_of_the_candidate_are_answered_by_the_champion_and_stop_it(
    registry: Registry,
) -> None:
    def answers(version: int, i: int) -> tuple[Any, float]:
        return (ValueError("no") if version == 2 and i % 3 == 0 else ONE), 0.01

    for options in ({}, {"shadow_requests": 0}):
        result, _ = run(registry, answers, **options)
        assert result.state == "ROLLED_BACK"
        assert result.reasons[0].startswith("failures:")


def test_requests_that_nobody_can_answer_are_nobodys_failures() -> None:
    evidence, ears = Evidence(Rollout()), Ears()
    for _ in range(1000):
        ears.served("candidate", 1, None, 0.01, ValueError("bad request"))
        ears.compared(1, {}, np.array([np.nan]), np.array([np.nan]), 1, 1, None)
    for event in ears.take():
        evidence.take(event)
    assert evidence.breaches == []
    assert evidence.n_compared == 1000
    assert evidence.n_answered == 0


def test_another_class_on_most_requests_stops_it_without_labels(
    registry: Registry,
) -> None:
    def answers(version: int, i: int) -> tuple[np.ndarray, float]:
        return np.eye(3)[[(i + (version == 2 and i % 10 > 1)) % 3]], 0.01

    result, _ = run(registry, answers, shadow_requests=10**6)
    assert result.reasons[0].startswith("agreement:")


def test_errors_of_the_new_version_take_it_back(registry: Registry) -> None:
    """It raises only once it serves alone; the caller's own errors do not count."""
    promoted = {"at": False}

    def answers(version: int, i: int) -> tuple[Any, float]:
        is_bad = version == 2 and promoted["at"] and i % 2 == 0
        return (RuntimeError("late") if is_bad else ONE), 0.01

    dep = FakeDeployment(registry, answers)
    with Clients(dep, number):
        handle = quick(bake_s=60.0).start(dep, 2)
        while handle.is_running and handle.state != "BAKING":
            handle.wait(0.002)
        promoted["at"] = True
        result = handle.wait(30)
    assert result.state == "ROLLED_BACK"
    assert any(reason.startswith("errors:") for reason in result.reasons)
    assert dep.version == registry.alias("digits").version == 1


def test_a_sabotaged_canary_is_found_by_labels_of_either_arm() -> None:
    evidence = Evidence(Rollout())
    rng = np.random.default_rng(0)
    for i in range(4000):
        is_candidate = bool(rng.random() < 0.3)
        answer = np.array([int(rng.random() < (0.4 if is_candidate else 0.1))])
        evidence.take(Served(i, is_candidate, False, answer, 0.01))
        evidence.label(i, 0)
    assert [b.split(":")[0] for b in evidence.breaches] == ["quality"]
    assert "% of" in evidence.breaches[0]


@pytest.mark.parametrize(
    ("worse", "better", "is_proven"),
    [(0.0, 0.0, True), (0.025, 0.025, True), (0.02, 0.06, True), (0.06, 0.0, False)],
)
def test_only_what_loses_less_than_the_margin_is_proven_to(
    worse: float, better: float, is_proven: bool
) -> None:
    evidence = Evidence(Rollout())
    rng = np.random.default_rng(2)
    for i, draw in enumerate(rng.random(3000)):
        answers = [np.array([0]), np.array([0])]
        if draw < worse + better:
            answers[int(draw < worse)][0] = 1
        evidence.take(Compared(i, False, *answers, 1, 1))
        evidence.label(i, 0)
    assert evidence.is_proven == is_proven
    assert bool(evidence.breaches) == (not is_proven)


def test_what_loses_as_much_as_the_margin_is_seldom_proven_to_lose_less() -> None:
    rng = np.random.default_rng(3)
    n_proven = 0
    for _ in range(60):
        evidence = Evidence(Rollout())
        for draw in rng.random(1500):
            lost = 1.0 if draw < 0.05 else -1.0 if draw > 0.98 else 0.0
            evidence.proof.update(-lost)
        n_proven += evidence.is_proven
    assert n_proven <= 6


def test_an_equal_canary_is_not() -> None:
    evidence = Evidence(Rollout())
    rng = np.random.default_rng(1)
    for i in range(4000):
        answer = np.array([int(rng.random() < 0.1)])
        evidence.take(Served(i, i % 4 == 0, False, answer, 0.01))
        evidence.label(i, 0)
    assert evidence.breaches == []
    assert not evidence.is_proven  # of two arms apart nothing is proven


# ---- labels ----------------------------------------------------------------------


@given(st.permutations([(kind, i) for kind in ("a", "l") for i in range(4)]))
@settings(max_examples=60, deadline=None)
def test_labels_and_answers_meet_in_any_order(order: list[tuple[str, int]]) -> None:
    evidence = Evidence(Rollout(min_agreement=None))
    for kind, i in order:
        if kind == "a":
            evidence.take(Compared(i, False, np.array([0]), np.array([i % 2]), 1, 1))
        else:
            evidence.label(i, 0)
    quality = evidence.to_dict()["tests"]["quality"]
    assert (quality["n"], quality["n_worse"], quality["n_better"]) == (4, 2, 0)


def test_a_label_counts_once_and_unknown_ids_wait_bounded() -> None:
    evidence = Evidence(Rollout())
    evidence.take(Compared("a", False, np.array([0]), np.array([0]), 1, 1))
    for _ in range(3):
        evidence.label("a", 0)
    assert evidence.proof.n == 1
    join = LabelJoin()
    for i in range(70_000):
        join.labelled(i, 0)
    assert len(join._early) == 1 << 16


def test_rows_with_ids_of_their_own_have_labels_of_their_own() -> None:
    evidence = Evidence(Rollout())
    ids = ["a", "b"]
    evidence.take(Compared(ids, False, np.array([0, 1]), np.array([0, 0]), 1, 1))
    evidence.label("b", 1)
    evidence.label("a", 0)
    quality = evidence.to_dict()["tests"]["quality"]
    assert (quality["n"], quality["n_worse"], quality["n_better"]) == (2, 1, 0)


@pytest.mark.parametrize("label", ["cat", [1, 2, 3], object(), float("nan"), {}])
def test_a_label_that_fits_nothing_is_counted_and_let_go(label: Any) -> None:
    evidence = Evidence(Rollout())
    evidence.take(Compared("a", False, np.array([0]), np.array([1]), 1, 1))
    evidence.label("a", label)
    assert evidence.proof.n + evidence.n_unusable == 1
    assert evidence.breaches == []


def test_ears_never_raise_whatever_they_hear() -> None:
    def broken(_: Any) -> None:
        raise RuntimeError

    ears = Ears(broken)
    ears.compared([], {}, object(), None, 0, 0, ValueError())
    ears.served("candidate", {}, object(), 0, None)
    assert ears.n_troubles == 2
    ears = Ears()
    for i in range(70_000):
        ears.failed(i, 0.0, None)
    assert ears.n_dropped == 70_000 - (1 << 16)
    evidence = Evidence(Rollout())
    evidence.take(Served({}, True, False, np.array([1]), 0.1))  # an id that is none
    assert evidence.n_answered == 1


def test_a_loss_of_ones_own_counts(registry: Registry) -> None:
    policy = Rollout(loss=lambda y, result: float(abs(result[0, 0] - y) > 0.1))
    evidence = Evidence(policy)
    for i in range(40):
        bad, good = np.array([[1.0]]), np.array([[2.0]])
        evidence.take(Compared(i, False, good, bad, 1, 1))
        evidence.label(i, 2.0)
    assert evidence.breaches[0].startswith("quality:")


# ---- answers ---------------------------------------------------------------------


def test_answers_are_classes_where_there_are_scores() -> None:
    scores = np.random.default_rng(0).random((5, 3)).astype(np.float32)
    assert (answers_of((scores, "more")) == scores.argmax(1)).all()
    assert (answers_of({"y": scores}) == scores.argmax(1)).all()
    assert answers_of(np.array([[0.25]])).tolist() == [0.25]
    assert answers_of(np.array([3, 4])).tolist() == [3, 4]


def test_losses_by_their_definition() -> None:
    assert wrong(1, np.array([1])) == 0.0
    assert wrong([0.0, 1.0], np.array([1, 1])) == 0.5
    assert wrong([[0, 1], [1, 0]], np.array([1, 1])) == 0.5  # one-hot
    assert wrong(True, np.array([0.3])) == 1.0  # a single score
    assert wrong(2.5, np.array([2.0])) is None
    assert losses(2.5, np.array([2.0]), np.array([2.4])) == (1.0, 0.0)
    assert losses([1, 2], np.array([1]), np.array([1])) is None
    assert agree(np.array([1.0]), np.array([1.0])) is None
    assert agree(np.array([1]), np.array([1, 2])) is False
