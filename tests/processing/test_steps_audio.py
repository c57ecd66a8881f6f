"""Steps for sound against librosa, torch, SciPy, Kaldi and their definitions."""

from __future__ import annotations

import io
import json
import struct
import wave
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.errors import InputError, ModelFormatError, TrimtabError
from trimtab.processing import STEPS, make_step
from trimtab.processing.audio import (
    fit_length,
    pre_emphasize,
    read_wav,
    resample,
    split_at_quiet,
)
from trimtab.processing.mel import (
    cepstrum,
    kaldi_fbank,
    log_mel_whisper,
    mel_filter_bank,
    mel_spectrogram,
    normalize_features,
    power_to_db,
)
from trimtab.processing.spectrum import WINDOWS, Stft, window

RATE = 16000


def sound(n_samples: int, seed: int = 0) -> np.ndarray:
    """A sweep with noise, so that every band holds something."""
    rng = np.random.default_rng(seed)
    t = np.arange(n_samples) / RATE
    sweep = 0.5 * np.sin(2 * np.pi * (100 + 2000 * t) * t)
    return (sweep + 0.05 * rng.standard_normal(n_samples)).astype(np.float32)


def step(kind: str, **parameters: Any) -> Any:
    """Make a step as an artefact would, through JSON."""
    made = make_step(kind, parameters, {})
    config, assets = made.config()
    again = make_step(kind, json.loads(json.dumps(config)), assets)
    assert again == made
    return lambda value: again(value, {})


def close(got: np.ndarray, want: np.ndarray, tolerance: float) -> None:
    """The largest difference in units of the largest wanted value."""
    assert got.shape == want.shape, (got.shape, want.shape)
    assert np.abs(got - want).max() <= tolerance * np.abs(want).max()


# ---- windows and transforms ---------------------------------------------------


@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize("name", sorted(set(WINDOWS) - {"povey"}))
@pytest.mark.parametrize("size", [1, 2, 7, 400])
def test_windows_are_scipys(name: str, size: int, periodic: bool) -> None:
    signal = pytest.importorskip("scipy.signal")
    theirs = {"rectangular": "boxcar"}.get(name, name)
    want = signal.get_window(theirs, size, fftbins=periodic)
    np.testing.assert_allclose(window(name, size, periodic=periodic), want, atol=1e-12)


@pytest.mark.parametrize("pad_mode", ["reflect", "constant"])
@pytest.mark.parametrize("win_length", [0, 256, 301])
@pytest.mark.parametrize("centre", [True, False])
def test_spectra_are_torchs(pad_mode: str, win_length: int, centre: bool) -> None:
    torch = pytest.importorskip("torch")
    samples = sound(5003)
    got = Stft(
        n_fft=400,
        hop=130,
        win_length=win_length,
        window="hamming",
        framing="centre" if centre else "start",
        pad_mode=pad_mode,
    )(samples)
    want = torch.stft(
        torch.from_numpy(samples),
        400,
        130,
        win_length or None,
        torch.hamming_window(win_length or 400),
        center=centre,
        pad_mode=pad_mode,
        return_complex=True,
    ).numpy()
    close(got, want, 1e-6)


@pytest.mark.parametrize("win_length", [0, 300])
@pytest.mark.parametrize("pad_mode", ["constant", "reflect", "edge"])
def test_spectra_are_librosas(pad_mode: str, win_length: int) -> None:
    librosa = pytest.importorskip("librosa")
    samples = sound(3000)
    got = Stft(n_fft=512, hop=128, win_length=win_length, pad_mode=pad_mode)(samples)
    want = librosa.stft(
        samples,
        n_fft=512,
        hop_length=128,
        win_length=win_length or None,
        pad_mode=pad_mode,
    )
    close(got, want, 1e-6)


@settings(max_examples=60, deadline=None)
@given(
    n_samples=st.integers(1, 700),
    n_fft=st.integers(2, 96),
    hop=st.integers(1, 64),
    framing=st.sampled_from(["centre", "kaldi", "start"]),
    data=st.data(),
)
def test_spectra_are_the_sums_of_their_definition(
    n_samples: int, n_fft: int, hop: int, framing: str, data: st.DataObject
) -> None:
    win_length = data.draw(st.integers(1, n_fft))
    stft = Stft(
        n_fft=n_fft,
        hop=hop,
        win_length=win_length,
        framing=framing,
        pad_mode="constant",
        window="blackman",
    )
    samples = sound(n_samples)
    size = win_length if framing == "kaldi" else n_fft
    left = n_fft // 2 if framing == "centre" else 0
    padded = np.pad(samples.astype(np.float64), left)
    if len(padded) < size:
        with pytest.raises(InputError, match="expected at least"):
            stft(samples)
        return
    weights = np.zeros(n_fft)
    start = 0 if framing == "kaldi" else (n_fft - win_length) // 2
    weights[start : start + win_length] = window("blackman", win_length)
    n_frames = 1 + (len(padded) - size) // hop
    padded = np.pad(padded, (0, n_fft))
    k = np.arange(n_fft // 2 + 1)
    phases = np.exp(-2j * np.pi * np.outer(k, np.arange(n_fft)) / n_fft)
    frames = np.stack([padded[i * hop : i * hop + n_fft] for i in range(n_frames)])
    want = phases @ (frames * weights).T
    got = stft(samples)
    assert got.shape == want.shape
    # 1e-6 of the largest sum that a frame could give
    assert np.abs(got - want).max() <= 1e-6 * max(1, np.abs(samples).sum())


def test_values_of_a_spectrum() -> None:
    samples = sound(1000)
    spectra = step("stft", values="complex")(samples)
    np.testing.assert_allclose(
        step("stft", values="power")(samples), np.abs(spectra) ** 2, rtol=1e-5
    )
    np.testing.assert_allclose(
        step("stft", values="magnitude")(samples), np.abs(spectra), rtol=1e-6
    )


# ---- mel bands ------------------------------------------------------------------


@pytest.mark.parametrize("htk", [True, False])
@pytest.mark.parametrize("norm", ["slaney", "none"])
@pytest.mark.parametrize(("low", "high"), [(0, 0), (20, 7600)])
def test_filter_banks_are_librosas(
    htk: bool, norm: str, low: float, high: float
) -> None:
    librosa = pytest.importorskip("librosa")
    got = mel_filter_bank(
        40,
        512,
        RATE,
        scale="htk" if htk else "slaney",
        norm=norm,
        low=float(low),
        high=float(high),
    )
    want = librosa.filters.mel(
        sr=RATE,
        n_fft=512,
        n_mels=40,
        fmin=low,
        fmax=high or None,
        htk=htk,
        norm=None if norm == "none" else norm,
    )
    np.testing.assert_allclose(got, want, atol=1e-6 * want.max())


def test_mel_spectra_and_decibels_and_mfcc_are_librosas() -> None:
    librosa = pytest.importorskip("librosa")
    samples = sound(20000)
    mel = step("mel", rate=RATE, n_mels=64, n_fft=1024, hop=256, pad_mode="constant")(
        samples
    )
    want = librosa.feature.melspectrogram(
        y=samples, sr=RATE, n_mels=64, n_fft=1024, hop_length=256
    )
    close(mel, want, 1e-5)
    db = step("compress", curve="db")(mel)
    np.testing.assert_allclose(db, librosa.power_to_db(want), atol=2e-3)
    mfcc = step("cepstrum", n_mfcc=13, lifter=22)(db)
    theirs = librosa.feature.mfcc(S=librosa.power_to_db(want), n_mfcc=13, lifter=22)
    close(mfcc, theirs, 1e-5)
    loudest = step("compress", curve="db_of_loudest")(mel)
    np.testing.assert_allclose(
        loudest, librosa.power_to_db(want, ref=np.max), atol=2e-3
    )


def test_whispers_spectrum_is_its_definition_in_float64() -> None:
    samples = sound(RATE * 4)
    padded = np.zeros(30 * RATE)
    padded[: samples.size] = samples
    padded = np.pad(padded, 200, mode="reflect")
    weights = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    frames = np.lib.stride_tricks.sliding_window_view(padded, 400)[::160] * weights
    power = np.abs(np.fft.rfft(frames)) ** 2
    mel = mel_filter_bank(80, 400, RATE).astype(np.float64) @ power[:-1].T
    logs = np.log10(np.maximum(mel, 1e-10))
    want = (np.maximum(logs, logs.max() - 8) + 4) / 4
    got = step("whisper_log_mel")(samples)
    assert got.shape == (1, 80, 3000)
    # float32 has 7 digits and the scale spans 8 decades of power: what is far below
    # the loudest bin of its frame is off by up to 1e-3 of a unit of 4 decades
    assert np.abs(got[0] - want).max() < 2e-3
    assert np.abs(got[0] - want).mean() < 1e-5


def test_what_whisper_would_not_hear_is_not_dropped_silently() -> None:
    samples = sound(16000 + 1)
    with pytest.raises(InputError, match="split_at_quiet"):
        step("whisper_log_mel", seconds=1)(samples)
    cut = step("whisper_log_mel", seconds=1, cut=True)(samples)
    np.testing.assert_array_equal(
        cut, step("whisper_log_mel", seconds=1)(samples[:16000])
    )


def test_whispers_spectrum_is_the_published_recipe_in_torch() -> None:
    torch = pytest.importorskip("torch")
    samples = fit_length(sound(RATE * 12), 30 * RATE)
    spectra = torch.stft(
        torch.from_numpy(samples),
        400,
        160,
        window=torch.hann_window(400),
        return_complex=True,
    )
    power = spectra[..., :-1].abs() ** 2
    mel = torch.from_numpy(mel_filter_bank(128, 400, RATE).copy()) @ power
    logs = torch.clamp(mel, min=1e-10).log10()
    want = (torch.maximum(logs, logs.max() - 8.0) + 4.0) / 4.0
    got = log_mel_whisper(samples, n_mels=128)
    np.testing.assert_allclose(got, want.numpy(), atol=2e-3)


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_kaldis_energies_are_kaldis(rate: int) -> None:
    knf = pytest.importorskip("kaldi_native_fbank")
    samples = sound(rate // 2) * 32768
    options = knf.FbankOptions()
    options.frame_opts.samp_freq = rate
    options.frame_opts.dither = 0
    options.mel_opts.num_bins = 40
    options.mel_opts.high_freq = -200
    bank = knf.OnlineFbank(options)
    bank.accept_waveform(rate, samples.tolist())
    bank.input_finished()
    want = np.stack([bank.get_frame(i) for i in range(bank.num_frames_ready)])
    got = step("kaldi_fbank", rate=rate, n_mels=40, high=-200, gain=32768)(
        samples / 32768
    )
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, atol=2e-3)


def test_kaldis_energies_are_their_definition() -> None:
    """Frame by frame and bin by bin in float64."""
    samples = sound(1200).astype(np.float64)
    frames = []
    for start in range(0, len(samples) - 400 + 1, 160):
        frame = samples[start : start + 400] - samples[start : start + 400].mean()
        frame = frame - 0.97 * np.concatenate([frame[:1], frame[:-1]])
        frame *= (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 399)) ** 0.85
        frames.append(np.abs(np.fft.rfft(frame, 512)) ** 2)

    def mels(hertz: Any) -> Any:
        return 1127 * np.log(1 + np.asarray(hertz) / 700)

    edges = np.linspace(mels(20), mels(8000), 25)
    place = mels(np.arange(257) * RATE / 512)
    bank = np.zeros((23, 257))
    for i in range(23):
        left, middle, right = edges[i : i + 3]
        for j in range(256):
            if left < place[j] <= middle:
                bank[i, j] = (place[j] - left) / (middle - left)
            elif middle < place[j] < right:
                bank[i, j] = (right - place[j]) / (right - middle)
    want = np.log(np.array(frames) @ bank.T)
    np.testing.assert_allclose(kaldi_fbank(samples, RATE, n_mels=23), want, atol=1e-3)


def test_the_cosine_transform_is_scipys() -> None:
    fft = pytest.importorskip("scipy.fft")
    log_mel = np.random.default_rng(1).standard_normal((40, 9)).astype(np.float32)
    want = fft.dct(log_mel, type=2, norm="ortho", axis=0)[:13]
    np.testing.assert_allclose(cepstrum(log_mel, n_mfcc=13), want, atol=1e-5)


@pytest.mark.parametrize(
    ("curve", "want"),
    [
        ("ln", np.log([1e-5, 0.5, 100])),
        ("log10", np.log10([1e-5, 0.5, 100])),
        ("ln1p", np.log1p([0, 0.5, 100])),
        ("ln_plus", np.log(np.array([0, 0.5, 100]) + 1e-5)),
        ("db", [-50, 10 * np.log10(0.5), 20]),
        ("db_of_loudest", [-70, 10 * np.log10(0.5) - 20, 0]),
        ("whisper", (np.log10([1e-6, 0.5, 100]) + 4) / 4),
    ],
)
def test_curves_are_what_they_say(curve: str, want: Any) -> None:
    got = step("compress", curve=curve, floor=1e-5)([0, 0.5, 100])
    np.testing.assert_allclose(got, want, rtol=1e-5)


def test_a_reference_of_one_is_librosas_default() -> None:
    assert power_to_db([10.0], reference=1.0).tolist() == [10.0]
    wide = power_to_db([1.0, 1e-9], range_db=None)
    np.testing.assert_allclose(wide, [0, -90], atol=1e-4)


@settings(max_examples=40, deadline=None)
@given(n=st.integers(2, 50), ddof=st.integers(0, 1), axis=st.sampled_from([0, 1, -1]))
def test_features_get_mean_0_and_deviation_1(n: int, ddof: int, axis: int) -> None:
    values = 5 + 3 * np.random.default_rng(n).standard_normal((n, n + 1))
    got = normalize_features(values, axis=axis, ddof=ddof, epsilon=0)
    np.testing.assert_allclose(got.mean(axis=axis), 0, atol=1e-5)
    np.testing.assert_allclose(got.std(axis=axis, ddof=ddof), 1, rtol=1e-4)
    only = normalize_features(values, axis=axis, scale=False)
    want = values - values.mean(axis=axis, keepdims=True)
    np.testing.assert_allclose(only, want, atol=1e-5)


# ---- samples ----------------------------------------------------------------------


@pytest.mark.parametrize(("rate", "new"), [(44100, 16000), (8000, 16000), (3, 7)])
def test_polyphase_resampling_is_scipys(rate: int, new: int) -> None:
    signal = pytest.importorskip("scipy.signal")
    samples = sound(2000)
    want = signal.resample_poly(samples.astype(np.float64), new, rate)
    got = resample(samples, rate, new, method="polyphase")
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(0, 200),
    rate=st.integers(1, 60),
    new=st.integers(1, 60),
    method=st.sampled_from(["sinc", "polyphase", "linear"]),
)
def test_resampling_keeps_the_duration(
    n: int, rate: int, new: int, method: str
) -> None:
    got = resample(np.ones(n, np.float32), rate, new, method=method)
    assert got.size == -(-n * new // rate)
    assert np.isfinite(got).all()
    if method == "linear":
        np.testing.assert_allclose(got, 1)


def test_rates_that_would_take_all_memory_are_refused() -> None:
    with pytest.raises(InputError, match="too far apart"):
        resample(np.ones(10), 16777213, 16000)
    with pytest.raises(InputError, match="too many"):
        resample(np.ones(1 << 20), 1, 1 << 20)


def test_a_length_is_fitted_on_either_side() -> None:
    assert step("fit_length", n_samples=2)([1, 2, 3]).tolist() == [1, 2]
    assert step("fit_length", n_samples=2, side="start")([1, 2, 3]).tolist() == [2, 3]
    assert step("fit_length", n_samples=4, side="start")([1, 2]).tolist() == [
        0,
        0,
        1,
        2,
    ]


def test_pre_emphasis_is_a_filter() -> None:
    signal = pytest.importorskip("scipy.signal")
    samples = sound(300)
    want = signal.lfilter([1, -0.9], [1], samples)
    np.testing.assert_allclose(pre_emphasize(samples, coefficient=0.9), want, atol=1e-6)


def test_frames_may_be_padded() -> None:
    frames = step("frame", size=4, hop=3, pad=True)(np.arange(1, 9))
    assert frames.tolist() == [[1, 2, 3, 4], [4, 5, 6, 7], [7, 8, 0, 0]]
    assert step("frame", size=4, hop=3)(np.arange(1, 9)).shape == (2, 4)
    assert step("frame", size=4, hop=3, pad=True)([1.0]).tolist() == [[1, 0, 0, 0]]


@settings(max_examples=40, deadline=None)
@given(n=st.integers(0, 5000), seed=st.integers(0, 9))
def test_pieces_are_the_whole(n: int, seed: int) -> None:
    samples = np.random.default_rng(seed).standard_normal(n).astype(np.float32)
    pieces = split_at_quiet(samples, 100, max_seconds=5, search_seconds=2)
    assert np.array_equal(np.concatenate(pieces), samples)
    assert all(piece.size <= 500 for piece in pieces)
    assert all(piece.size >= 290 for piece in pieces[:-1])


# ---- WAV files ----------------------------------------------------------------------


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"".join(
        name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)
        for name, data in chunks
    )
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WAVE" + body


def fmt(tag: int, channels: int, rate: int, bits: int, more: bytes = b"") -> bytes:
    frame = channels * bits // 8
    head = struct.pack("<HHIIHH", tag, channels, rate, rate * frame, frame, bits)
    return head + more


@pytest.mark.parametrize(("bits", "dtype"), [(32, "<f4"), (64, "<f8")])
def test_floats_are_read(bits: int, dtype: str) -> None:
    data = np.array([0.25, -1.5, 1.0], dtype).tobytes()
    file = riff((b"LIST", b"odd"), (b"fmt ", fmt(3, 1, 8000, bits)), (b"data", data))
    samples, rate = read_wav(file)
    assert (samples.tolist(), rate) == ([0.25, -1.5, 1.0], 8000)


def test_the_extensible_format_is_read() -> None:
    more = struct.pack("<HHIH", 22, 16, 4, 1) + bytes(14)
    file = riff((b"fmt ", fmt(0xFFFE, 2, 100, 16, more)), (b"data", b"\0\x40\0\0"))
    assert read_wav(file)[0].tolist() == [0.25]


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60), st.integers(0, 60), st.integers(0, 255))
def test_a_hostile_wav_is_read_or_refused(tail: bytes, at: int, value: int) -> None:
    file = bytearray(riff((b"fmt ", fmt(1, 2, 8000, 24)), (b"data", tail)))
    file[at % len(file)] = value
    try:
        samples, rate = read_wav(bytes(file))
    except InputError:
        return
    assert samples.dtype == np.float32
    assert rate > 0


def test_a_wav_is_read_and_resampled_in_one_step() -> None:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(2)
        out.setsampwidth(2)
        out.setframerate(8000)
        out.writeframes(np.zeros((800, 2), "<i2").tobytes())
    reader = make_step("read_wav", {"rate": RATE}, {})
    context: dict[str, Any] = {}
    samples = reader(file.getvalue(), context)
    assert samples.shape == (1600,)
    assert context == {"rate": RATE, "n_samples": 1600}
    assert reader((np.zeros(80), 8000), {}).shape == (160,)
    assert reader(np.zeros(80), {}).shape == (80,)
    half = make_step("resample", {"new_rate": 8000}, {})
    assert half(samples, context).shape == (800,)
    with pytest.raises(InputError, match="neither a parameter nor the context"):
        half(samples, {})
    with pytest.raises(InputError, match="expected a WAV file"):
        reader(3, {})
    with pytest.raises(InputError, match="the step fixes no rate"):
        make_step("read_wav", {}, {})(samples, {})


def test_channels_are_mixed_along_an_axis() -> None:
    assert step("mono")([[1, 3], [3, 5]]).tolist() == [2, 4]
    assert step("mono", axis=-1)([[1, 3], [3, 5]]).tolist() == [2, 4]
    assert step("mono")([1, 2]).tolist() == [1, 2]
    with pytest.raises(InputError, match="channels of samples"):
        step("mono")(np.zeros((2, 2, 2)))


# ---- hostile parameters -----------------------------------------------------------

SOUND_KINDS = {
    "cepstrum": {},
    "compress": {},
    "fit_length": {"n_samples": 10},
    "frame": {"size": 4, "hop": 2},
    "kaldi_fbank": {"rate": RATE},
    "mel": {"rate": RATE},
    "mono": {},
    "normalize_features": {},
    "pre_emphasize": {},
    "read_wav": {},
    "resample": {"new_rate": RATE},
    "stft": {},
    "whisper_log_mel": {},
}
HOSTILE = [
    -1,
    0,
    10**30,
    0.5,
    float("nan"),
    float("inf"),
    "",
    "__import__",
    None,
    True,
    [1, [2]],
    {"a": 1},
]


@pytest.mark.parametrize("kind", sorted(SOUND_KINDS))
def test_hostile_parameters_are_refused_or_harmless(kind: str) -> None:
    assert kind in STEPS
    good = make_step(kind, SOUND_KINDS[kind], {}).config()[0]
    samples = sound(2000)
    for name in good:
        for value in HOSTILE:
            try:
                made = make_step(kind, {**good, name: value}, {})
            except ModelFormatError:
                continue
            try:
                made(samples, {"rate": RATE})
            except TrimtabError:
                continue


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        ("stft", {"n_fft": 1 << 20}),
        ("stft", {"win_length": 401}),
        ("stft", {"framing": "anywhere"}),
        ("stft", {"window": "kaiser"}),
        ("mel", {"rate": RATE, "low": 9000.0}),
        ("mel", {"rate": RATE, "high": float("inf")}),
        ("mel", {"rate": RATE, "n_mels": 100000}),
        ("fit_length", {"n_samples": 1 << 40}),
        ("frame", {"size": 4, "hop": 0}),
        ("whisper_log_mel", {"seconds": 10**9}),
        ("compress", {"curve": "exp"}),
    ],
)
def test_parameters_without_sense_are_refused(
    kind: str, parameters: dict[str, Any]
) -> None:
    with pytest.raises(ModelFormatError, match="expected"):
        make_step(kind, parameters, {})


def test_too_many_frames_are_refused_before_they_are_made() -> None:
    with pytest.raises(InputError, match="more than fit"):
        Stft(n_fft=1 << 16, hop=1)(np.zeros(200_000, np.float32))


def test_the_spectrum_of_silence_is_finite() -> None:
    for curve in ("db", "db_of_loudest", "ln", "log10", "whisper"):
        mel = mel_spectrogram(np.zeros(4000, np.float32), RATE)
        assert np.isfinite(step("compress", curve=curve)(mel)).all()
