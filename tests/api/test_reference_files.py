"""References of files: the framework runs them in a child, after the same checks."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.formats.venvs import TENSORFLOW, make_venv, run_python

import trimtab
from trimtab.formats.exchange import pack_arrays, read_arrays, write_arrays
from trimtab.reference import find_reference

from .test_reference import PLAIN, stored

RNG = np.random.default_rng(23)
WORKER = Path(__file__).parents[1] / "formats" / "tensorflow_worker.py"


def real(*shape: int) -> Any:
    return RNG.standard_normal(shape).astype(np.float32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "m.safetensors"


# ---- arrays on their way ------------------------------------------------------------


def test_arrays_come_back_as_they_were(tmp_path: Path) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    arrays = {
        "x": real(2, 3).T,
        "a/../b": np.arange(6, dtype=np.uint16).reshape(1, 6),
        "empty": np.zeros((0, 4), np.complex64),
        "scalar": np.asarray(True),
        "half": real(5).astype(ml_dtypes.bfloat16),
        "small": real(5).astype(ml_dtypes.float8_e4m3fn),
    }
    entries = write_arrays(str(tmp_path), arrays, "x")
    found = read_arrays(str(tmp_path), json.loads(json.dumps(entries)))
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert found[name].tobytes() == array.tobytes()


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [1 << 40]},
        {"shape": [-1, -2]},
        {"shape": [1] * 65 + [2]},
        {"shape": "2"},
        {"shape": [2.0]},
        {"dtype": "object"},
        {"dtype": "string"},
        {"dtype": "float64"},
        {"file": "../secret"},
        {"file": "link"},
        {"file": "pipe"},
        {"file": None},
        {"name": None, "shape": None},
    ],
)
def test_a_child_that_lies_about_its_arrays_is_caught(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(bytes(8))
    (folder / "link").symlink_to(tmp_path / "secret")
    os.mkfifo(folder / "pipe")
    (entry,) = write_arrays(str(folder), {"y": real(2)}, "out")
    with pytest.raises(trimtab.ModelFormatError):
        read_arrays(str(folder), [entry | change])
    with pytest.raises(trimtab.ModelFormatError):
        read_arrays(str(folder), [None])  # type: ignore[list-item]


def test_arrays_of_objects_do_not_travel() -> None:
    with pytest.raises(trimtab.ModelFormatError, match="array of object"):
        pack_arrays({"x": np.array([None])}, "in")


# ---- torch.export -------------------------------------------------------------------


def test_a_pt2_file_is_run_by_torch(path: Path) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnxscript")

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = torch.nn.Linear(4, 3)

        def forward(self, x: Any, *, scale: Any) -> Any:
            return {"y": torch.tanh(self.body(x)) * scale["by"], "mean": x.mean(-1)}

    net, x, by = Net().eval(), real(2, 4), real(2, 3)
    file = io.BytesIO()
    given = (torch.from_numpy(real(2, 4)),), {"scale": {"by": torch.ones(2, 3)}}
    torch.export.save(torch.export.export(net, *given), file)
    source = path.with_suffix(".pt2")
    source.write_bytes(file.getvalue())
    model = trimtab.load_model(source)
    reference = find_reference(str(source), "torch_export", model)
    assert reference is not None
    assert reference.name == f"torch {torch.__version__}"
    names = [spec.name for spec in model.inputs]
    calls = [dict(zip(names, (x * n, by), strict=True)) for n in (1, 2)]
    for call, outputs in zip(calls, reference.run(calls), strict=True):
        with torch.no_grad():
            want = net(torch.from_numpy(call["x"]), scale={"by": torch.from_numpy(by)})
        assert list(outputs) == ["y", "mean"]
        for name, array in model.run(call).items():
            assert outputs[name].tobytes() == want[name].numpy().tobytes()
            np.testing.assert_allclose(array, outputs[name], rtol=1e-5, atol=1e-6)


# ---- TFLite -------------------------------------------------------------------------


def tflite_file(dtype: str, *, with_signature: bool = False) -> bytes:
    """Fully connected, tanh; of floats, of int8, or of floats with weights of int8."""
    pytest.importorskip("tflite")
    pytest.importorskip("ai_edge_litert")
    from tests.formats.tflite_files import Op, Subgraph, Tensor, make_file

    is_real = dtype == "float32"
    steps: dict[str, Any] = {} if is_real else {"scale": 0.05, "zero": -5}
    out: dict[str, Any] = {} if is_real else {"scale": 1 / 128, "zero": 0}
    kind = "float32" if dtype == "hybrid" else dtype
    if dtype == "hybrid":
        steps, out = {}, {}
    weights = RNG.integers(-90, 91, (6, 16)).astype(np.int8)
    tensors = [
        Tensor("x", (3, 16), kind, **steps),
        Tensor.of("w", real(6, 16)) if is_real else Tensor.of("w", weights, scale=0.01),
        Tensor("h", (3, 6), kind, **(steps | ({"scale": 0.1} if steps else {}))),
        Tensor("y", (3, 6), kind, **out),
    ]
    main = Subgraph(
        tensors,
        [
            Op("FULLY_CONNECTED", [0, 1, -1], [2], "FullyConnected"),
            Op("TANH", [2], [3]),
        ],
        [0],
        [3],
    )
    named = [("serve", 0, {"given": 0}, {"found": 3})] if with_signature else []
    return make_file(main, signatures=named)


def litert(data: bytes, x: Any) -> Any:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_content=data,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


@pytest.mark.parametrize("dtype", ["float32", "int8", "hybrid"])
@pytest.mark.parametrize("with_signature", [False, True])
def test_a_tflite_file_is_run_by_the_interpreter(
    path: Path, dtype: str, with_signature: bool
) -> None:
    data = tflite_file(dtype, with_signature=with_signature)
    x = real(3, 16)
    if dtype == "int8":
        x = RNG.integers(-128, 128, (3, 16)).astype(np.int8)
    trimtab.load_model(data).save(path, golden=x)
    reference, (pair,) = stored(path)
    assert reference.startswith("ai_edge_litert ")
    assert reference.split()[1][0].isdigit()
    (found,) = pair.outputs.values()
    assert list(pair.outputs) == ["found" if with_signature else "y"]
    assert found.tobytes() == litert(data, x).tobytes()


def test_a_quantised_file_has_a_tolerance_of_one_step(path: Path) -> None:
    data = tflite_file("int8")
    model, x = trimtab.load_model(data), np.zeros((3, 16), np.int8)
    reference = find_reference(data, "tflite", model)
    assert reference is not None
    assert reference.tolerances["int8"] == 1
    plain = trimtab.load_model(tflite_file("float32"))
    reference = find_reference(tflite_file("float32"), "tflite", plain)
    assert reference is not None
    assert reference.tolerances == {}
    with pytest.raises(trimtab.GoldenMismatch, match="differs by 2 from"):
        model.save(path, golden=(x, {"y": model(x) + np.int8(2)}))


def test_a_tflite_file_with_states_has_no_reference(path: Path) -> None:
    pytest.importorskip("tflite")
    pytest.importorskip("ai_edge_litert")
    from tests.formats.test_tflite_states import accumulator

    model = trimtab.load_model(accumulator([1.0, 2.5, -3.0]))
    model.save(path, golden=(real(3), real(3)))
    assert stored(path)[0] == PLAIN


def test_without_an_interpreter_there_is_no_reference(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trimtab.reference_files._INTERPRETERS", ("no_such.module",))
    trimtab.load_model(tflite_file("float32")).save(path, golden=real(3, 16))
    assert stored(path)[0] == PLAIN


# ---- Keras's files ------------------------------------------------------------------


@pytest.mark.parametrize("format", ["keras_h5", "native"])
def test_some_formats_have_no_reference_on_purpose(format: str) -> None:
    assert find_reference("m.h5", format, None) is None  # type: ignore[arg-type]


# ---- SavedModels --------------------------------------------------------------------


@pytest.fixture(scope="module")
def tensorflow() -> Path:
    return make_venv("tensorflow-2.21.0", TENSORFLOW)


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("name", "signature"),
    [("two_signatures", "count"), ("two_signatures", "score"), ("keras3_image", "")],
)
def test_tensorflow_runs_the_signature_that_was_loaded(
    tensorflow: Path, tmp_path: Path, path: Path, name: str, signature: str
) -> None:
    run_python(tensorflow, WORKER, "make", tmp_path, name)
    folder = tmp_path / name
    answer = run_python(tensorflow, WORKER, "save_golden", folder, path, signature)
    reference, (pair,) = stored(path)
    assert reference == f"tensorflow {json.loads(answer.splitlines()[-1])}"
    told = np.load(folder / f"{signature or 'serving_default'}.npz")
    for key, array in pair.outputs.items():
        np.testing.assert_allclose(array, told[f"out {key}"], rtol=1e-6, atol=1e-7)


@pytest.mark.tensorflow
def test_a_folder_that_changed_is_not_run(
    tensorflow: Path, tmp_path: Path, path: Path
) -> None:
    """What would be refused when it is loaded is refused as a reference."""
    run_python(tensorflow, WORKER, "make", tmp_path, "reads_file")
    with pytest.raises(AssertionError, match=r"UnsafeModelError.*'ReadFile'"):
        run_python(tensorflow, WORKER, "run_saved_model", tmp_path / "reads_file")
