"""Slice against onnxruntime and the specification."""

import numpy as np
import pytest
from tests.ops.check import check_node

LOWEST, HIGHEST = -(2**63), 2**63 - 1


@pytest.mark.parametrize("start", [LOWEST, -7, -6, -5, -1, 0, 2, 5, HIGHEST])
@pytest.mark.parametrize("end", [LOWEST, -7, -5, -1, 0, 3, 5, HIGHEST])
@pytest.mark.parametrize("step", [1, 2, -1, -3])
def test_starts_and_ends_are_clamped_as_specified(start, end, step):
    """A start before the first element is the first element, backwards too (found by
    tests/fuzz: NumPy has no element there)."""
    if step < 0 and end == HIGHEST:
        end = 5  # onnxruntime reads that one as "no end"
    x = np.arange(10, dtype=np.float32).reshape(5, 2)
    lists = [np.array([n], np.int64) for n in (start, end, 0, step)]
    check_node("Slice", [x, *lists], constants=(1, 2, 3, 4), strided=False)


def test_nothing_can_be_sliced_backwards():
    x = np.zeros((0, 3), np.float32)
    lists = [np.array([n], np.int64) for n in (-4, -9, 0, -1)]
    check_node("Slice", [x, *lists], constants=(1, 2, 3, 4), strided=False)
