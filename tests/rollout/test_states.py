"""The tables: every state leads on, and to an end; each kind of crash has an answer."""

from __future__ import annotations

import itertools

import pytest

from trimtab import Registry
from trimtab.rollout import Rollout, read_rollout, resume
from trimtab.rollout.actions import ACTIONS
from trimtab.rollout.driver import Subject
from trimtab.rollout.evidence import SHARES_OF_ALPHA
from trimtab.rollout.handle import head_of
from trimtab.rollout.log import Edge, RolloutLog
from trimtab.rollout.states import FINAL, RESUME, STATES, following


def test_every_state_has_an_action_and_leads_to_states() -> None:
    for action, *after in STATES.values():
        assert action in ACTIONS
        assert set(after) <= {*STATES, *FINAL}
    assert set(ACTIONS) == {action for action, *_ in STATES.values()}
    assert not set(FINAL) & set(STATES)


def test_only_what_passed_everything_is_promoted() -> None:
    ways = {
        state
        for state, outcome in itertools.product(STATES, ("pass", "fail", "unknown"))
        if following(state, outcome) in ("PROMOTED", "PROMOTING", "BAKING")
        and outcome != "pass"
    }
    assert ways == set()


def test_every_state_has_an_answer_to_a_crash() -> None:
    assert set(RESUME) == set(STATES)
    for pair in RESUME.values():
        for after in itertools.chain(*pair):
            assert after in {*STATES, *FINAL}
    for state, (_, alone) in RESUME.items():
        assert alone[0] == "ROLLED_BACK", state
        assert alone[1] in ("ROLLING_BACK", "PROMOTED")


def test_alpha_is_spent_once() -> None:
    assert sum(SHARES_OF_ALPHA.values()) == pytest.approx(1.0)


@pytest.mark.parametrize("is_set", [False, True])
@pytest.mark.parametrize("state", STATES)
def test_left_in_any_state_it_is_settled_by_the_alias_alone(
    registry: Registry, state: str, is_set: bool
) -> None:
    before = registry.alias("digits")
    subject = Subject(registry, "digits", "champion", 2, before, 1)
    log = RolloutLog(registry.store, "digits", 1)
    log.begin(0.0, head_of(subject, Rollout()))
    log.add(Edge(1.0, "REGISTERED", state))
    log.close()
    if is_set:
        registry.promote("digits", 2, reason=f"{subject.mark} it is good")
    result = resume(registry, "digits")
    assert result is not None
    keeps = is_set and state in ("PROMOTING", "BAKING")
    assert result.state == ("PROMOTED" if keeps else "ROLLED_BACK")
    assert registry.alias("digits").version == (2 if keeps else 1)
    assert resume(registry, "digits") is None
    read = read_rollout(registry, "digits")
    assert read is not None
    assert read.state == result.state


def test_an_alias_that_somebody_else_set_is_let_alone(registry: Registry) -> None:
    subject = Subject(registry, "digits", "champion", 2, registry.alias("digits"), 1)
    log = RolloutLog(registry.store, "digits", 1)
    log.begin(0.0, head_of(subject, Rollout()))
    log.add(Edge(1.0, "CANARY", "ROLLING_BACK", ("worse",)))
    log.close()
    registry.promote("digits", 2, reason="by hand")
    result = resume(registry, "digits")
    assert result is not None
    assert result.state == "ROLLED_BACK"
    assert registry.alias("digits").version == 2


def test_where_nothing_was_rolled_out_there_is_nothing(registry: Registry) -> None:
    assert resume(registry, "digits") is None
    assert read_rollout(registry, "digits") is None
