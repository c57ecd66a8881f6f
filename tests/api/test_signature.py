"""Signatures: checking inputs and making them up."""

from __future__ import annotations

import numpy as np
import pytest

import trimtab
from trimtab.signature import check_inputs, probe_inputs

SPECS = (
    trimtab.TensorSpec("ids", "int64", ("batch", "length")),
    trimtab.TensorSpec("mask", "int64", ("batch", "length")),
    trimtab.TensorSpec("image", "float32", ("batch", 3, None)),
    trimtab.TensorSpec("any", "float32", None),
)


def inputs(**changes):
    values = {
        "ids": np.zeros((2, 5), np.int64),
        "mask": np.zeros((2, 5), np.int64),
        "image": np.zeros((2, 3, 9), np.float32),
        "any": np.zeros((), np.float32),
    }
    return {**values, **changes}


def test_what_fits_passes_in_the_order_of_the_signature() -> None:
    given = dict(reversed(inputs().items()))
    assert list(check_inputs(SPECS, given)) == [spec.name for spec in SPECS]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"mask": np.zeros((2, 6))}, "'mask': axis 1 is 'length', which is 5 in input"),
        ({"image": np.zeros((3, 3, 9))}, "axis 0 is 'batch', which is 2"),
        ({"image": np.zeros((2, 4, 9))}, "expected 3 on axis 1"),
        ({"image": np.zeros((2, 3))}, "expected 3 dims"),
        ({"image": np.array("text")}, "dtype"),
        ({"extra": 1}, "no input 'extra'"),
    ],
)
def test_what_does_not_fit_is_named(change, text: str) -> None:
    with pytest.raises(trimtab.InputError, match=text):
        check_inputs(SPECS, inputs(**change))


def test_lists_take_the_integer_type_of_the_signature() -> None:
    spec = trimtab.TensorSpec("x", "uint8", (None,))
    assert check_inputs([spec], {"x": [1, 2]})["x"].dtype == np.uint8
    with pytest.raises(trimtab.InputTypeError):
        check_inputs([spec], {"x": [300]})


def test_probes_fit_the_signature_and_are_the_same_every_time() -> None:
    first, second = probe_inputs(SPECS, size=8), probe_inputs(SPECS, size=8)
    check_inputs(SPECS, first)
    assert first["ids"].shape == (1, 8)
    assert first["image"].shape == (1, 3, 8)
    assert first["image"].dtype == np.float32
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name])


def test_a_question_mark_stands_for_any_size() -> None:
    """Exports of Paddle name every open dim so."""
    spec = trimtab.TensorSpec("x", "float32", ("?", 3, "?", "?"))
    x = np.zeros((1, 3, 48, 192), np.float32)
    assert check_inputs([spec], {"x": x})["x"] is x
