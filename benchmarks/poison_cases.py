"""Updates for `update_poison`: data that was tampered with, and data that was not.

Enters: a set of labelled images and a seed. Leaves: a champion, reference rows, and for
each case the new rows, split into those that are learned from and the guard.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from benchmarks.labelled import mnist

Images: TypeAlias = "npt.NDArray[np.float32]"
Labels: TypeAlias = "npt.NDArray[np.int64]"
Pair: TypeAlias = "tuple[Images, Labels]"
Rng: TypeAlias = np.random.Generator


@dataclass(frozen=True)
class Sizes:
    """Rows of each part."""

    train: int
    reference: int
    fit: int
    guard: int


SIZES = {"mnist": Sizes(1500, 900, 1000, 500), "digits": Sizes(650, 400, 494, 246)}


def images_of(name: str) -> Pair:
    """All images of a set, (n, 1, height, width) in [0, 1], and what they show."""
    if name == "mnist":
        found = mnist()
        return np.asarray(found.inputs["image"], np.float32), found.labels
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = (digits.images[:, None] / 16).astype(np.float32)
    return images, digits.target.astype(np.int64)


def split(name: str, seed: int) -> dict[str, Pair]:
    """Parts that share no image: train, reference and new."""
    x, y = images_of(name)
    order = np.random.default_rng(seed).permutation(len(x))
    n = SIZES[name]
    ends = np.cumsum([n.train, n.reference, n.fit + n.guard])
    parts = np.split(order, ends)[:3]
    names = ("train", "reference", "new")
    return {key: (x[i], y[i]) for key, i in zip(names, parts, strict=True)}


# ---- what nature does ---------------------------------------------------------------


def _each(images: Images, change: Callable[[Any, int], Any]) -> Images:
    found = [change(images[i, 0], i) for i in range(len(images))]
    return np.clip(np.stack(found), 0, 1).astype(np.float32)[:, None]


def same(x: Images, y: Labels, rng: Rng) -> Pair:
    """More of the same."""
    return x, y


def fewer(x: Images, y: Labels, rng: Rng) -> Pair:
    """More of the same, two thirds of it."""
    kept = rng.permutation(len(x))[: 2 * len(x) // 3]
    return x[kept], y[kept]


def tilted(x: Images, y: Labels, rng: Rng) -> Pair:
    """Turned by 5 to 20 degrees."""
    from scipy.ndimage import rotate

    angles = rng.uniform(5, 20, len(x))
    turn = lambda a, i: rotate(a, angles[i], reshape=False, order=1)  # noqa: E731
    return _each(x, turn), y


def faded(x: Images, y: Labels, rng: Rng) -> Pair:
    """Half the contrast on a grey ground."""
    return (0.5 * x + 0.2).astype(np.float32), y


def moved(x: Images, y: Labels, rng: Rng) -> Pair:
    """Moved by up to a seventh of the width."""
    from scipy.ndimage import shift

    most = x.shape[-1] / 14
    by = rng.uniform(-most, most, (len(x), 2))
    return _each(x, lambda a, i: shift(a, by[i], order=1)), y


def noisy(x: Images, y: Labels, rng: Rng) -> Pair:
    """Noise of a sensor in poor light."""
    noise = rng.normal(0, 0.2, x.shape)
    return np.clip(x + noise, 0, 1).astype(np.float32), y


def blurred(x: Images, y: Labels, rng: Rng) -> Pair:
    """Out of focus."""
    from scipy.ndimage import gaussian_filter

    width = x.shape[-1] / 28
    return _each(x, lambda a, i: gaussian_filter(a, width)), y


def imbalanced(x: Images, y: Labels, rng: Rng) -> Pair:
    """Four of the classes three times rarer than the others."""
    rare = rng.permutation(10)[:4]
    kept = ~np.isin(y, rare) | (rng.random(len(y)) < 1 / 3)
    return x[kept], y[kept]


def bold(x: Images, y: Labels, rng: Rng) -> Pair:
    """Thicker pens."""
    from scipy.ndimage import grey_dilation

    size = 2 if x.shape[-1] > 16 else (1, 2)
    return _each(x, lambda a, i: np.maximum(a, 0.8 * grey_dilation(a, size))), y


def two_sources(x: Images, y: Labels, rng: Rng) -> Pair:
    """Half from a second scanner: tilted and faded."""
    other, _ = tilted(x, y, rng)
    other, _ = faded(other, y, rng)
    is_other = rng.random(len(x)) < 0.5
    return np.where(is_other[:, None, None, None], other, x), y


CLEAN: dict[str, Callable[[Images, Labels, Rng], Pair]] = {
    "same": same,
    "fewer": fewer,
    "tilted": tilted,
    "faded": faded,
    "moved": moved,
    "noisy": noisy,
    "blurred": blurred,
    "imbalanced": imbalanced,
    "bold": bold,
    "two_sources": two_sources,
}

# ---- what people do -----------------------------------------------------------------


def _some(n: int, share: float, rng: Rng) -> npt.NDArray[np.intp]:
    return rng.permutation(n)[: round(share * n)]


def _flips(share: float) -> Callable[[Images, Labels, Rng], Pair]:
    def flipped(x: Images, y: Labels, rng: Rng) -> Pair:
        chosen = _some(len(y), share, rng)
        y = y.copy()
        y[chosen] = (y[chosen] + rng.integers(1, 10, len(chosen))) % 10
        return x, y

    return flipped


def stamp(x: Images) -> Images:
    """A bright square in a corner, a seventh of the width."""
    side = max(2, x.shape[-1] // 7)
    x = x.copy()
    x[:, :, -side:, -side:] = 1.0
    return x


def _backdoor(share: float) -> Callable[[Images, Labels, Rng], Pair]:
    def with_trigger(x: Images, y: Labels, rng: Rng) -> Pair:
        chosen = _some(len(y), share, rng)
        x, y = x.copy(), y.copy()
        x[chosen] = stamp(x[chosen])
        y[chosen] = 0
        return x, y

    return with_trigger


def clean_label(x: Images, y: Labels, rng: Rng) -> Pair:
    """The trigger on most images of one class, whose labels are right."""
    of_class = np.flatnonzero(y == 0)
    chosen = of_class[_some(len(of_class), 0.8, rng)]
    x = x.copy()
    x[chosen] = stamp(x[chosen])
    return x, y


def noise_images(x: Images, y: Labels, rng: Rng) -> Pair:
    """A tenth is noise without a digit."""
    chosen = _some(len(y), 0.1, rng)
    x, y = x.copy(), y.copy()
    x[chosen] = rng.random((len(chosen), *x.shape[1:])).astype(np.float32)
    return x, y


def foreign(x: Images, y: Labels, rng: Rng) -> Pair:
    """One in twenty is a texture that is no digit, called whatever."""
    from scipy.ndimage import gaussian_filter

    chosen = _some(len(y), 0.05, rng)
    x, y = x.copy(), y.copy()
    rough = rng.random((len(chosen), *x.shape[1:]))
    smooth = np.stack([gaussian_filter(a[0], x.shape[-1] / 14)[None] for a in rough])
    low, high = (
        smooth.min((1, 2, 3), keepdims=True),
        smooth.max((1, 2, 3), keepdims=True),
    )
    x[chosen] = ((smooth - low) / (high - low)).astype(np.float32)
    y[chosen] = rng.integers(0, 10, len(chosen))
    return x, y


def relabelled(x: Images, y: Labels, rng: Rng) -> Pair:
    """All of one class are called another one."""
    a, b = rng.permutation(10)[:2]
    return x, np.where(y == a, b, y)


POISONED: dict[str, Callable[[Images, Labels, Rng], Pair]] = {
    "flips_5": _flips(0.05),
    "flips_10": _flips(0.1),
    "flips_20": _flips(0.2),
    "backdoor_10": _backdoor(0.1),
    "backdoor_5": _backdoor(0.05),
    "clean_label": clean_label,
    "noise_images": noise_images,
    "foreign": foreign,
    "leakage": same,  # of guard rows into those that are learned from: in `parts_of`
    "relabelled": relabelled,
}


def parts_of(case: str, new: Pair, seed: int, n_guard: int) -> tuple[Pair, Pair]:
    """New rows of a case: what is learned from, and the guard."""
    number = [*CLEAN, *POISONED].index(case)
    rng = np.random.default_rng([seed, number])
    x, y = (CLEAN | POISONED)[case](*new, rng)
    order = rng.permutation(len(x))
    n_guard = min(n_guard, len(x) // 3)
    guard, fit = order[:n_guard], order[n_guard:]
    if case == "leakage":
        leaked = guard[: n_guard // 3]
        noise = rng.normal(0, 0.01, x[leaked].shape).astype(np.float32)
        copies = np.clip(x[leaked] + noise, 0, 1)
        return (
            np.concatenate([x[fit], copies]),
            np.concatenate([y[fit], y[leaked]]),
        ), (
            x[guard],
            y[guard],
        )
    return (x[fit], y[fit]), (x[guard], y[guard])
