"""examples/monitoring does what it says."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from trimtab.errors import FetchError

from . import load_example, unavailable

pytestmark = pytest.mark.zoo


def test_a_lamp_that_fades_is_found_before_digits_are_misread(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for package in ("torch", "onnxscript", "matplotlib"):
        if importlib.util.find_spec(package) is None:
            unavailable(f"the example needs {package}")
    incident = load_example("monitoring/incident.py")
    page = tmp_path / "r.html"
    try:
        report = incident.main(["--images", str(tmp_path), "--report", str(page)])
    except FetchError as error:
        unavailable(error)
    by_window = [set(window.drifted) for window in report.windows]
    assert len(by_window) == 12
    assert not any(by_window[:4])  # no false alarm while the lamp is new
    assert {"noise", "entropy"} <= by_window[4]
    assert report.status.state == "alert"
    assert report.status.troubles == {}
    assert "request 1500" in capsys.readouterr().out
    assert page.stat().st_size < 200_000
    for name in ("digits", "course", "histograms"):
        assert (tmp_path / f"monitoring_{name}.png").stat().st_size > 5000
