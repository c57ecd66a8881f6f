"""Digits under shift: a small CNN, a camera that was mounted the wrong way round.

The rows are scikit-learn's 1,797 digits of 8 x 8 pixels. The base network learns from
1,097 of them, 200 are a reference that only choices are made with, and 500 that nothing
learned from are judged in both domains. New rows are draws of the first 1,297, seen
mirrored, with less contrast and with noise.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

N_TEST, N_REFERENCE = 500, 200
CONTRAST, NOISE = 0.6, 0.1
EPOCHS, BATCH = 15, 32


@dataclass(frozen=True)
class Digits:
    """One seed: a base network and rows of both domains.

    Attributes
    ----------
    onnx : bytes
        The base network, ``image (n, 1, 8, 8) -> scores (n, 10)``.
    net : torch.nn.Module
        The same.
    old, reference, new, old_test, new_test : tuple of ndarray
        Images and labels.
    """

    onnx: bytes
    net: Any
    old: tuple[Array, Array]
    reference: tuple[Array, Array]
    new: tuple[Array, Array]
    old_test: tuple[Array, Array]
    new_test: tuple[Array, Array]


def shifted(images: Array, rng: np.random.Generator) -> Array:
    """Mirror images, take contrast away, add noise."""
    flat = (images[..., ::-1] - 0.5) * CONTRAST + 0.5
    return np.clip(flat + rng.normal(0, NOISE, images.shape), 0, 1).astype(np.float32)


def network() -> Any:
    """A CNN with 38,000 weights."""
    from torch import nn

    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(512, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip


def digits(seed: int) -> Digits:
    """Train the base network and draw the rows of a seed."""
    import torch
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(images))
    test, others = order[:N_TEST], order[N_TEST:]
    reference, train = others[:N_REFERENCE], others[N_REFERENCE:]
    torch.manual_seed(seed)
    net = network()
    learn(net, images[train], labels[train], rng, epochs=EPOCHS)
    return Digits(
        exported(net),
        net,
        (images[train], labels[train]),
        (images[reference], labels[reference]),
        (shifted(images[others], rng), labels[others]),
        (images[test], labels[test]),
        (shifted(images[test], rng), labels[test]),
    )


def learn(
    net: Any, x: Array, y: Array, rng: np.random.Generator, *, epochs: int
) -> None:
    """Train in PyTorch as its tutorials do: Adam, batches, cross-entropy."""
    import torch
    from torch.nn.functional import cross_entropy

    weights = [p for p in net.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(weights, 1e-3)
    for _ in range(epochs):
        order = rng.permutation(len(x))
        for begin in range(0, len(x), BATCH):
            index = order[begin : begin + BATCH]
            loss = cross_entropy(
                net(torch.from_numpy(x[index])), torch.from_numpy(y[index])
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def exported(net: Any) -> bytes:
    """Give the network as an ONNX file."""
    import torch

    file = io.BytesIO()
    torch.onnx.export(
        net, (torch.zeros(2, 1, 8, 8),), file, input_names=["image"],
        output_names=["scores"], dynamic_axes={"image": {0: "n"}, "scores": {0: "n"}},
        dynamo=False,
    )  # fmt: skip
    return file.getvalue()
