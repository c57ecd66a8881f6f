"""`optimize_model` as a whole: a real model, a stand-in that rounds its weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trimtab
from trimtab.errors import InputError
from trimtab.formats.builder import GraphBuilder
from trimtab.graph import Constant
from trimtab.optimize import finish
from trimtab.optimize import optimize as module
from trimtab.optimize.outcome import Goal
from trimtab.optimize.progress import Deadline, Progress
from trimtab.optimize.samples import Samples

from .fakes import FakeLayer, FakeTimer

RNG = np.random.default_rng(0)
N_CLASSES = 5
CENTRES = RNG.standard_normal((N_CLASSES, 16)).astype(np.float32) * 1.2
LABELS = RNG.integers(0, N_CLASSES, 900)
X = (CENTRES[LABELS] + RNG.standard_normal((900, 16))).astype(np.float32)
BITS = {"f32": 24, "bf16": 8, "int8": 7}


def make_graph(*, softmax: bool = False) -> Any:
    """Nearest centre, with a layer before that changes the basis."""
    basis = np.linalg.qr(RNG.standard_normal((16, 16)))[0].astype(np.float32)
    b = GraphBuilder("net")
    x = b.input("x", "float32", ("N", 16))
    h = b.op("MatMul", [x, b.constant(basis, "w0")], name="layer0")
    weights = (basis.T @ CENTRES.T).astype(np.float32)
    bias = (-(CENTRES**2).sum(1) / 2).astype(np.float32)
    y = b.op("MatMul", [h, b.constant(weights, "w1")], name="layer1")
    y = b.op("Add", [y, b.constant(bias, "bias")])
    b.output(b.op("Softmax", [y], axis=-1) if softmax else y, "y")
    return b.build("example")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The model as a file of this package."""
    from trimtab.load import make_model
    from trimtab.optimize import optimize as _  # noqa: F401
    from trimtab.options import Options
    from trimtab.source import Source

    options = Options(
        threads=None,
        device="cpu",
        fallback=True,
        limits=trimtab.Limits(),
        passes=-1,
        copy=True,
        staging=False,
        verify="off",
        cache=False,
        reading={},
        is_rewritten=True,
    )
    model = make_model(make_graph(), Source(None, b""), options)
    file = tmp_path_factory.mktemp("model") / "m.safetensors"
    model.save(file, class_names=list("abcde"))
    return str(file)


class Rounder:
    """Rounds the weights of chosen layers to a number of bits."""

    def __init__(self, model: Any, samples: Samples, precisions: Any) -> None:
        self.model = model
        self.n_calibration = len(samples)
        self.layers = [FakeLayer("layer0", "MatMul"), FakeLayer("layer1", "MatMul")]
        self.times = {"layer0": 10.0, "layer1": 20.0}

    def build(self, choices: Mapping[str, str], *, quick: bool = False) -> Any:
        def rewrite(graph: Any) -> Any:
            for layer, precision in choices.items():
                name = "w" + layer[-1]
                values = graph.graph.constants[name].numpy()
                step = np.abs(values).max() / 2 ** BITS[precision]
                rounded = (np.round(values / step) * step).astype(np.float32)
                graph.graph.constants[name] = Constant.of(rounded)
            return graph

        made = self.model.rewritten(rewrite)
        made.choices = dict(choices)
        return made

    def weight_bytes(self, layer: str, precision: str) -> int:
        return {"f32": 1024, "bf16": 512, "int8": 256}[precision]

    def range_of(self, layer: str) -> None:
        return None


def optimize(model: Any, **given: Any) -> Any:
    """`optimize_model` with the stand-ins."""
    backend: dict[str, Any] = {}

    def quantizer(*arguments: Any) -> Rounder:
        backend["it"] = Rounder(*arguments)
        return backend["it"]

    class Timer(FakeTimer):
        def __init__(self) -> None:
            super().__init__(None)

        def __getattribute__(self, name: str) -> Any:
            if name == "backend":
                return backend["it"]
            return super().__getattribute__(name)

    values = dict(
        calibration=None,
        validation=(X, LABELS),
        metric=None,
        output=None,
        goal=Goal(0.02),
        guard_share=None,
        deadline=Deadline(None),
        journal=None,
        progress=Progress(False),
        quantizer=quantizer,
        timer=Timer(),
    )
    return module.optimize(model, **{**values, **given})


def test_the_report_says_what_was_done_and_proven(path: str) -> None:
    report = optimize(path)
    assert report.metric == "accuracy"
    assert {layer.precision for layer in report.layers} == {"int8"}
    assert report.bound.upper <= report.max_drop
    assert report.speedup == pytest.approx(1 / 0.3)
    assert sum(report.n_samples.values()) == 900
    assert report.sizes == {"f32_bytes": 2048, "bytes": 512}
    assert report.sqnr_db > 30
    text = str(report)
    for word in ("3.33 x as fast", "proven", "layer1", "int8", "budget 0.02", "guard"):
        assert word in text, word
    chosen = [point for point in report.curve if point.is_chosen]
    assert [point.split for point in chosen] == ["guard"]
    after = (report.model(X).argmax(1) == LABELS).mean()
    before = (trimtab.load_model(path)(X).argmax(1) == LABELS).mean()
    assert before - after <= 0.02


def test_the_report_is_data_too(path: str, tmp_path: Path) -> None:
    report = optimize(path)
    values = json.loads(report.to_json())
    assert values["layers"][0]["name"] == "layer0"
    assert values["bound"]["n"] == report.n_samples["guard"]
    assert "model" not in values
    report.save(tmp_path / "r.json")
    assert json.loads((tmp_path / "r.json").read_text()) == values
    report.save(tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text()
    assert "<table>" in page
    assert page.count("<tr>") == 3


def test_numbers_that_are_not_finite_are_null(path: str) -> None:
    report = optimize(path)
    object.__setattr__(report, "speedup", float("inf"))
    assert json.loads(report.to_json())["speedup"] is None


def test_the_picture_shows_every_point(path: str) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    report = optimize(path)
    ax = report.plot()
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert {"chosen", "budget 0.02"} <= set(labels)
    assert "accuracy" in ax.get_ylabel()
    assert report.plot(ax) is ax
    matplotlib.pyplot.close("all")


def test_without_matplotlib_the_message_says_how_to_get_it(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = optimize(path)
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"pip install 'trimtab\[plot\]'"):
        report.plot()


def test_the_model_keeps_names_and_is_saved_with_pairs_of_float32(
    path: str, tmp_path: Path
) -> None:
    report = optimize(path)
    assert report.model.class_names == list("abcde")
    report.model.save(tmp_path / "fast.safetensors")
    again = trimtab.load_model(tmp_path / "fast.safetensors")
    assert again.verification is not None
    assert again.verification.n_pairs == 2
    assert 0 < again.verification.difference < 0.1
    assert again.class_names == list("abcde")
    # They are outputs of the model in float32, not its own.
    plain = trimtab.load_model(path)
    artefact = again.artefact
    assert artefact is not None
    from trimtab.golden import read_pairs

    readers, tolerances = read_pairs(artefact)
    pair = readers[0]()
    assert np.array_equal(pair.outputs["y"], plain.run(pair.inputs)["y"])
    assert tolerances["float32"] >= 0.25


def test_another_processors_rounding_is_allowed_for() -> None:
    assert finish._TOLERANCES["int8"] > finish._TOLERANCES["bf16"] > 0


def test_without_labels_a_classifier_is_compared_with_itself(path: str) -> None:
    report = optimize(path, validation=X)
    assert report.metric == "top_1_agreement"
    assert report.metric_reason == "no labels; the model is a classifier"
    assert report.bound.method == "clopper-pearson"


def test_calibration_data_alone_are_split(path: str) -> None:
    report = optimize(path, calibration=X, validation=None)
    assert report.metric == "top_1_agreement"
    assert sum(report.n_samples.values()) == 900


def test_the_same_samples_for_both_are_split(path: str) -> None:
    report = optimize(path, calibration=X, validation=(X, LABELS))
    assert sum(report.n_samples.values()) == 900
    assert any("900 validation samples are calib" in note for note in report.notes)


def test_a_guard_that_proves_nothing_in_part_takes_all(path: str) -> None:
    """240 of 300 prove no 1.1 %, 300 do: the search makes do with calibration data."""
    report = optimize(
        path,
        calibration=X[:100],
        validation=(X[100:400], LABELS[100:400]),
        goal=Goal(0.011),
    )
    assert report.n_samples["guard"] == 300
    assert any("all validation samples are guard" in note for note in report.notes)


def test_what_cannot_be_proven_is_refused_before_any_work(path: str) -> None:
    with pytest.raises(
        InputError, match=r"cannot be proven: with 772 guard samples.*2995"
    ):
        optimize(path, goal=Goal(0.001), quantizer=None)


def test_a_metric_of_the_user_and_one_number(path: str) -> None:
    def balanced(y_true: Any, y_pred: Any) -> float:
        hits = y_pred.argmax(1) == y_true
        return float(np.mean([hits[y_true == k].mean() for k in np.unique(y_true)]))

    report = optimize(path, metric=balanced, goal=Goal(0.03))
    assert report.metric == "balanced"
    assert report.bound.method == "BCa bootstrap"


def test_an_interrupt_during_calibration_returns_float32(path: str) -> None:
    def quantizer(*arguments: Any) -> Any:
        raise KeyboardInterrupt

    model = trimtab.load_model(path)

    class Timer(FakeTimer):
        def models(self, models: Any, inputs: Any, **more: Any) -> Any:
            self.backend = type("B", (), {"times": {"layer0": 1.0}})
            return super().models(models, inputs)

    report = optimize(model, quantizer=quantizer, timer=Timer(None))
    assert report.model is model
    assert report.reason.startswith("interrupted")
    assert "interrupted" in report.notes
    assert str(report)


def test_an_interrupted_call_goes_on(path: str, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    first = optimize(path, journal=journal)
    again = optimize(path, journal=journal)
    assert any("from the journal" in note for note in again.notes)
    assert again.bound == first.bound
    other = optimize(path, journal=journal, goal=Goal(0.02, seed=1))
    assert not any("journal" in note for note in other.notes)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "budget": (dict(max_drop=0), "max_drop"),
    "budget of NaN": (dict(max_drop=float("nan")), "max_drop"),
    "alpha": (dict(alpha=1), "alpha"),
    "goal": (dict(goal="speed"), "goal: expected one of"),
    "precision": (dict(precisions=("fp8",)), "precisions: expected one of"),
    "metric": (dict(metric="f2"), "metric: expected one of"),
    "output": (dict(output="z"), "output: expected one of"),
    "time": (dict(time_budget_s=-1), "time_budget_s"),
    "no data": (dict(validation=None), "got neither"),
    "labels": (dict(validation=(X, LABELS[:-1])), "one for each sample"),
    "label": (dict(validation=(X, LABELS + 1)), "from 1 to 5, but the model has 5"),
    "NaN": (dict(validation=(X * np.nan, LABELS)), "holds NaN"),
    "shape": (dict(calibration=X[:, :3]), "calibration: "),
    "constant": (dict(calibration=np.ones_like(X)), "in all of 900 samples"),
    "metric fails": (dict(metric=lambda a, b: 1 / 0), "raised ZeroDivisionError"),
    "metric is NaN": (dict(metric=lambda a, b: np.nan), "NaN or infinite"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments_are_refused_before_any_work(path: str, name: str) -> None:
    given, message = WRONG[name]
    # Without a quantiser in place: what comes this far fails otherwise.
    values = {"calibration": None, "validation": (X, LABELS), **given}
    with pytest.raises(InputError, match=message):
        trimtab.optimize_model(path, progress=False, **values)


def test_the_public_verb_is_this_one() -> None:
    assert trimtab.optimize_model is module.optimize_model
    assert trimtab.optimize.optimize_model is module.optimize_model
    assert trimtab.optimize.OptimizationReport is trimtab.OptimizationReport
    with pytest.raises(AttributeError, match="has no attribute"):
        _ = trimtab.optimize.nothing


# ---- the command --------------------------------------------------------------------


@pytest.fixture
def command(path: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """``trimtab optimize`` with the stand-ins."""
    from trimtab import cli
    from trimtab import optimize as package

    def public(model: Any, **given: Any) -> Any:
        goal = Goal(given.pop("max_drop"), given.pop("goal"), seed=given.pop("seed"))
        assert given.pop("precisions") in (None, ["f32", "int8"])
        given.pop("time_budget_s")
        return optimize(model, goal=goal, **given)

    monkeypatch.setattr(package, "optimize_model", public, raising=False)
    return lambda *words: cli.main(["optimize", path, *map(str, words)])


def test_the_command_writes_model_and_report(
    command: Any, tmp_path: Path, capsys: Any
) -> None:
    data, out = tmp_path / "d.npz", tmp_path / "m.safetensors"
    np.savez(data, x=X, y=LABELS)
    words = ["--data", data, "--max-drop", "0.02", "--output", out]
    assert command(*words, "--report", tmp_path / "r.json") == 0
    assert "3.33 x as fast" in capsys.readouterr().out
    assert trimtab.load_model(out)(X[:2]).shape == (2, 5)
    assert json.loads((tmp_path / "r.json").read_text())["metric"] == "accuracy"
    assert command(*words, "--json", "--precisions", "f32,int8") == 0
    assert json.loads(capsys.readouterr().out)["max_drop"] == 0.02


def test_the_command_takes_calibration_and_labels_by_name(
    command: Any, tmp_path: Path, capsys: Any
) -> None:
    np.savez(tmp_path / "d.npz", x=X[200:], kind=LABELS[200:])
    np.savez(tmp_path / "c.npz", anything=X[:200])
    words = ["--data", tmp_path / "d.npz", "--calibration", tmp_path / "c.npz"]
    assert command(*words, "--labels", "kind", "--max-drop", "0.02", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["n_samples"] == {"calibration": 200, "search": 159, "guard": 541}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data", "missing.npz"], "no file 'missing.npz'"),
        (["--data", "text.npz"], "no .npz file of arrays"),
        (["--data", "z.npz"], "expected arrays ['x'], got ['a', 'b']"),
        (["--data", "d.npz", "--labels", "q"], "--labels q: --data has ['x', 'y']"),
    ],
)
def test_the_command_says_what_is_wrong_with_its_files(
    command: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Any,
    words: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("d.npz", x=X, y=LABELS)
    np.savez("z.npz", a=X, b=X)
    Path("text.npz").write_text("hello")
    assert command(*words) == 1
    assert message in capsys.readouterr().err
