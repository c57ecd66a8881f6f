"""The loop around real deployments: proven updates, rollbacks, the commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.update.networks import accuracy, digits, digits_model, shifted

import trimtab
from trimtab.cli import main
from trimtab.errors import SwapError
from trimtab.maintain import DataVolume, ErrorRate, MaintenancePolicy, Rule, read_log

X, Y = digits()
S = shifted(X)
OLD = (X[800:1600], Y[800:1600])
NEW = (S[:600], Y[:600])
# What so few rows of so small a net can prove.
QUICK = {
    "method": "head_logistic",
    "forget": 0.5,
    "gates": ["golden", "signature", "finite", "non_inferiority"],
}


@pytest.fixture
def deployment(tmp_path: Path) -> Any:
    with trimtab.deploy_model(
        digits_model(), name="digits", registry=tmp_path / "models"
    ) as served:
        yield served


def maintained(deployment: Any, *rules: Rule, **options: Any) -> Any:
    return trimtab.maintain_model(
        deployment, MaintenancePolicy(rules), once=True, **options
    )


def test_new_labels_become_a_version_that_serves(
    deployment: Any, tmp_path: Path
) -> None:
    before = accuracy(deployment.model, S[1000:], Y[1000:])
    rule = Rule("labels", DataVolume(500), "update", 0, QUICK)
    report = maintained(deployment, rule, new_data=NEW, reference=OLD)
    (action,) = report.actions
    assert action["state"] == "PROMOTED", str(report)
    assert deployment.version == report.version == action["version"] == 2
    assert accuracy(deployment.model, S[1000:], Y[1000:]) > before + 0.1
    version = deployment.registry.get("digits@champion")
    assert version.reason == "labels: 600 labelled rows are new"
    assert deployment.registry.verify().ok
    again = maintained(deployment, rule, new_data=NEW, reference=OLD)
    assert again.actions == ()
    log = tmp_path / "models" / "maintenance" / "digits.ndjson"
    kinds = [record["kind"] for record in read_log(log)]
    assert kinds == ["version", "began", "ended", "version"]


def test_requests_that_fail_take_a_version_back(deployment: Any) -> None:
    forced = deployment.registry.register("digits", digits_model(), reason="hasty")
    trimtab.promote_model(deployment, forced)
    assert deployment.version == 2
    rule = Rule("errors", ErrorRate(0.5), "roll_back", 0)
    assert maintained(deployment, rule).actions == ()
    for _ in range(4):
        with pytest.raises(trimtab.InputError):
            deployment(np.zeros((1, 3), np.float32))
    report = maintained(deployment, rule)
    assert report.actions[0]["state"] == "ROLLED_BACK", str(report)
    assert deployment.version == report.version == 1


def test_a_deployment_may_have_a_name_of_its_own(
    deployment: Any, tmp_path: Path
) -> None:
    registry = deployment.registry
    registry.register("digits", digits_model(), reason="the second")
    registry.register("reader", digits_model(), reason="something else")
    registry.promote("reader", 1)
    with trimtab.deploy_model("digits", registry=registry, name="reader") as served:
        assert (served.name, served.registered_name) == ("reader", "digits")
        trimtab.promote_model(served, 2)
        assert served.version == 2
        maintained(served, Rule("errors", ErrorRate(0.5), "roll_back", 0))
    assert registry.get("digits@champion").version == 2
    assert registry.get("reader@champion").version == 1
    assert (tmp_path / "models" / "maintenance" / "digits.ndjson").exists()


def test_labels_that_prove_nothing_change_nothing(deployment: Any) -> None:
    rule = Rule("labels", DataVolume(10), "update", 0, {"method": "head_ridge"})
    report = maintained(deployment, rule, new_data=(S[:60], Y[:60]))
    assert report.actions[0]["state"] in ("NEEDS_DATA", "REJECTED")
    assert deployment.version == 1


def test_data_that_fit_nothing_are_a_failure_that_is_told(deployment: Any) -> None:
    rule = Rule("labels", DataVolume(10), "update", 0)
    report = maintained(deployment, rule, new_data=(np.ones((50, 3)), np.zeros(50)))
    assert not report.ok
    assert "InputError" in report.reasons[0]
    assert deployment.version == 1


# ---- the commands --------------------------------------------------------------------


def test_the_commands_live_the_same_life(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRIMTAB_REGISTRY", str(tmp_path / "models"))
    digits_model().save("m.safetensors")
    assert main(["deploy", "m.safetensors", "--name", "digits"]) == 0
    assert "digits/1 serves" in capsys.readouterr().out
    np.savez("guard.npz", x=X[:500], y=Y[:500])
    proof = ["--data", "guard.npz", "--margin", "0.05"]
    status = main(["deploy", "m.safetensors", "--name", "digits", *proof])
    assert (status, "still serves" in capsys.readouterr().out) in (
        (0, False),
        (3, True),
    )

    np.savez("new.npz", x=NEW[0], y=NEW[1])
    np.savez("old.npz", x=OLD[0], y=OLD[1])
    rule = Rule("labels", DataVolume(500), "update", 0, QUICK)
    policy = MaintenancePolicy((rule,)).to_dict()
    Path("policy.json").write_text(json.dumps(policy))
    words = ["maintain", "digits", "--new-data", "new.npz", "--reference", "old.npz"]
    words += ["--policy", "policy.json", "--once", "--traffic", "guard.npz"]
    assert main([*words, "--report", "r.html", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["records"][-1]["kind"] == "version"
    assert (tmp_path / "r.html").stat().st_size > 1000
    assert main(["maintain", "digits", "--show"]) == 0
    assert "labels: update -> PROMOTED" in capsys.readouterr().out
    assert main(["rollback", "digits", "--reason", "complaints"]) == 0
    assert main(["registry", "history", "digits"]) == 0
    assert "complaints" in capsys.readouterr().out


def test_a_model_that_cannot_serve_is_not_deployed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["--registry", "models", "--name", "digits"]
    digits_model().save("m.safetensors")
    assert main(["deploy", "m.safetensors", *words]) == 0
    broken = digits_model()
    graph = broken._graph_again().copy()
    weight = next(n for n, c in graph.graph.constants.items() if len(c.shape) == 2)
    values = graph.graph.constants[weight].numpy() * np.nan
    from trimtab.graph import Constant

    graph.graph.constants[weight] = Constant.of(values.astype(np.float32))
    bad = broken.reloaded(passes=-1, graph=graph)
    bad.save("bad.safetensors")
    assert main(["deploy", "bad.safetensors", *words]) == 1
    assert "NaN" in capsys.readouterr().err
    registry = trimtab.Registry("models")
    assert registry.get("digits@champion").version == 1
    with (
        trimtab.deploy_model("digits", registry=registry) as served,
        pytest.raises(SwapError),
    ):
        trimtab.promote_model(served, 2)
