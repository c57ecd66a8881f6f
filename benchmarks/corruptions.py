"""Damage of images and sound at given strengths, for measuring what monitoring finds.

The kinds are those of D. Hendrycks, T. Dietterich, "Benchmarking Neural Network
Robustness to Common Corruptions and Perturbations", ICLR 2019, its strengths 1, 3 and 5
or near them.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

__all__ = ["CORRUPTIONS", "SNRS_DB", "add_noise", "corrupt"]

Images = npt.NDArray[np.uint8]
Corruption = Callable[[Images, float, np.random.Generator], Images]


def _bytes(x: npt.ArrayLike) -> Images:
    return np.clip(np.rint(x), 0, 255).astype(np.uint8)


def _gaussian_noise(image: Images, sigma: float, rng: np.random.Generator) -> Images:
    return _bytes(image + rng.normal(0, 255 * sigma, image.shape))


def _blur(image: Images, radius: float, rng: np.random.Generator) -> Images:
    from PIL import Image, ImageFilter

    blurred = Image.fromarray(image).filter(ImageFilter.GaussianBlur(radius))
    return np.asarray(blurred)


def _brightness(image: Images, more: float, rng: np.random.Generator) -> Images:
    return _bytes(image + 255 * more)


def _contrast(image: Images, share: float, rng: np.random.Generator) -> Images:
    mean = image.mean(axis=(0, 1), keepdims=True)
    return _bytes((image - mean) * share + mean)


def _jpeg(image: Images, quality: float, rng: np.random.Generator) -> Images:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=int(quality))
    return np.asarray(Image.open(file))


def _pixelate(image: Images, share: float, rng: np.random.Generator) -> Images:
    from PIL import Image

    height, width = image.shape[:2]
    small = (max(1, int(width * share)), max(1, int(height * share)))
    shrunk = Image.fromarray(image).resize(small, Image.Resampling.BOX)
    return np.asarray(shrunk.resize((width, height), Image.Resampling.NEAREST))


#: name -> the function of one image (height, width, channels), and three strengths
CORRUPTIONS: dict[str, tuple[Corruption, tuple[float, float, float]]] = {
    "gaussian_noise": (_gaussian_noise, (0.04, 0.08, 0.18)),
    "blur": (_blur, (0.7, 1.5, 3.0)),
    "brightness": (_brightness, (0.1, 0.2, 0.3)),
    "contrast": (_contrast, (0.6, 0.4, 0.2)),
    "jpeg": (_jpeg, (40, 20, 7)),
    "pixelate": (_pixelate, (0.7, 0.5, 0.25)),
}
#: Of noise added to sound, the least harm first.
SNRS_DB = (20.0, 10.0, 0.0)


def corrupt(images: Images, name: str, strength: int, *, seed: int = 0) -> Images:
    """Damage each of several images.

    Parameters
    ----------
    images : ndarray of uint8, of shape (n, height, width, channels)
    name : str
        A key of `CORRUPTIONS`.
    strength : {1, 2, 3}
    seed : int, default=0

    Returns
    -------
    damaged : ndarray of uint8, of the same shape
    """
    function, strengths = CORRUPTIONS[name]
    rng = np.random.default_rng([seed, strength])
    return np.stack([function(x, strengths[strength - 1], rng) for x in images])


def add_noise(
    clips: npt.NDArray[np.float32], snr_db: float, *, seed: int = 0
) -> npt.NDArray[np.float32]:
    """Add white noise to sound.

    Parameters
    ----------
    clips : ndarray of float32, of shape (n, samples)
    snr_db : float
        Mean power of all clips against that of the noise: clips of one microphone.
    seed : int, default=0

    Returns
    -------
    noisy : ndarray of float32, of the same shape
    """
    sigma = float(np.sqrt(np.mean(np.square(clips)) / 10 ** (snr_db / 10)))
    rng = np.random.default_rng([seed, 7])
    noise = sigma * rng.standard_normal(clips.shape, dtype=np.float32)
    return clips + noise
