"""trimtab update: from files to files."""

import json

import numpy as np
import pytest

import trimtab
import trimtab.update.update as module
from trimtab.cli import main
from trimtab.registry.registry import Registry

from .networks import digits, digits_model, shifted
from .test_update import Report

X, Y = digits()
S = shifted(X)


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_prove", lambda evidence, gates: Report())
    monkeypatch.chdir(tmp_path)
    digits_model().save("m.safetensors")
    np.savez("new.npz", x=S[:200], y=Y[:200])
    np.savez("old.npz", x=X[800:1000], y=Y[800:1000])
    return tmp_path


def test_a_model_and_rows_give_a_better_model(files, capsys):
    words = ["update", "m.safetensors", "--data", "new.npz", "-o", "u.safetensors"]
    words += ["--method", "head_ridge"]
    assert main([*words, "--report", "r.html", "--save-statistics", "s.npz"]) == 0
    assert "READY" in capsys.readouterr().out
    updated = trimtab.load_model("u.safetensors")
    assert (updated(S[800:]).argmax(1) == Y[800:]).mean() > 0.7
    assert "<svg" in (files / "r.html").read_text()
    assert main([*words, "--old-statistics", "s.npz", "--json"]) == 0
    plain = json.loads(capsys.readouterr().out)
    assert plain["method"] == "head_ridge"
    assert plain["detail"]["n_old"] == 110


def test_what_is_not_proven_is_told_by_the_exit_status(files, monkeypatch, capsys):
    monkeypatch.setattr(
        module, "_prove", lambda evidence, gates: Report("needs_data", ("few",))
    )
    words = ["update", "m.safetensors", "--data", "new.npz", "-o", "u.safetensors"]
    assert main([*words, "--reference", "old.npz"]) == 3
    assert "NEEDS_DATA" in capsys.readouterr().out
    assert not (files / "u.safetensors").exists()


def test_a_reference_is_updated_in_its_registry(files, capsys):
    registry = Registry("models")
    registry.register("digits", "m.safetensors", reason="first")
    registry.promote("digits", 1, reason="first")
    words = ["update", "digits@champion", "--registry", "models", "--data", "new.npz"]
    assert main([*words, "--reason", "mirror"]) == 0
    assert "version  2" in capsys.readouterr().out
    assert registry.get("digits@challenger").reason == "mirror"


@pytest.mark.parametrize(
    "words",
    [
        ["--data", "none.npz"],
        ["--data", "new.npz", "--report", "r.txt"],
        ["--data", "new.npz", "-o", "no/such/m.safetensors"],
        ["--data", "new.npz", "--reference", "old.npz", "--old-statistics", "s.npz"],
        ["--data", "new.npz", "--old-statistics", "new.npz"],
        ["--data", "new.npz", "--method", "magic"],
    ],
)
def test_what_cannot_be_is_refused_in_one_line(files, words, capsys):
    assert main(["update", "m.safetensors", *words]) == 1
    assert capsys.readouterr().err.count("\n") == 1
