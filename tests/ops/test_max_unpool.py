"""MaxUnpool against PyTorch, onnxruntime and its definition."""

import ml_dtypes
import numpy as np
import pytest
from tests.ops.check import check_node, one_node_model

import trimtab

torch = pytest.importorskip("torch", reason="the oracle: pip install torch")

UNPOOLS = {
    1: torch.nn.functional.max_unpool1d,
    2: torch.nn.functional.max_unpool2d,
    3: torch.nn.functional.max_unpool3d,
}


def pooled(rng, shape, kernel, strides):
    """Maxima of a random tensor, and where ONNX says they are."""
    rank = len(shape) - 2
    pool = getattr(torch.nn.functional, f"max_pool{rank}d")
    x = torch.from_numpy(rng.standard_normal(shape).astype(np.float32))
    y, index = pool(x, kernel, strides, return_indices=True)
    plane = int(np.prod(shape[2:]))
    base = np.arange(shape[0] * shape[1]).reshape(*shape[:2], *[1] * rank) * plane
    return y.numpy(), index.numpy(), index.numpy() + base


@pytest.mark.parametrize(
    ("shape", "kernel", "strides"),
    [
        ((2, 3, 8), [2], [2]),
        ((2, 3, 8, 6), [2, 2], [2, 2]),
        ((1, 2, 9, 10), [3, 2], [3, 2]),
        ((2, 2, 4, 6, 4), [2, 3, 2], [2, 3, 2]),
    ],
)
def test_maxima_go_back_to_their_places(rng, shape, kernel, strides):
    y, index, whole = pooled(rng, shape, kernel, strides)
    unpool = UNPOOLS[len(shape) - 2]
    want = unpool(torch.from_numpy(y), torch.from_numpy(index), kernel, strides).numpy()
    attributes = {"kernel_shape": kernel, "strides": strides}
    for opset in (9, 11, 22):
        check_node("MaxUnpool", [y, whole], attributes, opset, expected=[want])
    check_node("MaxUnpool", [y, whole], attributes, 11)  # onnxruntime
    inputs = [y, whole, np.array(shape)]
    check_node("MaxUnpool", inputs, attributes, 11, expected=[want])


@pytest.mark.parametrize("dtype", ["float64", "float16", ml_dtypes.bfloat16])
def test_other_types_and_larger_outputs(rng, dtype):
    y, _, whole = pooled(rng, (1, 2, 4, 4), [2, 2], [2, 2])
    want = np.zeros((1, 2, 6, 5), dtype)
    flat = np.zeros(32, dtype)
    flat[whole.ravel()] = y.ravel().astype(dtype)
    want[:, :, :4, :4] = flat.reshape(1, 2, 4, 4)
    attributes = {"kernel_shape": [2, 2], "strides": [2, 2]}
    inputs = [y.astype(dtype), whole, np.array([1, 2, 6, 5])]
    check_node("MaxUnpool", inputs, attributes, 22, constants=[2], expected=[want])


def test_pads_shrink_the_output(rng):
    y = rng.standard_normal((1, 1, 3)).astype(np.float32)
    want = np.zeros((1, 1, 5), np.float32)
    want[0, 0, [0, 2, 4]] = y
    attributes = {"kernel_shape": [3], "strides": [2], "pads": [1, 1]}
    index = np.array([[[0, 2, 4]]])
    check_node("MaxUnpool", [y, index], attributes, 11, expected=[want])


def run(inputs, attributes):
    model = one_node_model("MaxUnpool", inputs, attributes, 11)
    loaded = trimtab.load_model(model.SerializeToString(), fallback=False)
    return loaded.run({f"x{i}": x for i, x in enumerate(inputs)})


@pytest.mark.parametrize("index", [-1, 4, 2**62, -(2**63)])
def test_indices_outside_are_an_error(index):
    inputs = [np.ones((1, 1, 1), np.float32), np.full((1, 1, 1), index)]
    with pytest.raises(trimtab.TrimtabError, match="outside of the 4 pooled items"):
        run(inputs, {"kernel_shape": [4]})


@pytest.mark.parametrize(
    ("index_shape", "out", "attributes", "message"),
    [
        ((1, 1, 2), None, {"kernel_shape": [2]}, "of one shape"),
        ((1, 1, 3), None, {}, "kernel_shape"),
        ((1, 1, 3), None, {"kernel_shape": [2], "pads": [5, 5]}, "does not exist"),
        ((1, 1, 3), [1, 1, 3], {"kernel_shape": [2]}, "output_shape"),
        ((1, 1, 3), [1, 4], {"kernel_shape": [2]}, "output_shape"),
        ((1, 1, 3), [1, 1, 2**45], {"kernel_shape": [2]}, "max_tensor_bytes"),
    ],
)
def test_what_does_not_fit_is_refused(index_shape, out, attributes, message):
    inputs = [np.zeros((1, 1, 3), np.float32), np.zeros(index_shape, np.int64)]
    if out is not None:
        inputs.append(np.array(out))
    with pytest.raises(trimtab.TrimtabError, match=message):
        run(inputs, attributes)
