"""Shared by the operator tests: a generator that prints its seed on failure."""

import zlib

import numpy as np
import pytest


@pytest.fixture
def rng(request):
    """Random numbers that depend on the test's name only."""
    seed = zlib.crc32(request.node.nodeid.encode())
    print(f"seed {seed}")
    return np.random.default_rng(seed)
