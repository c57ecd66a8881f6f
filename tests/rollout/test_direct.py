"""By hand: promote and roll back at once, and the commands for it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from trimtab import InputError, Registry, RegistryConflict, RegistryError, SwapError
from trimtab.cli import main
from trimtab.rollout import promote_model, read_rollout, rollback_model
from trimtab.rollout.handle import owning_rollouts, subject_of

from .conftest import FakeDeployment, quick
from .test_killed import as_good


def test_there_and_back(dep: Any, registry: Registry) -> None:
    result = promote_model(dep, "digits/2", reason="by hand")
    assert result.ok
    assert registry.alias("digits").version == dep.version == 2
    assert registry.alias("digits").reason == "by hand"
    result = rollback_model(dep, reason="complaints")
    assert result.state == "ROLLED_BACK"
    assert result.version == 2
    assert result.edges[0].data == {"serves": 1}
    assert registry.alias("digits").version == dep.version == 1
    assert rollback_model(dep, to=2).edges[0].data == {"serves": 2}
    assert dep.version == 2


def test_what_cannot_serve_is_not_promoted(registry: Registry) -> None:
    dep = FakeDeployment(registry, as_good, bad=(2,))
    with pytest.raises(SwapError):
        promote_model(dep, 2)
    assert registry.alias("digits").version == dep.version == 1


def test_a_bad_previous_version_is_passed_over(registry: Registry) -> None:
    for version in (2, 3):
        registry.promote("digits", version)
    dep = FakeDeployment(registry, as_good, bad=(2,))
    result = rollback_model(dep)
    assert registry.alias("digits").version == dep.version == 1
    assert "version 2 cannot be loaded" in result.reasons[0]


def test_nothing_to_go_back_to_is_told(dep: Any, registry: Registry) -> None:
    with pytest.raises(RegistryError, match="nothing to go back to"):
        rollback_model(dep)
    with pytest.raises(InputError, match="previous"):
        rollback_model(dep, to="before")
    assert registry.alias("digits").version == dep.version == 1


def test_what_was_expected_is_compared(dep: Any) -> None:
    with pytest.raises(RegistryConflict):
        promote_model(dep, 2, expected=3)
    assert dep.version == 1


def test_while_a_rollout_is_under_way_nobody_promotes(dep: Any, capsys: Any) -> None:
    registry = dep.registry
    with owning_rollouts(registry, "digits"):
        with pytest.raises(RegistryConflict):
            promote_model(dep, 2)
        with pytest.raises(RegistryConflict):
            rollback_model(dep)
        assert main(["promote", "digits/2", "--registry", str(registry.path)]) != 0
    assert "under way" in capsys.readouterr().err
    assert dep.version == 1


def test_a_version_is_found_by_number_reference_or_itself(dep: Any) -> None:
    registry = dep.registry
    for version in (2, "digits/2", registry.get("digits/2")):
        assert subject_of(dep, version).version == 2
    for version in (True, 2.0, None):
        with pytest.raises(InputError, match="version"):
            subject_of(dep, version)


def test_the_commands(registry: Registry, capsys: Any) -> None:
    path = ["--registry", str(registry.path)]
    assert main(["promote", "digits/2", *path, "--reason", "better"]) == 0
    assert "digits@champion = 2" in capsys.readouterr().out
    assert main(["rollback", "digits", *path, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["alias"]["version"] == 1
    assert main(["rollback", "digits", *path, "--to", "3"]) == 0
    assert registry.alias("digits").version == 3
    assert main(["promote", "digits/9", *path]) == 1
    assert main(["promote", "digits/2", *path, "--expected", "1"]) == 1
    assert registry.alias("digits").version == 3


def test_a_command_settles_what_a_killed_rollout_left(
    registry: Registry, capsys: Any
) -> None:
    from trimtab.rollout.driver import Subject
    from trimtab.rollout.handle import head_of
    from trimtab.rollout.log import Edge, RolloutLog

    subject = Subject(registry, "digits", "champion", 2, registry.alias("digits"), 1)
    log = RolloutLog(registry.store, "digits", 1)
    log.begin(0.0, head_of(subject, quick()))
    log.add(Edge(1.0, "SHADOW", "CANARY"))
    log.close()
    assert main(["rollback", "digits", "--status", "--registry", registry.path]) == 0
    assert "CANARY" in capsys.readouterr().out
    assert main(["promote", "digits/3", "--registry", str(registry.path)]) == 0
    assert "rollout 1" in capsys.readouterr().out
    read = read_rollout(registry, "digits")
    assert read is not None
    assert read.state == "ROLLED_BACK"
