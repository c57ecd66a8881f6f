"""The command ``trimtab registry``, as a person or a script calls it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from trimtab import Registry
from trimtab.cli import main

from .conftest import check_whole
from .test_registry import damage


@pytest.fixture
def call(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Call it with a registry; give the status and what it wrote."""

    def run(*words: object, json_too: bool = True):
        where = ["--registry", str(tmp_path / "registry")]
        more = ["--json"] if json_too else []
        capsys.readouterr()
        status = main(["registry", *map(str, words), *where, *more])
        out = capsys.readouterr().out
        return status, json.loads(out) if json_too else out

    return run


def test_a_model_from_registration_to_rollback(
    call, artefacts: list[Path], tmp_path: Path
) -> None:
    metrics = tmp_path / "metrics.json"
    metrics.write_text('{"accuracy": 0.9}')
    status, made = call("register", "digits", artefacts[0], "--metrics", metrics)
    assert (status, made["version"], made["metrics"]) == (0, 1, {"accuracy": 0.9})
    call("register", "digits", artefacts[1], "--parent", "digits/1", "--reason", "why")
    assert call("promote", "digits", 1)[1]["generation"] == 3
    assert call("promote", "digits", 2, "--expected", 1, "--by", "ann")[0] == 0
    assert call("promote", "digits", 1, "--alias", "challenger")[0] == 0
    _, listed = call("list")
    assert listed == [
        {
            "name": "digits",
            "versions": [1, 2],
            "aliases": {"challenger": 1, "champion": 2},
        }
    ]
    assert call("show", "digits@champion")[1]["reason"] == "why"
    assert call("diff", "digits/1", "digits/2")[1]["tensors"] == {"w": "changed"}
    assert call("rollback", "digits", "--reason", "slow")[1]["version"] == 1
    assert call("history", "digits")[1][-1]["reason"] == "slow"
    assert call("verify")[1]["ok"] is True
    assert call("gc", "--keep", 1, "--dry-run")[1]["versions"] == {}
    check_whole(tmp_path / "registry")


def test_people_get_tables(call, artefacts: list[Path], tmp_path: Path) -> None:
    call("register", "digits", artefacts[0], "--reason", "the first")
    call("promote", "digits", 1)
    for words, found in {
        ("list",): "champion = 1",
        ("show", "digits"): "digits/1",
        ("history", "digits"): "the first",
        ("verify",): "all as it was registered",
        ("gc",): "removed 0 versions",
        ("promote", "digits", "1"): "digits@champion = 1",
        ("export", str(tmp_path / "x.tar")): "digits/1 ->",
        ("import", str(tmp_path / "x.tar"), "--name", "copy"): "copy/1",
        ("diff", "digits/1", "copy/1"): "0 tensors differ",
    }.items():
        status, text = call(*words, json_too=False)
        assert status == 0
        assert found in text, words


def test_errors_are_one_line_and_a_status(
    call, artefacts: list[Path], tmp_path: Path
) -> None:
    assert call("list")[0] == 1  # there is none, and looking makes none
    assert not (tmp_path / "registry").exists()
    call("register", "digits", artefacts[0])
    for words, error in {
        ("show", "digits@champion"): "RegistryError",
        ("promote", "digits", 7): "RegistryError",
        ("promote", "digits", 1, "--expected", 2): "RegistryConflict",
        ("promote", "digits", 1, "--expected", "x"): "InputError",
        ("rollback", "digits"): "RegistryError",
        ("import", tmp_path / "nothing"): "RegistryError",
        ("register", "../x", artefacts[0]): "RegistryError",
    }.items():
        status, told = call(*words)
        assert (status, told["error"]) == (1, error), words


def test_verify_exits_with_one_where_something_is_broken(
    call, artefacts: list[Path], tmp_path: Path
) -> None:
    call("register", "digits", artefacts[0])
    damage(Registry(tmp_path / "registry").get("digits/1").path)
    assert call("verify", "--dry-run")[0] == 1
    status, report = call("verify")
    assert (status, report["set_aside"]) == (1, ["digits/1"])


def test_the_registry_may_be_named_by_a_variable(
    artefacts: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("TRIMTAB_REGISTRY", raising=False)
    assert main(["registry", "list"]) == 1
    assert "TRIMTAB_REGISTRY" in capsys.readouterr().err
    monkeypatch.setenv("TRIMTAB_REGISTRY", str(tmp_path / "r"))
    assert main(["registry", "register", "digits", str(artefacts[0])]) == 0
    capsys.readouterr()
    assert main(["registry", "--json", "list"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["name"] == "digits"


def test_signing_and_trusting(call, artefacts: list[Path], tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    from .test_sign import ed25519, pem

    key = tmp_path / "key.pem"
    key.write_bytes(pem(ed25519.Ed25519PrivateKey.generate()))
    call("register", "digits", artefacts[0])
    assert call("show", "digits/1", "--trust", "0" * 64)[0] == 1
    public = call("sign", "digits/1", "--key", key)[1]["public_key"]
    assert call("show", "digits/1", "--trust", public)[0] == 0
