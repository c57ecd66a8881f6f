"""examples/closed_loop.py and examples/deploy_and_maintain.py do what they say."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from trimtab.errors import FetchError

from . import load_example, unavailable

pytestmark = pytest.mark.zoo


def needs(*packages: str) -> None:
    for package in packages:
        if importlib.util.find_spec(package) is None:
            unavailable(f"the example needs {package}")


def test_the_loop_closes(tmp_path: Path) -> None:
    needs("torch", "onnxscript", "matplotlib", "scipy")
    example = load_example("closed_loop.py")
    try:
        found = example.main(["--images", str(tmp_path)])
    except FetchError as error:
        unavailable(error)
    assert found["errors"] == []  # no request failed, whatever happened
    assert found["healthy"] > 0.9
    assert found["worse"] < found["healthy"] - 0.1
    assert found["drifted"]
    update = found["update"]
    assert update.state == "PROMOTED", str(update)
    assert update.rollout.state == "PROMOTED"
    assert found["better"] > found["worse"] + 0.05
    sabotaged = found["sabotaged"]
    assert sabotaged.state != "PROMOTED"
    assert any("label_quality" in reason for reason in sabotaged.reasons)
    (action,) = found["maintained"].actions
    assert (action["rule"], action["state"]) == ("disappoints", "ROLLED_BACK")
    assert found["after"] > found["worse"]
    told = [event.kind for event in found["history"]]
    assert told.count("register") == 3
    for name in ("digits", "course"):
        assert (tmp_path / f"maintenance_{name}.png").stat().st_size > 5000


def test_a_keras_model_lives_its_life(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs("torch", "keras", "h5py", "scipy")
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    example = load_example("deploy_and_maintain.py")
    source = Path(example.__file__).read_text()
    assert len(source.splitlines()) < 130
    try:
        update, fast, report = example.main(tmp_path)
    except FetchError as error:
        unavailable(error)
    assert update.state in ("PROMOTED", "REJECTED", "NEEDS_DATA")
    assert fast.model is not None
    states = [action["state"] for action in report.actions]
    assert states[0] == "ALERTED"
    assert states[1] in ("PROMOTED", "NEEDS_DATA")
    assert report.ok
