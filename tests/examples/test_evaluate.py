"""Two readers of digits are judged as scikit-learn judges them."""

from __future__ import annotations

from pathlib import Path

import pytest
from sklearn.metrics import accuracy_score

from . import load_example


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_digits_are_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("skl2onnx")
    module = load_example("evaluate/digits.py")
    out = tmp_path / "report.html"
    report = module.main(["--out", str(out), "--require", "accuracy=0.999"])
    pixels, digits, unseen, truth = module.read_digits()
    for name, fit in (("value", module.fit_net), ("baseline", module.fit_linear)):
        expected = accuracy_score(truth, fit(pixels, digits).predict(unseen))
        found = getattr(report.comparison["accuracy"], name)
        assert found == pytest.approx(expected, abs=2 / len(truth))
    assert not report.ok
    assert [part.name for part in report.slices][:10] == [
        f"digit={i}" for i in range(10)
    ]
    assert out.read_text().startswith("<!doctype html>")
    text = capsys.readouterr().out
    assert "Is it the recipe" in text
    assert "corrected resampled t" in text
