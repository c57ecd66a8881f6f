"""The report: text, JSON, HTML and pictures; the command line and its exit status."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import trimtab
from trimtab.cli import main
from trimtab.errors import InputError

from .test_data import WEIGHTS, X, Y, linear


def full_report(**options):
    """Everything that a report can hold."""
    noise = np.random.default_rng(1).normal(size=(4, 3))
    return trimtab.evaluate_model(
        lambda x: x @ WEIGHTS,
        (X, Y, {"<b>town</b>": np.array(["a&b", "<script>", "c"])[Y]}),
        baseline=lambda x: x @ (WEIGHTS + noise),
        slices={"town": "<b>town</b>", "even": np.arange(len(Y)) % 2 == 0},
        cv=3,
        require={"accuracy": 0.2},
        min_slice_size=10,
        n_resamples=100,
        progress=False,
        **options,
    )


REPORT = full_report()


class Reader(HTMLParser):
    """Tags that are open, and every address that a page asks for."""

    def __init__(self):
        super().__init__()
        self.tags, self.addresses = set(), []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.addresses += [v for k, v in attrs if k in ("src", "href", "action")]


def test_a_report_comes_back_from_json():
    again = trimtab.EvaluationReport.from_json(REPORT.to_json())
    assert again.to_json() == REPORT.to_json()
    assert str(again) == str(REPORT)
    assert again.metrics == REPORT.metrics
    assert again.comparison == REPORT.comparison
    assert again.slices[1].tests == REPORT.slices[1].tests
    assert again.ok
    json.loads(REPORT.to_json(), parse_constant=lambda word: pytest.fail(word))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"format": 1}',
        '{"format": 2}',
        '{"format": 1, "metrics": 7}',
        '{"format": 1, "metrics": {"a": {}}}',
        '{"format": 1, "slices": [{}]}',
        "[" * 100000,
    ],
)
def test_what_is_no_report_is_refused(text):
    with pytest.raises(InputError, match="report: "):
        trimtab.EvaluationReport.from_json(text)


def test_a_report_does_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        REPORT.n = 5


def test_the_table_says_what_a_person_asks():
    text = str(REPORT)
    for told in (
        "accuracy >= 0.2: proven",
        "log_loss (lower is better)",
        "town=a&b",
        "mcnemar",
        "95 % intervals",
        "samples a second",
        "±",
    ):
        assert told in text


def test_the_page_stands_alone_and_escapes_everything(tmp_path):
    REPORT.save(tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text()
    reader = Reader()
    reader.feed(text)
    assert text.startswith("<!doctype html>")
    assert "script" not in reader.tags
    assert reader.addresses == []
    assert "<b>town" not in text
    assert "town=&lt;script&gt;" in text
    assert "prefers-color-scheme" in text
    assert len(text) < 200_000
    assert "<svg" in text
    assert "<table" in REPORT._repr_html_()
    REPORT.save(tmp_path / "r.json")
    assert json.loads((tmp_path / "r.json").read_text())["ok"]
    with pytest.raises(InputError, match=r"\.html or \.json"):
        REPORT.save(tmp_path / "r.txt")


def test_pictures_show_what_was_counted():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    plt = pytest.importorskip("matplotlib.pyplot")
    axes = REPORT.plot()
    assert [ax.get_title() for ax in axes] == [
        "confusion matrix",
        "reliability",
        "accuracy by slice",
    ]
    counts = np.asarray(REPORT.curves["confusion"]["counts"])
    answer = (X @ WEIGHTS).argmax(axis=1)
    expected = np.zeros((3, 3), int)
    np.add.at(expected, (Y, answer), 1)
    np.testing.assert_array_equal(counts, expected)
    shown = sorted(int(text.get_text()) for text in axes[0].texts)
    assert shown == sorted(counts[counts > 0].tolist())
    _, ax = plt.subplots()
    assert REPORT.plot("reliability", ax) is ax
    with pytest.raises(InputError, match=r"expected one of .*confusion.*'roc'"):
        REPORT.plot("roc")
    with pytest.raises(InputError, match="one axes takes one picture"):
        REPORT.plot(ax=ax)
    plt.close("all")


def test_curves_are_scikit_learns():
    sk = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 80)
    p = np.round(1 / (1 + np.exp(-y - rng.normal(size=80))), 2)
    report = trimtab.evaluate_model(lambda x: x, (p, y), progress=False)
    x, up, _ = sk.roc_curve(y, p.astype(np.float32), drop_intermediate=False)
    np.testing.assert_allclose(report.curves["roc"]["x"], x, atol=1e-6)
    np.testing.assert_allclose(report.curves["roc"]["y"], up, atol=1e-6)
    precision, recall, _ = sk.precision_recall_curve(y, p.astype(np.float32))
    found = report.curves["pr"]
    np.testing.assert_allclose(found["x"][::-1], recall[:-1], atol=1e-6)
    np.testing.assert_allclose(found["y"][::-1], precision[:-1], atol=1e-6)
    bins = report.curves["reliability"]
    assert sum(bins["n"]) == 80
    total = np.dot(bins["share"], bins["n"])
    assert total == pytest.approx(y.sum())


def test_long_curves_are_thinned():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 20_000)
    p = 1 / (1 + np.exp(-y - rng.normal(size=20_000)))
    curves = trimtab.evaluate_model(
        lambda x: x, (p, y), metrics="accuracy", progress=False
    ).curves
    for name in ("roc", "pr"):
        assert 100 < len(curves[name]["x"]) <= 202
    area = np.trapezoid(curves["roc"]["y"], curves["roc"]["x"])
    exact = pytest.importorskip("sklearn.metrics").roc_auc_score(y, p)
    assert area == pytest.approx(exact, abs=2e-3)


def test_numbers_have_a_scatter_plot():
    y = np.linspace(0, 1, 5000)
    report = trimtab.evaluate_model(lambda x: x, (y, y), progress=False)
    dots = np.asarray(report.curves["scatter"])
    assert dots.shape == (400, 2)
    assert dots[:, 0].mean() == pytest.approx(0.5, abs=0.06)


# ---- command line -------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("m.onnx").write_bytes(linear())
    Path("other.onnx").write_bytes(linear())
    np.savez("d.npz", x=X, y=Y, town=Y % 2, group=np.arange(len(Y)) // 4)
    return tmp_path


def test_the_command_tells_by_its_status_whether_all_is_proven(files, capsys):
    words = ["evaluate", "m.onnx", "--data", "d.npz"]
    assert main([*words, "--require", "accuracy=0.2"]) == 0
    assert "accuracy >= 0.2: proven" in capsys.readouterr().out
    assert main([*words, "--require", "accuracy=0.2", "--require", "log_loss=0"]) == 3
    assert "NOT PROVEN" in capsys.readouterr().out


def test_the_command_writes_json_and_files(files, capsys):
    status = main(
        "evaluate m.onnx --data d.npz --metrics accuracy,f1_macro --baseline "
        "other.onnx --slices town --groups group --cv 3 --classes a,b,c --json "
        "--report r.html".split()
    )
    values = json.loads(capsys.readouterr().out)
    assert status == 0
    assert list(values["metrics"]) == ["accuracy", "f1_macro"]
    assert values["comparison"]["accuracy"]["difference"] == 0
    assert [part["name"] for part in values["slices"]] == ["town=0", "town=1"]
    assert Path("r.html").read_text().startswith("<!doctype html>")
    pytest.importorskip("matplotlib")
    assert main("evaluate m.onnx --data d.npz --report r.png".split()) == 0
    assert Path("r.png").read_bytes()[:4] == b"\x89PNG"


def test_the_command_refuses_with_status_1(files, capsys):
    for words, told in (
        ("--data no.npz", "no file 'no.npz'"),
        ("--data d.npz --metrics nothing", "there is no 'nothing'"),
        ("--data d.npz --report r.doc", "--report r.doc"),
        ("--data d.npz --slices age", "no column 'age'"),
        ("--data m.onnx", "no .npz file of arrays"),
    ):
        assert main(["evaluate", "m.onnx", *words.split()]) == 1
        assert told in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main("evaluate m.onnx --data d.npz --require accuracy".split())


def test_an_interrupted_command_ends_with_130(files):
    code = (
        "import sys, trimtab.cli, trimtab.evaluate.predict as predict\n"
        "def stop(*a): raise KeyboardInterrupt\n"
        "predict.Predictor.__call__ = stop\n"
        "sys.exit(trimtab.cli.main(['evaluate', 'm.onnx', '--data', 'd.npz']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ
    )
    assert done.returncode == 130
    assert "Traceback" not in done.stderr


def test_evaluating_imports_nothing_heavy_beforehand():
    code = (
        "import sys, trimtab.evaluate.evaluate as _\n"
        "print(*sorted({'sklearn', 'scipy', 'matplotlib', 'tqdm'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []
