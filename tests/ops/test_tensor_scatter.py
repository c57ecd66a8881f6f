"""TensorScatter against its definition in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.ops.check import check_node, feeds_of, one_node_model

import trimtab


def definition(past, update, places, axis, circular):
    present = past.copy()
    rows = present.swapaxes(1, axis) if axis != 1 else present
    new = update.swapaxes(1, axis) if axis != 1 else update
    for b in range(len(past)):
        at = (0 if places is None else places[b]) + np.arange(new.shape[1])
        rows[b, at % rows.shape[1] if circular else at] = new[b]
    return present


@settings(max_examples=80, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(0, 3),
    st.integers(1, 9),
    st.integers(0, 9),
    st.sampled_from([(1, ()), (-2, (3,)), (2, (2, 5)), (3, (2, 2))]),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["f4", "f2", "u1", "i8", "?", "c16"]),
)
def test_it_writes_rows_into_the_cache(
    seed, batch, n_rows, n_new, form, circular, has_places, dtype
):
    rng = np.random.default_rng(seed)
    axis, others = form
    n_new = min(n_new, n_rows)
    dims = [batch, *others]
    at = axis if axis > 0 else len(dims) + 1 + axis
    shapes = [[*dims[:at], n, *dims[at:]] for n in (n_rows, n_new)]
    past, update = (rng.integers(0, 99, shape).astype(dtype) for shape in shapes)
    places = None
    if has_places:
        high = 3 * n_rows if circular else n_rows - n_new + 1
        places = rng.integers(-n_rows if circular else 0, high, batch)
    want = definition(past, update, places, at, circular)
    attributes = {"axis": axis, "mode": "circular" if circular else "linear"}
    inputs = [past, update, places]
    check_node("TensorScatter", inputs, attributes, 24, expected=[want])


@pytest.mark.parametrize("place", [-1, 4, 2**62, -(2**63)])
def test_rows_that_do_not_fit_are_refused(place):
    inputs = [
        np.zeros((1, 2, 5, 3), "f4"),
        np.zeros((1, 2, 2, 3), "f4"),
        np.array([place]),
    ]
    model = one_node_model("TensorScatter", inputs, {}, 24)
    loaded = trimtab.load_model(model.SerializeToString(), fallback=False)
    with pytest.raises(trimtab.InputError, match="write index"):
        loaded.run(feeds_of(inputs, ()))


@pytest.mark.parametrize(
    ("attributes", "update"),
    [
        ({"axis": 0}, (1, 2, 2, 3)),
        ({"axis": 4}, (1, 2, 2, 3)),
        ({"mode": "round"}, (1, 2, 2, 3)),
        ({}, (1, 2, 6, 3)),
        ({}, (1, 3, 2, 3)),
        ({}, (2, 2, 3)),
    ],
)
def test_what_does_not_go_together_is_refused(attributes, update):
    inputs = [np.zeros((1, 2, 5, 3), "f4"), np.zeros(update, "f4")]
    model = one_node_model("TensorScatter", inputs, attributes, 24)
    with pytest.raises(trimtab.TrimtabError):
        loaded = trimtab.load_model(model.SerializeToString(), fallback=False)
        loaded.run(feeds_of(inputs, ()))
