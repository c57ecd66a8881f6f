"""Steps from samples to spectra, mel bands and cepstra."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from trimtab.errors import InputError
from trimtab.processing import mel
from trimtab.processing.checks import (
    check_bool,
    check_choice,
    check_int,
    check_number,
)
from trimtab.processing.spectrum import WINDOWS, Stft
from trimtab.processing.step import Context, Step

__all__ = [
    "Cepstrum",
    "Compress",
    "KaldiFbank",
    "MelSpectrogram",
    "NormalizeFeatures",
    "Spectrogram",
    "WhisperLogMel",
]

_VALUES: dict[str, Callable[[Any], Any]] = {
    "complex": lambda spectra: spectra,
    "magnitude": np.abs,
    "power": lambda spectra: spectra.real**2 + spectra.imag**2,
}


@dataclass(frozen=True)
class Spectrogram(Step):
    """Samples -> spectra over time.

    Parameters
    ----------
    n_fft, hop, win_length, window, periodic, framing, pad_mode
        As `trimtab.processing.spectrum.Stft` has them.
    values : {"power", "magnitude", "complex"}, default="power"

    Raises
    ------
    InputError
        A parameter makes no sense.
    """

    kind: ClassVar[str] = "stft"
    n_fft: int = 400
    hop: int = 160
    win_length: int = 0
    window: str = "hann"
    periodic: bool = True
    framing: str = "centre"
    pad_mode: str = "reflect"
    values: str = "power"

    def __post_init__(self) -> None:
        """Check the parameters."""
        _stft(self)
        check_choice("values", self.values, _VALUES)

    def __call__(self, value: Any, context: Context) -> Any:
        """Transform.

        Parameters
        ----------
        value : array-like of shape (n_samples,)
        context : dict

        Returns
        -------
        spectra : ndarray of float32 or complex64, shape (n_fft // 2 + 1, n_frames)
        """
        return _VALUES[self.values](_stft(self)(value))


@dataclass(frozen=True)
class MelSpectrogram(Step):
    """Samples -> mel bands over time.

    Parameters
    ----------
    rate : int
        Samples per second.
    n_mels : int, default=80
    n_fft, hop, win_length, window, periodic, framing, pad_mode
        As `trimtab.processing.spectrum.Stft` has them.
    scale, norm, low, high
        As `trimtab.processing.mel.mel_filter_bank` has them.
    magnitude : bool, default=False
        Sum magnitudes and not their squares.

    Raises
    ------
    InputError
        A parameter makes no sense.
    """

    kind: ClassVar[str] = "mel"
    rate: int
    n_mels: int = 80
    n_fft: int = 400
    hop: int = 160
    win_length: int = 0
    window: str = "hann"
    periodic: bool = True
    framing: str = "centre"
    pad_mode: str = "reflect"
    scale: str = "slaney"
    norm: str = "slaney"
    low: float = 0.0
    high: float = 0.0
    magnitude: bool = False

    def __post_init__(self) -> None:
        """Check the parameters."""
        _stft(self)
        self._bank()
        check_bool("magnitude", self.magnitude)

    def _bank(self) -> mel.Floats:
        check_number("high", self.high, -(1 << 24), 1 << 24)
        return mel.mel_filter_bank(
            self.n_mels,
            self.n_fft,
            self.rate,
            scale=self.scale,
            norm=self.norm,
            low=self.low,
            high=self.high,
        )

    def __call__(self, value: Any, context: Context) -> Any:
        """Apply `trimtab.processing.mel.mel_spectrogram`.

        Parameters
        ----------
        value : array-like of shape (n_samples,)
        context : dict

        Returns
        -------
        mel : ndarray of float32, shape (n_mels, n_frames)
        """
        return mel.mel_spectrogram(
            value,
            self.rate,
            stft=_stft(self),
            bank=self._bank(),
            magnitude=self.magnitude,
        )


@dataclass(frozen=True)
class Compress(Step):
    """Logarithm of a spectrum.

    Parameters
    ----------
    curve : str, default="db"
        Key of `trimtab.processing.mel.COMPRESSIONS`.
    floor : float, default=1e-10
        What smaller values count as; what ``"ln_plus"`` adds.

    Raises
    ------
    InputError
        A parameter makes no sense.
    """

    kind: ClassVar[str] = "compress"
    curve: str = "db"
    floor: float = 1e-10

    def __post_init__(self) -> None:
        """Check the parameters."""
        check_choice("curve", self.curve, mel.COMPRESSIONS)
        check_number("floor", self.floor, 1e-37, 1e37)

    def __call__(self, value: Any, context: Context) -> Any:
        """Apply the curve.

        Parameters
        ----------
        value : array-like
        context : dict

        Returns
        -------
        compressed : ndarray of float32
        """
        return mel.COMPRESSIONS[self.curve](np.asarray(value, np.float32), self.floor)


@dataclass(frozen=True)
class Cepstrum(Step):
    """Log mel bands -> cepstral coefficients (MFCC).

    Parameters
    ----------
    n_mfcc : int, default=20
    lifter : float, default=0

    Raises
    ------
    InputError
        A parameter makes no sense.
    """

    kind: ClassVar[str] = "cepstrum"
    n_mfcc: int = 20
    lifter: float = 0

    def __post_init__(self) -> None:
        """Check the parameters."""
        check_int("n_mfcc", self.n_mfcc, 1, 1024)
        check_number("lifter", self.lifter, 0, 1e6)

    def __call__(self, value: Any, context: Context) -> Any:
        """Apply `trimtab.processing.mel.cepstrum`.

        Parameters
        ----------
        value : array-like of shape (n_mels, n_frames)
        context : dict

        Returns
        -------
        mfcc : ndarray of float32, shape (n_mfcc, n_frames)
        """
        return mel.cepstrum(value, n_mfcc=self.n_mfcc, lifter=self.lifter)


@dataclass(frozen=True)
class NormalizeFeatures(Step):
    """Mean 0 and deviation 1 along an axis of one request.

    Parameters
    ----------
    axis : int, default=-1
    scale : bool, default=True
        False: the mean only.
    ddof : int, default=0
    epsilon : float, default=1e-5

    Raises
    ------
    InputError
        A parameter makes no sense.
    """

    kind: ClassVar[str] = "normalize_features"
    axis: int = -1
    scale: bool = True
    ddof: int = 0
    epsilon: float = 1e-5

    def __post_init__(self) -> None:
        """Check the parameters."""
        check_int("axis", self.axis, -8, 7)
        check_bool("scale", self.scale)
        check_int("ddof", self.ddof, 0, 1)
        check_number("epsilon", self.epsilon, 0, 1e6)

    def __call__(self, value: Any, context: Context) -> Any:
        """Apply `trimtab.processing.mel.normalize_features`.

        Parameters
        ----------
        value : array-like
        context : dict

        Returns
        -------
        normalized : ndarray of float32
        """
        return mel.normalize_features(
            value,
            axis=self.axis,
            scale=self.scale,
            ddof=self.ddof,
            epsilon=self.epsilon,
        )


@dataclass(frozen=True)
class WhisperLogMel(Step):
    """Samples at 16 kHz -> the spectrum that Whisper hears, as a batch of one.

    Parameters
    ----------
    n_mels : int, default=80
    seconds : int, default=30
    cut : bool, default=False
        Drop what is beyond `seconds`. False: refuse longer recordings, which
        `trimtab.processing.audio.split_at_quiet` cuts into pieces.

    Raises
    ------
    InputError
        A parameter makes no sense.
    """

    kind: ClassVar[str] = "whisper_log_mel"
    n_mels: int = 80
    seconds: int = 30
    cut: bool = False

    def __post_init__(self) -> None:
        """Check the parameters."""
        check_int("n_mels", self.n_mels, 1, 1024)
        check_int("seconds", self.seconds, 1, 600)
        check_bool("cut", self.cut)

    def __call__(self, value: Any, context: Context) -> Any:
        """Apply `trimtab.processing.mel.log_mel_whisper`.

        Parameters
        ----------
        value : array-like of shape (n_samples,)
        context : dict

        Returns
        -------
        mel : ndarray of float32, shape (1, n_mels, 100 * seconds)

        Raises
        ------
        InputError
            The recording is longer.
        """
        n_samples, most = np.size(value), self.seconds * 16000
        if n_samples > most and not self.cut:
            raise InputError(
                f"expected at most {self.seconds} s of 16 kHz, got "
                f"{n_samples / 16000:g} s: cut it with "
                "trimtab.processing.audio.split_at_quiet"
            )
        return mel.log_mel_whisper(value, n_mels=self.n_mels, seconds=self.seconds)[
            None
        ]


@dataclass(frozen=True)
class KaldiFbank(Step):
    """Samples -> Kaldi's log mel energies.

    Parameters
    ----------
    rate : int
        Samples per second.
    n_mels : int, default=80
    frame_ms, hop_ms : float, default=25, 10
    low, high : float, default=20, 0
        In Hz.
    pre_emphasis : float, default=0.97
    window : str, default="povey"
    gain : float, default=1
        The samples are multiplied by it: 32768 where 16-bit integers are expected.

    Raises
    ------
    InputError
        A parameter makes no sense.
    """

    kind: ClassVar[str] = "kaldi_fbank"
    rate: int
    n_mels: int = 80
    frame_ms: float = 25
    hop_ms: float = 10
    low: float = 20
    high: float = 0
    pre_emphasis: float = 0.97
    window: str = "povey"
    gain: float = 1

    def __post_init__(self) -> None:
        """Check the parameters."""
        check_int("rate", self.rate, 1000, 1 << 20)
        check_int("n_mels", self.n_mels, 1, 1024)
        check_number("frame_ms", self.frame_ms, 2, 60)
        check_number("hop_ms", self.hop_ms, 1, 1000)
        check_number("low", self.low, 0, self.rate / 2)
        check_number("high", self.high, -self.rate / 2, self.rate / 2)
        check_number("pre_emphasis", self.pre_emphasis, 0, 1)
        check_choice("window", self.window, WINDOWS)
        check_number("gain", self.gain, 1e-9, 1e9)

    def __call__(self, value: Any, context: Context) -> Any:
        """Apply `trimtab.processing.mel.kaldi_fbank`.

        Parameters
        ----------
        value : array-like of shape (n_samples,)
        context : dict

        Returns
        -------
        energies : ndarray of float32, shape (n_frames, n_mels)
        """
        return mel.kaldi_fbank(
            np.asarray(value, np.float32) * np.float32(self.gain),
            self.rate,
            n_mels=self.n_mels,
            frame_ms=self.frame_ms,
            hop_ms=self.hop_ms,
            low=self.low,
            high=self.high,
            pre_emphasis=self.pre_emphasis,
            window=self.window,
        )


def _stft(step: Spectrogram | MelSpectrogram) -> Stft:
    return Stft(
        n_fft=step.n_fft,
        hop=step.hop,
        win_length=step.win_length,
        window=step.window,
        periodic=step.periodic,
        framing=step.framing,
        pad_mode=step.pad_mode,
    )
