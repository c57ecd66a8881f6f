"""A model is optimised on real digits, and what is promised holds on others."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

import trimtab
from trimtab.errors import FetchError

from . import load_example, unavailable

pytestmark = pytest.mark.zoo


def test_digits_are_read_as_well_as_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for package in ("torch", "onnxscript"):
        if importlib.util.find_spec(package) is None:
            unavailable(f"the example needs {package}")
    module = load_example("optimize/digits.py")
    out = tmp_path / "digits.safetensors"
    try:
        report = module.main(["--out", str(out)])
    except FetchError as error:
        unavailable(error)
    text = capsys.readouterr().out
    found = re.search(r"2000 digits kept out: (\S+) before, (\S+) after", text)
    assert found, text
    before, after = map(float, found.groups())
    # the proof allows 0.005; of 2,000 digits an unlucky half shows a little more
    assert 0.9 < before <= after + 0.01
    assert float(re.findall(r"(\S+) once more", text)[0]) == after
    if report.bound is not None:
        assert report.bound.upper <= 0.005
        assert report.speedup > 1
    else:
        assert {layer.precision for layer in report.layers} <= {"f32"}
    (image,) = trimtab.load_model(out).inputs
    assert image.name == "image"
