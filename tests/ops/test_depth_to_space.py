"""DepthToSpace and SpaceToDepth in both modes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.ops.check import check_node, one_node_model

import trimtab


def space_to_depth(x, block, mode):
    n, c, h, w = x.shape
    cells = x.reshape(n, c, h // block, block, w // block, block)
    order = (0, 3, 5, 1, 2, 4) if mode == "DCR" else (0, 1, 3, 5, 2, 4)
    return cells.transpose(order).reshape(n, c * block * block, h // block, w // block)


@given(
    st.tuples(*[st.integers(0, 3)] * 4),
    st.integers(1, 3),
    st.sampled_from(["DCR", "CRD"]),
    st.sampled_from(["float32", "float16", "int8", "bool", "int64"]),
    st.integers(0, 2**32 - 1),
)
def test_there_and_back(dims, block, mode, dtype, seed):
    n, c, h, w = dims
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 100, (n, c, h * block, w * block)).astype(dtype)
    want = space_to_depth(x, block, mode)
    attributes = {"blocksize": block, "mode": mode}
    check_node("SpaceToDepth", [x], attributes, 28, expected=[want])
    check_node("DepthToSpace", [want], attributes, 13, expected=[x])
    if mode == "DCR":
        check_node("SpaceToDepth", [x], {"blocksize": block}, 13, expected=[want])


@pytest.mark.parametrize(
    ("op_type", "opset"), [("SpaceToDepth", 28), ("DepthToSpace", 11)]
)
def test_another_mode_is_refused(op_type, opset):
    x = np.zeros((1, 4, 2, 2), np.float32)
    model = one_node_model(op_type, [x], {"blocksize": 2, "mode": "RDC"}, opset)
    with pytest.raises(trimtab.TrimtabError, match="DCR or CRD"):
        trimtab.load_model(model.SerializeToString(), fallback=False).run({"x0": x})
