"""Loaded models shared by the tests of the binding."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest
from onnx import TensorProto

import trimtab

from . import models


@functools.cache
def _doubled(dtype: int, rank: int) -> trimtab.Model:
    return trimtab.load_model(models.doubled(dtype, rank), threads=1)


@pytest.fixture
def doubled() -> Callable[..., trimtab.Model]:
    """Model of y = x + x, by ONNX dtype and rank."""
    return lambda dtype=TensorProto.FLOAT, rank=2: _doubled(dtype, rank)


@pytest.fixture
def subtract() -> trimtab.Model:
    """A fresh model of y = a - b, so that its counters start at zero."""
    return trimtab.load_model(models.subtract(), threads=1)


@pytest.fixture
def mlp() -> trimtab.Model:
    """A fresh model of three dense layers."""
    return trimtab.load_model(models.mlp(), threads=2)
