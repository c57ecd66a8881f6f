"""HannWindow, HammingWindow, BlackmanWindow and MelWeightMatrix."""

import ml_dtypes
import numpy as np
import pytest
import scipy.signal.windows
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator
from tests.ops.check import check_node, one_node_model

import trimtab

WINDOWS = {
    "HannWindow": scipy.signal.windows.hann,
    "BlackmanWindow": scipy.signal.windows.blackman,
    "HammingWindow": lambda n, sym: scipy.signal.windows.general_hamming(
        n, 25 / 46, sym=sym
    ),
}


@pytest.mark.parametrize("op_type", WINDOWS)
@pytest.mark.parametrize("size", [0, 1, 2, 3, 10, 400])
@pytest.mark.parametrize("periodic", [0, 1])
def test_windows_are_those_of_scipy(op_type, size, periodic):
    want = WINDOWS[op_type](size, sym=not periodic)
    if size == 1 and periodic:  # SciPy makes an exception, the formula does not
        want = WINDOWS[op_type](2, sym=True)[:1]
    attributes = {"periodic": periodic, "output_datatype": TensorProto.DOUBLE}
    check_node(op_type, [np.array(size)], attributes, expected=[want], tolerance=1e-15)


@pytest.mark.parametrize("op_type", WINDOWS)
@pytest.mark.parametrize(
    "dtype", ["float32", "float16", ml_dtypes.bfloat16, "int8", "uint64", "int32"]
)
def test_windows_of_any_type(op_type, dtype):
    """Integers drop the fraction."""
    want = WINDOWS[op_type](9, sym=True)
    want = (want + 1e-12).astype(dtype)  # the middle is 1 up to rounding
    attributes = {
        "periodic": 0,
        "output_datatype": helper.np_dtype_to_tensor_dtype(np.dtype(dtype)),
    }
    check_node(op_type, [np.array(9, np.int32)], attributes, expected=[want])


@pytest.mark.parametrize(
    ("size", "attributes", "message"),
    [
        (-1, {}, "size must be"),
        (4, {"output_datatype": TensorProto.STRING}, "no number type"),
        (4, {"output_datatype": 999}, "no number type"),
        (2**40, {}, "max_tensor_bytes"),
    ],
)
def test_windows_that_cannot_be(size, attributes, message):
    model = one_node_model("HannWindow", [np.array(size)], attributes)
    with pytest.raises(trimtab.TrimtabError, match=message):
        loaded = trimtab.load_model(model.SerializeToString(), fallback=False)
        loaded.run({"x0": np.array(size)})


def mel_inputs(n_bands, n_dft, rate, low, high, dtype=np.float32):
    return [
        np.array(n_bands),
        np.array(n_dft),
        np.array(rate),
        np.array(low, dtype),
        np.array(high, dtype),
    ]


@pytest.mark.parametrize(
    ("n_bands", "n_dft", "rate", "low", "high"),
    [
        (8, 16, 8192, 0, 8192 / 2),
        (40, 512, 16000, 20, 7600),
        (80, 400, 16000, 0, 8000),
        (23, 512, 44100, 64, 8000),
    ],
)
def test_mel_bands_are_those_of_the_reference(n_bands, n_dft, rate, low, high):
    inputs = mel_inputs(n_bands, n_dft, rate, low, high)
    model = one_node_model("MelWeightMatrix", inputs)
    feeds = {f"x{i}": x for i, x in enumerate(inputs)}
    want = ReferenceEvaluator(model).run(None, feeds)
    check_node("MelWeightMatrix", inputs, expected=want)
    check_node("MelWeightMatrix", inputs, tolerance=1e-6)  # onnxruntime


def test_mel_bands_beyond_the_spectrum_are_cut():
    inputs = mel_inputs(10, 16, 8000, 0, 20000)
    model = one_node_model("MelWeightMatrix", inputs)
    loaded = trimtab.load_model(model.SerializeToString(), fallback=False)
    got = next(iter(loaded.run({f"x{i}": x for i, x in enumerate(inputs)}).values()))
    assert got.shape == (9, 10)
    assert np.all((got >= 0) & (got <= 1))
    assert not got[:, -1].any()


@pytest.mark.parametrize(
    "inputs",
    [
        mel_inputs(8, 16, 0, 0, 4000),
        mel_inputs(8, 16, 8000, -800, 4000),
        mel_inputs(8, 16, 8000, -100, 4000),
        mel_inputs(8, 16, 8000, 4000, 100),
        mel_inputs(8, 16, 8000, np.nan, 4000),
        mel_inputs(8, 16, 8000, 0, np.inf),
        mel_inputs(-8, 16, 8000, 0, 4000),
        mel_inputs(8, 2**40, 8000, 0, 4000),
    ],
)
def test_mel_bands_that_cannot_be(inputs):
    model = one_node_model("MelWeightMatrix", inputs)
    with pytest.raises(trimtab.TrimtabError):
        loaded = trimtab.load_model(model.SerializeToString(), fallback=False)
        loaded.run({f"x{i}": x for i, x in enumerate(inputs)})
