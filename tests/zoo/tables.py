"""Nets trained by the scripts of examples/export: digits and ratings."""

from __future__ import annotations

import gzip
from functools import cache

import numpy as np
import numpy.typing as npt

from .exports import export
from .files import fetch
from .model import Run, Tensors, ZooModel

Array = npt.NDArray[np.float32]


@cache
def digits() -> tuple[Array, npt.NDArray[np.int64]]:
    """The 1,000 digits (1000, 1, 28, 28) that training never saw, and labels.

    The file sorts them by digit; here they are mixed, a 7 first.
    """
    with gzip.open(fetch("mnist_5k.csv.gz"), "rt") as file:
        rows = np.loadtxt(file, delimiter=",", dtype=np.float32)[4::5]
    rows = np.roll(rows, -750, axis=0)[np.arange(len(rows)) * 307 % len(rows)]
    return rows[:, :-1].reshape(-1, 1, 28, 28) / 255, rows[:, -1].astype(np.int64)


@cache
def ratings() -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Array]:
    """Users, items and ratings of the 10,000 rows that training never saw."""
    path = fetch("ml-100k.inter")
    rows = np.loadtxt(path, skiprows=1, usecols=(0, 1, 2), dtype=np.float32)[9::10]
    return rows[:, 0].astype(np.int64), rows[:, 1].astype(np.int64), rows[:, 2].copy()


def _digit(n: int) -> Tensors:
    return {"image": np.ascontiguousarray(digits()[0][:n])}


def _check_digit(outputs: Tensors) -> None:
    logits, (_, labels) = outputs["logits"], digits()
    assert logits.shape == (1, 10), logits.shape
    assert logits.argmax() == labels[0], logits


def _digits_are_read(run: Run) -> None:
    pictures, labels = digits()
    read = run("mnist_cnn", {"image": pictures})["logits"].argmax(axis=1)
    assert (read == labels).mean() > 0.955, (read == labels).mean()


def _rows(n: int) -> Tensors:
    users, items, _ = ratings()
    return {"user": users[:n].copy(), "item": items[:n].copy()}


def _check_ratings(outputs: Tensors) -> None:
    predicted, truth = outputs["rating"], ratings()[2][:100]
    assert predicted.shape == (100,), predicted.shape
    assert np.corrcoef(predicted, truth)[0, 1] > 0.4, np.corrcoef(predicted, truth)


def _ratings_are_foreseen(run: Run) -> None:
    users, items, truth = ratings()
    predicted = run("neumf", {"user": users, "item": items})["rating"]
    rmse = np.sqrt(np.square(predicted - truth).mean())
    assert rmse < 0.93, rmse


TABLES = [
    ZooModel(
        "mnist_cnn",
        lambda: export("mnist_cnn"),
        lambda: _digit(1),
        _check_digit,
        lambda: {"batch7": _digit(7), "batch256": _digit(256)},
        _digits_are_read,
    ),
    ZooModel(
        "neumf",
        lambda: export("neumf"),
        lambda: _rows(100),
        _check_ratings,
        lambda: {"1_row": _rows(1), "1000_rows": _rows(1000)},
        _ratings_are_foreseen,
    ),
]
