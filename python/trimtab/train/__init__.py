"""Learning in the engine that serves.

`differentiate` rewrites a graph into one that gives a loss and gradients; `Trainer`
learns from data with it.
"""

from __future__ import annotations

from trimtab.train.differentiate import attach_loss, differentiate
from trimtab.train.epochs import History
from trimtab.train.learnable import learnable
from trimtab.train.losses import (
    LOSSES,
    BinaryCrossEntropy,
    CrossEntropy,
    Huber,
    MeanSquaredError,
)
from trimtab.train.optimizers import OPTIMIZERS, SGD, Adam, AdamW
from trimtab.train.schedules import Constant, Cosine, Staircase, WarmUp
from trimtab.train.trainer import Trainer

__all__ = [
    "LOSSES",
    "OPTIMIZERS",
    "SGD",
    "Adam",
    "AdamW",
    "BinaryCrossEntropy",
    "Constant",
    "Cosine",
    "CrossEntropy",
    "History",
    "Huber",
    "MeanSquaredError",
    "Staircase",
    "Trainer",
    "WarmUp",
    "attach_loss",
    "differentiate",
    "learnable",
]
