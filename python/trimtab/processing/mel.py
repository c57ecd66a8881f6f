"""Spectra as ears hear them: mel filter banks, logarithms and cepstra.

Three mel scales are in use. Slaney's (Auditory Toolbox, 1998) is linear below 1 kHz
and logarithmic above; librosa and Whisper take it, with triangles of unit area. HTK's
is ``2595 log10(1 + f / 700)``. Kaldi has the same curve, but its triangles are straight
in mels, not in Hz.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from trimtab.errors import InputError
from trimtab.processing.audio import fit_length
from trimtab.processing.checks import check_choice, check_int, check_number
from trimtab.processing.spectrum import Stft

__all__ = [
    "COMPRESSIONS",
    "MEL_SCALES",
    "cepstrum",
    "kaldi_fbank",
    "log_mel_whisper",
    "mel_filter_bank",
    "mel_spectrogram",
    "normalize_features",
    "power_to_db",
]

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

_LOG_STEP = np.log(6.4) / 27  # Slaney: 6.4-fold in 27 mels, from 1 kHz (mel 15) on


def _slaney_mel(hertz: Doubles) -> Doubles:
    upper = 15 + np.log(np.maximum(hertz, 1000) / 1000) / _LOG_STEP
    return np.where(hertz < 1000, hertz * 3 / 200, upper)


def _slaney_hertz(mel: Doubles) -> Doubles:
    upper = 1000 * np.exp((np.maximum(mel, 15) - 15) * _LOG_STEP)
    return np.where(mel < 15, mel * 200 / 3, upper)


def _htk_mel(hertz: Doubles) -> Doubles:
    return np.asarray(2595 * np.log10(1 + hertz / 700))


def _htk_hertz(mel: Doubles) -> Doubles:
    return np.asarray(700 * (10 ** (mel / 2595) - 1))


_Curve = Callable[[Doubles], Doubles]

#: name -> (Hz to mels, mels to Hz, whether triangles are straight in mels)
MEL_SCALES: dict[str, tuple[_Curve, _Curve, bool]] = {
    "htk": (_htk_mel, _htk_hertz, False),
    "kaldi": (_htk_mel, _htk_hertz, True),
    "slaney": (_slaney_mel, _slaney_hertz, False),
}

_MAX_MELS = 1024


@lru_cache(maxsize=16)
def mel_filter_bank(
    n_mels: int,
    n_fft: int,
    rate: int,
    *,
    scale: str = "slaney",
    norm: str = "slaney",
    low: float = 0.0,
    high: float = 0.0,
) -> Floats:
    """Triangles whose edges are evenly spaced on a mel scale.

    Parameters
    ----------
    n_mels : int
        Filters.
    n_fft : int
        Samples of a Fourier transform.
    rate : int
        Samples per second.
    scale : str, default="slaney"
        Key of `MEL_SCALES`.
    norm : {"slaney", "none"}, default="slaney"
        Triangles of unit area, or of unit height.
    low, high : float, default=0
        Lowest and highest frequency in Hz; a `high` of 0 or less is counted from half
        the rate down.

    Returns
    -------
    bank : ndarray of float32, shape (n_mels, n_fft // 2 + 1)
        Made once for each set of parameters; read-only.

    Raises
    ------
    InputError
        A parameter makes no sense.

    Examples
    --------
    >>> mel_filter_bank(80, 400, 16000).shape
    (80, 201)
    """
    check_int("n_mels", n_mels, 1, _MAX_MELS)
    check_int("n_fft", n_fft, 2, 1 << 16)
    check_int("rate", rate, 1, 1 << 24)
    check_choice("scale", scale, MEL_SCALES)
    check_choice("norm", norm, ("none", "slaney"))
    check_number("low", low, 0, rate / 2)
    top = high if high > 0 else rate / 2 + high
    check_number("high", top, low + 1e-3, rate / 2)
    to_mel, to_hertz, straight_in_mels = MEL_SCALES[scale]
    lowest, highest = to_mel(np.array([low, top], np.float64)).tolist()
    mels = np.linspace(lowest, highest, n_mels + 2)
    bins = np.arange(n_fft // 2 + 1) * rate / n_fft
    hertz = to_hertz(mels)
    edges, place = (mels, to_mel(bins)) if straight_in_mels else (hertz, bins)
    rising = (place - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - place) / np.diff(edges)[1:, None]
    bank = np.maximum(0, np.minimum(rising, falling))
    if norm == "slaney":
        bank *= 2 / (hertz[2:] - hertz[:-2])[:, None]
    result = np.asarray(bank, np.float32)
    result.flags.writeable = False
    return result


def mel_spectrogram(
    samples: npt.ArrayLike,
    rate: int,
    *,
    n_fft: int = 400,
    hop: int = 160,
    n_mels: int = 80,
    pad_mode: str = "constant",
    stft: Stft | None = None,
    bank: Floats | None = None,
    magnitude: bool = False,
) -> Floats:
    """Power in mel bands over time, frames centred, periodic Hann window.

    Parameters
    ----------
    samples : array-like of shape (n_samples,)
    rate : int
        Samples per second.
    n_fft, hop, n_mels : int
        Window and step in samples, number of bands.
    pad_mode : str, default="constant"
        How half a window is added at both ends, see
        `trimtab.processing.spectrum.PAD_MODES`.
    stft : Stft, optional
        Another way to cut and transform; `n_fft`, `hop` and `pad_mode` do not count.
    bank : ndarray of float32, shape (n_mels, n_fft // 2 + 1), optional
        Another filter bank; `n_mels` does not count.
    magnitude : bool, default=False
        Sum magnitudes and not their squares.

    Returns
    -------
    mel : ndarray of float32, shape (n_mels, n_frames)
        As a rule ``n_frames = 1 + n_samples // hop``.

    Examples
    --------
    >>> mel_spectrogram(np.zeros(16000, np.float32), 16000).shape
    (80, 101)
    """
    stft = stft or Stft(n_fft=n_fft, hop=hop, pad_mode=pad_mode)
    bank = mel_filter_bank(n_mels, stft.n_fft, rate) if bank is None else bank
    signal = np.asarray(samples, np.float32)
    out = np.empty((len(bank), stft.n_frames(signal.size)), np.float32)
    for first, power in stft.power(signal):
        if magnitude:
            np.sqrt(power, out=power)
        np.matmul(bank, power.T, out=out[:, first : first + len(power)])
    return out


def power_to_db(
    power: npt.ArrayLike,
    *,
    floor: float = 1e-10,
    range_db: float | None = 80,
    reference: float | None = None,
) -> Floats:
    """Decibels relative to a power, cut at `range_db` below the loudest value.

    Parameters
    ----------
    power : array-like
        Squared amplitudes.
    floor : float, default=1e-10
        What smaller values count as.
    range_db : float or None, default=80
        Distance of the lowest result from the loudest; None: no cut.
    reference : float, optional
        What is 0 dB; the loudest value by default. (librosa's default is 1.)

    Returns
    -------
    db : ndarray of float32

    Examples
    --------
    >>> power_to_db(np.array([1.0, 0.1, 0.0], np.float32)).tolist()
    [0.0, -10.0, -80.0]
    """
    values = np.maximum(np.asarray(power, np.float32), np.float32(floor))
    loudest = float(values.max(initial=floor))
    db = 10 * np.log10(values)
    db -= 10 * np.log10(np.float32(max(floor, reference or loudest)))
    if range_db is not None and db.size:
        np.maximum(db, db.max() - np.float32(range_db), out=db)
    return np.asarray(db, np.float32)


def log_mel_whisper(
    samples: npt.ArrayLike, *, n_mels: int = 80, seconds: int = 30
) -> Floats:
    """The spectrum that Whisper hears: 30 s of 16 kHz as 80 x 3000.

    Log10 of the mel power, cut 8 decades under the loudest, then (x + 4) / 4
    (Radford et al. 2022, section 2.2 and the published code's constants).

    Parameters
    ----------
    samples : array-like of shape (n_samples,)
        At 16 kHz; cut or padded with silence to `seconds`.
    n_mels : int, default=80
        Bands; 128 since Whisper large-v3.
    seconds : int, default=30

    Returns
    -------
    mel : ndarray of float32, shape (n_mels, 100 * seconds)

    Examples
    --------
    >>> log_mel_whisper(np.zeros(16000, np.float32)).shape
    (80, 3000)
    """
    padded = fit_length(samples, seconds * 16000)
    mel = mel_spectrogram(padded, 16000, n_mels=n_mels, pad_mode="reflect")
    logs = _compress_whisper(mel[:, :-1])
    return np.ascontiguousarray(logs)


def _compress_whisper(mel: Floats) -> Floats:
    """Whisper's logarithm of a mel spectrum."""
    logs = np.log10(np.maximum(mel, np.float32(1e-10)))
    np.maximum(logs, logs.max() - np.float32(8), out=logs)
    logs += np.float32(4)
    logs /= np.float32(4)
    return np.asarray(logs, np.float32)


#: How a spectrum is compressed: name -> function of the spectrum and the floor.
COMPRESSIONS: dict[str, Callable[[Floats, float], Floats]] = {
    "db": lambda x, floor: power_to_db(x, floor=floor, range_db=80, reference=1.0),
    "db_of_loudest": lambda x, floor: power_to_db(x, floor=floor, range_db=80),
    "ln": lambda x, floor: np.log(np.maximum(x, np.float32(floor))),
    "ln1p": lambda x, floor: np.log1p(x),
    "ln_plus": lambda x, floor: np.log(x + np.float32(floor)),
    "log10": lambda x, floor: np.log10(np.maximum(x, np.float32(floor))),
    "whisper": lambda x, floor: _compress_whisper(x),
}


@lru_cache(maxsize=16)
def _cosines(n_out: int, n_in: int) -> Floats:
    """Rows of the orthonormal DCT-II."""
    place = (2 * np.arange(n_in) + 1) / (2 * n_in)
    rows = np.cos(np.pi * np.arange(n_out)[:, None] * place) * np.sqrt(2 / n_in)
    rows[0] *= np.sqrt(0.5)
    return np.asarray(rows, np.float32)


def cepstrum(log_mel: npt.ArrayLike, *, n_mfcc: int = 20, lifter: float = 0) -> Floats:
    """Mel-frequency cepstral coefficients: the orthonormal DCT-II over the bands.

    Parameters
    ----------
    log_mel : array-like of shape (n_mels, n_frames)
        librosa takes decibels, HTK and Kaldi natural logarithms.
    n_mfcc : int, default=20
        Coefficients to keep.
    lifter : float, default=0
        Coefficient n (from 1) is multiplied by ``1 + lifter / 2 * sin(pi n / lifter)``;
        0: not.

    Returns
    -------
    mfcc : ndarray of float32, shape (n_mfcc, n_frames)

    Raises
    ------
    InputError
        There are fewer bands than coefficients.

    Examples
    --------
    >>> cepstrum(np.ones((4, 1))).round(3).tolist()
    Traceback (most recent call last):
        ...
    trimtab.errors.InputError: expected at least 20 mel bands, got (4, 1)
    >>> cepstrum(np.ones((4, 1)), n_mfcc=2).round(3).tolist()
    [[2.0], [0.0]]
    """
    mel = np.asarray(log_mel, np.float32)
    if mel.ndim != 2 or len(mel) < n_mfcc:
        raise InputError(f"expected at least {n_mfcc} mel bands, got {mel.shape}")
    mfcc = _cosines(n_mfcc, len(mel)) @ mel
    if lifter > 0:
        n = np.arange(1, n_mfcc + 1)
        weights = 1 + lifter / 2 * np.sin(np.pi * n / lifter)
        mfcc *= weights[:, None].astype(np.float32)
    return np.asarray(mfcc, np.float32)


def normalize_features(
    features: npt.ArrayLike,
    *,
    axis: int = -1,
    scale: bool = True,
    ddof: int = 0,
    epsilon: float = 1e-5,
) -> Floats:
    """Subtract the mean and divide by the standard deviation along an axis.

    Parameters
    ----------
    features : array-like
    axis : int, default=-1
        Usually time, so that each feature has mean 0.
    scale : bool, default=True
        False: subtract the mean only.
    ddof : int, default=0
        Subtracted from the count in the deviation's denominator.
    epsilon : float, default=1e-5
        Added to the deviation.

    Returns
    -------
    normalized : ndarray of float32

    Raises
    ------
    InputError
        There is no such axis, or too little along it.

    Examples
    --------
    >>> normalize_features([[1.0, 3.0]], epsilon=0).tolist()
    [[-1.0, 1.0]]
    """
    values = np.asarray(features, np.float32)
    if not -values.ndim <= axis < values.ndim or values.shape[axis] <= ddof:
        raise InputError(f"expected over {ddof} values along {axis}: {values.shape}")
    centred = values - values.mean(axis=axis, keepdims=True)
    if scale:
        centred /= values.std(axis=axis, keepdims=True, ddof=ddof) + epsilon
    return np.asarray(centred, np.float32)


def kaldi_fbank(
    samples: npt.ArrayLike,
    rate: int,
    *,
    n_mels: int = 80,
    frame_ms: float = 25,
    hop_ms: float = 10,
    low: float = 20,
    high: float = 0,
    pre_emphasis: float = 0.97,
    window: str = "povey",
) -> Floats:
    """Kaldi's log mel energies, without dither.

    Each frame loses its mean, is pre-emphasised, windowed and filled up to a power of
    two samples.

    Parameters
    ----------
    samples : array-like of shape (n_samples,)
        Recipes made for 16-bit integers want them in [-32768, 32767].
    rate : int
        Samples per second.
    n_mels : int, default=80
    frame_ms, hop_ms : float, default=25, 10
        Length of a frame, and from one to the next.
    low, high : float, default=20, 0
        In Hz; see `mel_filter_bank`.
    pre_emphasis : float, default=0.97
    window : str, default="povey"
        Symmetric.

    Returns
    -------
    energies : ndarray of float32, shape (n_frames, n_mels)

    References
    ----------
    Povey et al., The Kaldi Speech Recognition Toolkit, ASRU 2011.

    Examples
    --------
    >>> kaldi_fbank(np.ones(16000), 16000).shape
    (98, 80)
    """
    size = int(rate * frame_ms / 1000)
    stft = Stft(
        n_fft=1 << max(1, (size - 1).bit_length()),
        hop=int(rate * hop_ms / 1000),
        win_length=size,
        window=window,
        periodic=False,
        framing="kaldi",
    )
    bank = mel_filter_bank(
        n_mels, stft.n_fft, rate, scale="kaldi", norm="none", low=low, high=high
    )

    def prepare(frames: Floats) -> Floats:
        level = frames - frames.mean(axis=1, keepdims=True)
        before = np.concatenate([level[:, :1], level[:, :-1]], axis=1)
        return np.asarray(level - np.float32(pre_emphasis) * before)

    signal = np.asarray(samples, np.float32)
    out = np.empty((stft.n_frames(signal.size), n_mels), np.float32)
    for first, power in stft.power(signal, prepare):
        out[first : first + len(power)] = power @ bank.T
    floor = np.float32(np.finfo(np.float32).eps)
    return np.asarray(np.log(np.maximum(out, floor)), np.float32)
