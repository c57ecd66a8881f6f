"""load_model and Model: loading, running, looking, living."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

import trimtab
from trimtab.memory import MemoryReport

from .conftest import reference


def test_a_model_loads_from_a_path_a_string_and_bytes(path: Path, x) -> None:
    for source in (path, str(path), path.read_bytes(), memoryview(path.read_bytes())):
        model = trimtab.load_model(source, threads=1)
        np.testing.assert_allclose(model(x), reference(x)["y"], atol=1e-6)


def test_the_signature_has_names_dtypes_and_symbols(model: trimtab.Model) -> None:
    (spec,) = model.inputs
    assert (spec.name, spec.dtype, spec.shape) == ("x", "float32", ("n", 4))
    assert spec.numpy_dtype == np.float32
    assert str(spec) == "x: float32[n,4]"
    assert [spec.name for spec in model.outputs] == ["y"]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"precision": "f8"}, "precision: expected one of"),
        ({"threads": 0}, "threads must be at least 1"),
        ({"device": "tpu"}, "'tpu'"),
        ({"passes": ["fold", "magic"]}, "no pass 'magic'"),
    ],
)
def test_wrong_options_say_what_is_possible(content: bytes, options, text) -> None:
    with pytest.raises(trimtab.InputError, match=text):
        trimtab.load_model(content, **options)


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"absent\.onnx"):
        trimtab.load_model(tmp_path / "absent.onnx")
    with pytest.raises(trimtab.ModelFormatError):
        trimtab.load_model(b"no model at all")
    with pytest.raises(trimtab.ModelFormatError):
        trimtab.load_model(b"")
    with pytest.raises(trimtab.InputTypeError):
        trimtab.load_model(5)  # type: ignore[arg-type]


def test_limits_are_kept(content: bytes) -> None:
    with pytest.raises(trimtab.ModelLimitError, match="nodes"):
        trimtab.load_model(content, limits=trimtab.Limits(max_nodes=2))


def test_any_tensor_can_be_an_output(model: trimtab.Model, x) -> None:
    results = model.run({"x": x}, outputs=["h", "y"])
    assert list(results) == ["h", "y"]
    for name, value in results.items():
        np.testing.assert_allclose(value, reference(x)[name], atol=1e-5)


def test_taps_read_tensors_in_the_middle(model: trimtab.Model, x) -> None:
    assert list(model.taps) == ["h", "a", "y"]
    assert "a" in model.taps
    assert len(model.taps) == 3
    np.testing.assert_allclose(model.taps["a"](x), reference(x)["a"], atol=1e-5)
    np.testing.assert_allclose(model.taps["a"](x=x), reference(x)["a"], atol=1e-5)
    results = model.taps.run(x, ["a", "h"])
    for name in ("a", "h"):
        np.testing.assert_allclose(results[name], reference(x)[name], atol=1e-5)
    with pytest.raises(trimtab.InputError, match="no tensor 'b'"):
        model.taps["b"]
    assert "3: h, a, y" in repr(model.taps)


def test_run_names_missing_and_unknown_inputs(model: trimtab.Model, x) -> None:
    with pytest.raises(trimtab.InputError, match="'x' is missing"):
        model.run({})
    with pytest.raises(trimtab.InputError, match="no input 'z'"):
        model.run({"x": x, "z": x})
    with pytest.raises(trimtab.InputError, match="no input 'z'"):
        model.run({"z": x})


def test_stats_count_runs_and_copies(model: trimtab.Model, x) -> None:
    model(x)
    model(x.astype(np.float64))
    assert model.stats["n_runs"] == 2
    assert model.stats["n_copies"] == 1
    assert model.stats["bytes_copied"] == x.nbytes


def test_the_memory_report_adds_up(model: trimtab.Model, x) -> None:
    model(x)
    report = model.memory_report(x)
    assert isinstance(report, MemoryReport)
    assert report.weights_bytes == 4 * 3 * 4
    assert report.n_plans == 1
    assert report.total_bytes >= report.weights_bytes + report.plans_bytes
    assert report.tensors_bytes > 0
    assert "weights" in repr(report)
    assert report._repr_html_().startswith("<table>")


def test_trim_gives_back_working_memory_and_the_model_still_works(
    model: trimtab.Model, x
) -> None:
    for n in range(1, 6):
        model(x[:n])
    assert model.memory_report().contexts_bytes > 0
    model.trim()
    assert model.memory_report().contexts_bytes == 0
    np.testing.assert_allclose(model(x), reference(x)["y"], atol=1e-6)


def test_a_closed_model_says_so(path: Path, x) -> None:
    with trimtab.load_model(path) as model:
        y = model(x)
    np.testing.assert_allclose(y, reference(x)["y"], atol=1e-6)
    for use in (
        lambda: model(x),
        lambda: model.run({"x": x}),
        lambda: model.stats,
        lambda: model.taps,
        lambda: model.bind(x),
        lambda: model.profile(x),
    ):
        with pytest.raises(trimtab.InputError, match="closed"):
            use()
    assert "closed" in repr(model)
    model.close()


def test_models_are_read_well_by_people(model: trimtab.Model) -> None:
    assert repr(model).splitlines() == [
        "Model('tiny.onnx', 1 thread, cpu)",
        "  in   x: float32[n,4]",
        f"  out  {model.outputs[0]}",
    ]
    assert "<b>tiny.onnx</b>" in model._repr_html_()


def test_a_pickle_loads_the_same_file(model: trimtab.Model, path: Path, x) -> None:
    again = pickle.loads(pickle.dumps(model))
    assert again(x).tobytes() == model(x).tobytes()
    assert again.threads == model.threads
    data = pickle.dumps(model)
    assert len(data) < 2000
    path.write_bytes(path.read_bytes().replace(b"test", b"TEST"))
    with pytest.raises(trimtab.ModelFormatError, match="SHA-256"):
        pickle.loads(data)
    with pytest.raises(trimtab.ModelFormatError, match="changed"):
        pickle.dumps(model)


def test_a_pickle_of_bytes_needs_no_file(content: bytes, path: Path, x) -> None:
    model = trimtab.load_model(content)
    shutil.rmtree(path.parent)
    assert pickle.loads(pickle.dumps(model))(x).tobytes() == model(x).tobytes()


def test_the_dump_names_the_nodes_after_the_passes(model: trimtab.Model, x) -> None:
    import json

    dump = json.loads(model.dump(x))
    assert dump["inputs"] == ["x"]
    assert "softmax" in json.dumps(dump)


# ---- verifying ---------------------------------------------------------------------


def test_a_right_model_is_verified(content: bytes, x) -> None:
    model = trimtab.load_model(content, verify="passes")
    np.testing.assert_allclose(model(x), reference(x)["y"], atol=1e-6)


def test_every_pass_can_be_left_out(content: bytes, x) -> None:
    from trimtab import _core

    for name in _core.PASSES:
        others = [other for other in _core.PASSES if other != name]
        model = trimtab.load_model(content, passes=others)
        np.testing.assert_allclose(model(x), reference(x)["y"], atol=1e-6)
    model = trimtab.load_model(content, passes=[])
    np.testing.assert_allclose(model(x), reference(x)["y"], atol=1e-6)


def test_verifying_names_the_pass_that_differs(content: bytes) -> None:
    from trimtab import _core
    from trimtab.verify import verify_model

    right = trimtab.load_model(content)
    bad_bit = _core.PASSES["fuse"][0]

    class Wrong:
        """The model as if the pass `fuse` had a defect."""

        inputs, outputs = right.inputs, right.outputs
        precision = "f32"

        def __init__(self, bits: int) -> None:
            self.factor = 1.01 if bits & bad_bit else 1.0

        def run(self, inputs):
            return {
                k: v * np.float32(self.factor) for k, v in right.run(inputs).items()
            }

    with pytest.raises(trimtab.InternalError, match=r"without the pass fuse:"):
        verify_model(Wrong(-1), Wrong)


def test_differences_are_relative_to_the_range() -> None:
    from trimtab.verify import largest_difference

    a = np.array([0.0, 100.0], np.float32)
    assert largest_difference(a, a) == 0
    assert largest_difference(a, a + np.float32(1)) == pytest.approx(0.01)
    assert largest_difference(a, a.astype(np.float64)) == np.inf
    assert largest_difference(a, a[:1]) == np.inf
    nan = np.array([np.nan, 100.0], np.float32)
    assert largest_difference(a, nan) == np.inf
    assert largest_difference(nan, nan) == 0
    i = np.array([1, 2])
    assert largest_difference(i, i) == 0
    assert largest_difference(i, i + 1) == np.inf


def test_what_a_model_gives_says_what_it_is(model: trimtab.Model, x) -> None:
    assert repr(model).startswith("Model('tiny.onnx', 1 thread, cpu)\n")
    assert repr(model.bind(x)) == "Binding((5, 4) -> (5, 3))"
    assert repr(model.taps["h"]) == "Tap('h')"
    assert "plans" in repr(model.memory_report())
    assert "1 shape\n" in repr(model.memory_report(x))
    assert "<table>" in model._repr_html_()
    assert "<table>" in model.memory_report()._repr_html_()
    peaks = trimtab.measure_peaks(1)
    assert repr(peaks) == f"Peaks(1 thread: {peaks})"
    assert "GB/s" in str(peaks)
