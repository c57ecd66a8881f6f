"""Thirty shifts of real data and thirty quiet streams, all seeded: what must be found
within 2,000 samples, and what must not be an alarm.

>>> from benchmarks.shifts import SHIFTS  # doctest: +SKIP
>>> shift = SHIFTS["pixelate 1"]  # doctest: +SKIP
>>> shift.reference(500).shape, shift.window(200).shape  # doctest: +SKIP
((500, 64, 64, 3), (200, 64, 64, 3))

Tables and digits are scikit-learn's; photographs and speech come from published
packages (`labelled.py`). A stream draws with replacement: its population is the whole
data set, so that reference and quiet windows differ by chance alone.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.corruptions import CORRUPTIONS, SNRS_DB, add_noise, corrupt
from benchmarks.labelled import PHOTOGRAPHS, photograph
from trimtab.demo_jobs import fetch_file
from trimtab.processing.audio import read_wav, resample

__all__ = ["QUIET", "SHIFTS", "SOURCES", "Stream"]

Array = npt.NDArray[Any]
Rng = np.random.Generator
Draw = Callable[[int, Rng], Array]
Alter = Callable[[Array, Rng], Array]

IMAGE_SIZE = 64  # pixels of a crop
CLIP_SAMPLES = 8000  # half a second at 16 kHz
N_BINS = 4  # categories that a number is cut into
#: Of the reference's draw; windows have the streams' own.
REFERENCE_SEED = 1


@dataclass(frozen=True)
class Stream:
    """Samples before and after something happened.

    Attributes
    ----------
    name : str
    kind : {"table", "image", "audio"}
        What a sample is: a row of numbers, uint8 (height, width, 3), float32 samples.
    categorical : tuple of int
        Columns of a table that hold codes of categories.
    source : str
        A key of `SOURCES`.
    shift : callable or None
        From what was drawn to what is served; None: a quiet stream.
    draw : callable or None
        Draws the window where the population itself has changed.
    """

    name: str
    kind: str
    source: str
    categorical: tuple[int, ...] = ()
    shift: Alter | None = None
    draw: Draw | None = None

    def reference(self, n: int) -> Array:
        """Samples of before; the same for all streams of a source.

        Parameters
        ----------
        n : int

        Returns
        -------
        samples : ndarray
        """
        rng = np.random.default_rng([REFERENCE_SEED, zlib.crc32(self.source.encode())])
        return SOURCES[self.source](n, rng)

    def window(self, n: int, *, index: int = 0) -> Array:
        """Samples of after.

        Parameters
        ----------
        n : int
        index : int, default=0
            Another window of the same stream.

        Returns
        -------
        samples : ndarray
        """
        rng = np.random.default_rng([2, index, zlib.crc32(self.name.encode())])
        drawn = (self.draw or SOURCES[self.source])(n, rng)
        return drawn if self.shift is None else self.shift(drawn, rng)


# ---- sources -------------------------------------------------------------------------


@cache
def _table(name: str) -> tuple[Array, Array]:
    from sklearn import datasets

    loaded: Any = getattr(datasets, f"load_{name}")()
    return np.asarray(loaded.data, np.float32), np.asarray(loaded.target)


def _rows(name: str) -> Draw:
    def draw(n: int, rng: Rng) -> Array:
        x, _ = _table(name)
        return x[rng.integers(len(x), size=n)]

    return draw


@cache
def _binned() -> Array:
    """Wines with their first three numbers as codes of categories."""
    x = _table("wine")[0].copy()
    for column in range(3):
        cuts = np.quantile(x[:, column], np.arange(1, N_BINS) / N_BINS)
        x[:, column] = np.searchsorted(cuts, x[:, column], side="right")
    return x


def _wines(n: int, rng: Rng) -> Array:
    x = _binned()
    return x[rng.integers(len(x), size=n)]


def _crops(n: int, rng: Rng) -> Array:
    """Square crops of photographs, half of them mirrored."""
    names = sorted(PHOTOGRAPHS)
    out = np.empty((n, IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
    for i in range(n):
        whole = photograph(names[rng.integers(len(names))])
        top = rng.integers(whole.shape[0] - IMAGE_SIZE + 1)
        left = rng.integers(whole.shape[1] - IMAGE_SIZE + 1)
        crop = whole[top : top + IMAGE_SIZE, left : left + IMAGE_SIZE]
        out[i] = crop[:, ::-1] if rng.random() < 0.5 else crop
    return out


@cache
def _speech() -> npt.NDArray[np.float32]:
    samples, rate = read_wav(fetch_file("beckett.wav"))
    return resample(samples, rate, 16000)


def _clips(n: int, rng: Rng) -> Array:
    """Half seconds of speech, as loud as speakers differ (6 dB)."""
    starts = rng.integers(len(_speech()) - CLIP_SAMPLES + 1, size=n)
    gains = 10 ** (rng.uniform(-6, 0, (n, 1)) / 20)
    clips = np.stack([_speech()[at : at + CLIP_SAMPLES] for at in starts])
    return (clips * gains).astype(np.float32)


#: name -> n samples of the population
SOURCES: dict[str, Draw] = {
    "breast_cancer": _rows("breast_cancer"),
    "digits": _rows("digits"),
    "wine": _wines,
    "photographs": _crops,
    "speech": _clips,
}

# ---- shifts of tables ----------------------------------------------------------------


def _moved(column: int, deviations: float) -> Alter:
    def shift(x: Array, rng: Rng) -> Array:
        moved = x.copy()
        moved[:, column] += deviations * _table("breast_cancer")[0][:, column].std()
        return moved

    return shift


def _scaled(column: int, factor: float) -> Alter:
    def shift(x: Array, rng: Rng) -> Array:
        scaled = x.copy()
        mean = _table("breast_cancer")[0][:, column].mean()
        scaled[:, column] = mean + factor * (x[:, column] - mean)
        return scaled

    return shift


def _mixed(column: int, share: float) -> Alter:
    """That share of rows gets the first category, whatever it had."""

    def shift(x: Array, rng: Rng) -> Array:
        mixed = x.copy()
        mixed[rng.random(len(x)) < share, column] = 0
        return mixed

    return shift


def _weighted(name: str, label: int, weight: float) -> Draw:
    """Rows of one class come `weight` times as often."""

    def draw(n: int, rng: Rng) -> Array:
        x, y = _table(name)
        weights = np.where(y == label, weight, 1.0)
        return x[rng.choice(len(x), size=n, p=weights / weights.sum())]

    return draw


def _corrupted(name: str, strength: int) -> Alter:
    def shift(images: Array, rng: Rng) -> Array:
        return corrupt(images, name, strength, seed=int(rng.integers(1 << 31)))

    return shift


def _noisy(snr_db: float) -> Alter:
    def shift(clips: Array, rng: Rng) -> Array:
        return add_noise(clips, snr_db, seed=int(rng.integers(1 << 31)))

    return shift


def _all() -> list[Stream]:
    cancer = {"kind": "table", "source": "breast_cancer"}
    wine = {"kind": "table", "source": "wine", "categorical": (0, 1, 2)}
    digits = {"kind": "table", "source": "digits"}
    return [
        Stream("mean 0.3", **cancer, shift=_moved(1, 0.3)),
        Stream("mean 0.5", **cancer, shift=_moved(4, 0.5)),
        Stream("mean 1.0", **cancer, shift=_moved(0, 1.0)),
        Stream("scale 1.5", **cancer, shift=_scaled(1, 1.5)),
        Stream("scale 2.0", **cancer, shift=_scaled(8, 2.0)),
        Stream("category mix 0.15", **wine, shift=_mixed(1, 0.15)),
        Stream("category mix 0.3", **wine, shift=_mixed(0, 0.3)),
        Stream("prior 3", **cancer, draw=_weighted("breast_cancer", 0, 3.0)),
        Stream("prior 5", **digits, draw=_weighted("digits", 1, 5.0)),
        *(
            Stream(
                f"{name} {strength}",
                "image",
                "photographs",
                shift=_corrupted(name, strength),
            )
            for name in CORRUPTIONS
            for strength in (1, 2, 3)
        ),
        *(
            Stream(f"noise {snr:.0f} dB", "audio", "speech", shift=_noisy(snr))
            for snr in SNRS_DB
        ),
    ]


#: name -> stream: 9 shifts of tables, 18 of images, 3 of sound
SHIFTS: dict[str, Stream] = {stream.name: stream for stream in _all()}
#: name -> stream: the same sources, where nothing happens
QUIET: dict[str, Stream] = {
    f"quiet {i + 1}": Stream(
        f"quiet {i + 1}", shift.kind, shift.source, shift.categorical
    )
    for i, shift in enumerate(SHIFTS.values())
}
