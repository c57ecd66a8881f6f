"""DFT and STFT against numpy.fft in float64, and against onnxruntime."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.ops.check import check_node, compare, run_with_isa

import trimtab

# Primes, products of primes, powers, and primes beyond the largest radix (31), which go
# through a convolution.
LENGTHS = [
    1,
    2,
    3,
    4,
    5,
    7,
    8,
    12,
    13,
    30,
    31,
    37,
    64,
    97,
    101,
    210,
    256,
    509,
    1000,
    1009,
]
LENGTHS += [2310, 4093, 4096, 4099, 6006, 8191, 65537]

# An error relative to the largest bin: a few roundings per pass.
TOLERANCES = {"float32": 1e-6, "float64": 5e-14}


def parts(z, dtype):
    return np.stack([z.real, z.imag], axis=-1).astype(dtype)


def as_complex(x):
    x = x.astype(np.float64)
    return x[..., 0] + 1j * x[..., 1] if x.shape[-1] == 2 else x[..., 0] + 0j


def check_dft(x, attributes, want, *, length=None, opset=20, axis=None):
    inputs = [x, None if length is None else np.array(length)]
    if axis is not None and opset >= 20:
        inputs.append(np.array(axis))
    constants = [i for i in range(1, len(inputs)) if inputs[i] is not None]
    # an initializer of one item that is a scalar stays one:
    inputs = [v if v is None or v.ndim else v.reshape(1) for v in inputs]
    return check_node(
        "DFT",
        inputs,
        attributes,
        opset,
        constants=constants,
        expected=[want],
        tolerance=TOLERANCES.get(x.dtype.name),
        strided=x.size < 5000,
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", LENGTHS)
def test_any_length_of_complex_signals(rng, n, dtype):
    x = rng.standard_normal((3, n, 2)).astype(dtype)
    check_dft(x, {}, parts(np.fft.fft(as_complex(x)), dtype))
    check_dft(x, {"inverse": 1}, parts(np.fft.ifft(as_complex(x)), dtype))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", LENGTHS)
def test_any_length_of_real_signals(rng, n, dtype):
    x = rng.standard_normal((2, n, 1)).astype(dtype)
    spectrum = np.fft.fft(x[..., 0].astype(np.float64))
    check_dft(x, {}, parts(spectrum, dtype))
    check_dft(x, {"onesided": 1}, parts(spectrum[:, : n // 2 + 1], dtype))
    check_dft(x, {"inverse": 1}, parts(np.fft.ifft(x[..., 0].astype("f8")), dtype))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [1, 2, 3, 5, 6, 17, 37, 64, 1009, 1010])
@pytest.mark.parametrize("bins", [2, 9, 40])
def test_real_signals_of_onesided_spectra(rng, n, bins, dtype):
    """Missing bins are 0, spare ones ignored, and so is what must be real."""
    x = rng.standard_normal((2, bins, 2)).astype(dtype)
    want = np.fft.irfft(as_complex(x), n=n)[..., None].astype(dtype)
    check_dft(x, {"onesided": 1, "inverse": 1}, want, length=n)


def test_there_and_back(rng):
    x = rng.standard_normal((2, 4099, 1))
    there = check_dft(x, {"onesided": 1}, parts(np.fft.rfft(x[..., 0]), "f8"))[0]
    check_dft(there, {"onesided": 1, "inverse": 1}, x, length=4099)


@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=4),
    st.integers(0, 3),
    st.integers(1, 40),
    st.booleans(),
    st.sampled_from([1, 2]),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_any_axis_and_length(dims, axis, length, old, width, inverse, seed):
    """Signals are cut or padded with zeros; opset 17 has the axis as an attribute."""
    axis %= len(dims)
    x = np.random.default_rng(seed).standard_normal([*dims, width])
    function = np.fft.ifft if inverse else np.fft.fft
    want = parts(function(as_complex(x), n=length, axis=axis), "f8")
    attributes = {"inverse": int(inverse), **({"axis": axis} if old else {})}
    check_dft(x, attributes, want, length=length, opset=19 if old else 20, axis=axis)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_16_bit_floats_are_transformed_in_f32(rng, dtype):
    x = rng.standard_normal((3, 100, 2)).astype(dtype)
    want = parts(np.fft.fft(as_complex(x)), dtype)
    check_dft(x, {}, want)


def test_nan_and_infinities_spread_over_their_signal_only(rng):
    x = rng.standard_normal((3, 32, 2)).astype(np.float32)
    x[1, 5, 0] = np.nan
    model = check_dft(x[::2].copy(), {}, parts(np.fft.fft(as_complex(x[::2])), "f4"))
    got = run_dft(x)
    np.testing.assert_array_equal(got[::2], model[0])
    assert np.isnan(got[1]).any(axis=-1).all()


def run_dft(x, attributes=None, opset=20):
    from tests.ops.check import one_node_model

    model = one_node_model("DFT", [x], attributes or {}, opset)
    loaded = trimtab.load_model(model.SerializeToString(), fallback=False)
    return np.asarray(next(iter(loaded.run({"x0": x}).values())))


def test_no_signals_at_all():
    assert run_dft(np.zeros((0, 8, 2), np.float32)).shape == (0, 8, 2)
    padded = run_dft(np.zeros((2, 8, 1), np.float32), {"onesided": 1})
    assert padded.shape == (2, 5, 2)


@pytest.mark.parametrize(
    ("shape", "attributes", "opset", "message"),
    [
        ((4, 8), {}, 20, "1 or 2 in the last"),
        ((4, 8, 3), {}, 20, "1 or 2 in the last"),
        ((4, 8, 2), {"onesided": 1}, 20, "onesided takes a real"),
        ((4, 8, 1), {"onesided": 1, "inverse": 1}, 20, "onesided takes a complex"),
        ((4, 8, 2), {"axis": 2}, 17, "real and imaginary"),
        ((4, 8, 2), {"axis": 3}, 17, "axis"),
        ((4, 0, 2), {}, 20, "expected 1 or more"),
        ((4, 1, 2), {"onesided": 1, "inverse": 1}, 20, "expected 1 or more"),
    ],
)
def test_what_makes_no_sense_is_refused(shape, attributes, opset, message):
    with pytest.raises(trimtab.TrimtabError, match=message):
        run_dft(np.zeros(shape, np.float32), attributes, opset)


def test_huge_lengths_are_refused_before_memory_is_taken():
    with pytest.raises(trimtab.TrimtabError, match="max_tensor_bytes"):
        check_dft(np.zeros((1, 4, 2), np.float32), {}, np.zeros(1), length=2**40)


CODE = """
import numpy as np
from tests.ops.test_dft import run_dft
x = np.random.default_rng(3).standard_normal((5, {n}, 2)).astype("f4")
print(run_dft(x).tobytes().hex())
"""


@pytest.mark.parametrize("n", [48, 1155, 37])
def test_every_instruction_set_gives_the_same_bits(n):
    code = CODE.format(n=n)
    results = {run_with_isa(isa, code) for isa in ("scalar", "avx2", "avx512")}
    assert len(results) == 1


# ---- STFT ----------------------------------------------------------------------------


def frames_of(x, step, length):
    n = (x.shape[1] - length) // step + 1
    return np.stack([x[:, i * step : i * step + length] for i in range(n)], axis=1)


def check_stft(x, step, window, length, attributes=None, tolerance=1e-6):
    size = x.shape[1]
    if length is not None:
        size = length
    elif window is not None:
        size = len(window)
    attributes = attributes or {}
    frames = frames_of(as_complex(x if x.ndim == 3 else x[..., None]), step, size)
    if window is not None:
        frames = frames * window.astype(np.float64)
    want = np.fft.fft(frames)
    if attributes.get("onesided", 1):
        want = want[..., : size // 2 + 1]
    given = None if length is None else np.array([length])
    check_node(
        "STFT",
        [x, np.array([step]), window, given],
        attributes,
        17,
        constants=[1, 3] if length is not None else [1],
        expected=[parts(want, x.dtype)],
        tolerance=tolerance,
    )


@pytest.mark.parametrize("length", [1, 2, 15, 16, 37, 400])
@pytest.mark.parametrize("step", [1, 7, 160, 5000])
def test_frames_of_real_signals(rng, length, step):
    x = rng.standard_normal((2, 803, 1)).astype(np.float32)
    window = rng.uniform(0, 1, length).astype(np.float32)
    check_stft(x, step, window, length)
    check_stft(x, step, None, length, {"onesided": 0})


def test_complex_signals_and_lengths_by_default(rng):
    z = rng.standard_normal((2, 100, 2))
    window = np.hanning(24)
    check_stft(z, 10, window, None, {"onesided": 0}, 1e-13)
    check_stft(z, 10, None, None, {"onesided": 0}, 1e-13)
    check_stft(z[..., :1].copy(), 10, window, None, {}, 1e-13)
    check_stft(z[..., 0].copy(), 10, window, None, {}, 1e-13)


def test_spectrogram_is_that_of_onnxruntime(rng):
    x = rng.standard_normal((1, 2000, 1)).astype(np.float32)
    window = np.hanning(256).astype(np.float32)
    check_node("STFT", [x, np.array(80), window], {}, 17, strided=False, tolerance=1e-5)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_frames_of_16_bit_floats(rng, dtype):
    x = rng.standard_normal((2, 90, 1)).astype(dtype)
    window = np.hanning(30).astype(dtype)
    check_stft(x, 10, window, None, tolerance=2e-2)


@pytest.mark.parametrize(
    ("shape", "step", "window", "length", "message"),
    [
        ((1, 100, 1), 0, None, 10, "1 or more"),
        ((1, 100, 1), 1, None, 101, "the signal has 100"),
        ((1, 100, 1), 1, 12, 10, "window is"),
        ((1, 100, 2), 1, None, 10, "onesided"),
        ((100,), 1, None, 10, "signal is"),
    ],
)
def test_frames_that_do_not_fit_are_refused(shape, step, window, length, message):
    from tests.ops.check import one_node_model

    x = np.zeros(shape, np.float32)
    taps = None if window is None else np.zeros(window, np.float32)
    inputs = [x, np.array([step]), taps, np.array([length])]
    model = one_node_model("STFT", inputs, {}, 17, constants=[1, 3])
    with pytest.raises(trimtab.TrimtabError, match=message):
        loaded = trimtab.load_model(model.SerializeToString(), fallback=False)
        loaded.run({"x0": x} if taps is None else {"x0": x, "x2": taps})


def test_lengths_that_come_with_the_call(rng):
    from tests.ops.check import one_node_model

    x = rng.standard_normal((1, 60, 1)).astype(np.float32)
    model = one_node_model("STFT", [x, np.array(5), None, np.array(20)], {}, 17)
    loaded = trimtab.load_model(model.SerializeToString(), fallback=False)
    for step, length in [(5, 20), (7, 11)]:
        got = loaded.run({"x0": x, "x1": np.array(step), "x3": np.array(length)})
        want = np.fft.rfft(frames_of(x[..., 0].astype("f8"), step, length))
        compare(np.asarray(next(iter(got.values()))), parts(want, "f4"), 1e-6)
