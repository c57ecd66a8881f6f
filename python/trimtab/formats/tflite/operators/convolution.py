"""Convolutions, pools and fully connected layers.

TFLite keeps channels last; each operator here computes with channels first and leaves
its result so (`Scope.set_real`), so that the Transposes of neighbours never exist.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from trimtab.errors import ModelFormatError, UnsupportedOpError
from trimtab.formats.tflite.constants import QUANTIZED
from trimtab.formats.tflite.linear import is_integer_weights, weights
from trimtab.formats.tflite.operation import Operation
from trimtab.types import Array

__all__ = ["CONVOLUTIONS"]

_PADDINGS = ("SAME_UPPER", "VALID")


def _positive(op: Operation, *names: str) -> list[int]:
    """Options that must be at least 1."""
    values = [int(op.option(name)) for name in names]
    for name, value in zip(names, values, strict=True):
        if value < 1:
            raise ModelFormatError(f"{op.title}: {name} must be at least 1: {value}")
    return values


def _padding(op: Operation) -> str:
    code = op.option("padding")
    if code not in (0, 1):
        raise ModelFormatError(f"{op.title}: there is no padding {code}")
    return _PADDINGS[code]


def _weights(op: Operation, place: int, perm: list[int], source: int = 0) -> str:
    """Real weights with their dims in another order; input `source` meets them."""
    index, tensor = op.index(place), op.tensor(place)
    if tensor.rank != len(perm):
        raise ModelFormatError(
            f"{op.title}: weights must have {len(perm)} dims, got {tensor.shape}"
        )
    turned = op.scope.work.constants.turned
    stored = op.scope.constant(index)
    if (
        stored is not None
        and stored.shape == tensor.shape
        and is_integer_weights(op.tensor(source), tensor)
    ):
        return weights(op.builder, turned(stored, perm, tensor.name), tensor, perm)
    array = op.scope.real_constant(index)
    if array is None or array.ndim != len(perm):
        return op.builder.op("Transpose", [op.x(place)], perm=perm)
    return op.builder.constant(turned(array, perm, tensor.name), tensor.name)


def _bias(op: Operation, place: int, inputs: tuple[int, int]) -> list[str]:
    """Real bias: integers count in steps of input times weights."""
    if not op.has(place):
        return []
    tensor = op.tensor(place)
    stored = op.scope.constant(op.index(place))
    if tensor.dtype not in ("int32", "int64"):
        return [op.x(place)]
    if stored is None:
        raise UnsupportedOpError(f"{op.title}: its bias of integers is computed")
    scales: list[Array] = []
    for side in inputs:
        quantization = op.tensor(side).quantization
        if quantization is None or op.tensor(side).dtype not in QUANTIZED:
            raise ModelFormatError(
                f"{op.title}: a bias of integers, but input {side} has no scale"
            )
        scales.append(quantization.scale.astype(np.float64))
    n_scales = scales[0].size * scales[1].size
    if scales[0].size != 1 or n_scales not in (1, stored.size):
        raise ModelFormatError(
            f"{op.title}: {n_scales} scales for a bias of {stored.size}"
        )
    real = stored.reshape(-1) * (scales[0] * scales[1])
    return [op.const(real.astype(np.float32), name=tensor.name)]


def _conv_2d(op: Operation) -> None:
    channels, shape = op.tensor(0).shape[-1:], op.tensor(1).shape
    if len(shape) != 4 or not channels or 0 in shape or channels[0] % shape[3]:
        raise ModelFormatError(
            f"{op.title}: weights of shape {shape} do not fit an input of shape "
            f"{op.tensor(0).shape}"
        )
    group = channels[0] // shape[3]
    _convolve(op, _weights(op, 1, [0, 3, 1, 2]), max(group, 1), shape[1:3])


def _depthwise(op: Operation) -> None:
    channels, shape = op.tensor(0).shape[-1:], op.tensor(1).shape
    if (
        len(shape) != 4
        or shape[0] != 1
        or not channels
        or not channels[0]
        or shape[3] % channels[0]
    ):
        raise ModelFormatError(
            f"{op.title}: weights of shape {shape} do not fit an input of shape "
            f"{op.tensor(0).shape}"
        )
    _convolve(op, _weights(op, 1, [3, 0, 1, 2]), channels[0], shape[1:3])


def _convolve(op: Operation, kernels: str, group: int, kernel: tuple[int, ...]) -> None:
    strides = _positive(op, "stride_h", "stride_w")
    dilations = [
        max(1, int(op.option(name)))
        for name in ("dilation_hfactor", "dilation_wfactor")
    ]
    result = op.emit(
        "Conv",
        [op.nchw(), kernels, *_bias(op, 2, (0, 1))],
        auto_pad=_padding(op),
        strides=strides,
        dilations=dilations,
        group=group,
        kernel_shape=list(kernel),
    )
    op.finish(result, channels_first=True)


def _conv_3d(op: Operation) -> None:
    first = op.builder.op("Transpose", [op.x()], perm=[0, 4, 1, 2, 3])
    result = op.emit(
        "Conv",
        [first, _weights(op, 1, [4, 3, 0, 1, 2]), *_bias(op, 2, (0, 1))],
        auto_pad=_padding(op),
        strides=_positive(op, "stride_d", "stride_h", "stride_w"),
        dilations=_positive(
            op, "dilation_dfactor", "dilation_hfactor", "dilation_wfactor"
        ),
    )
    op.finish(op.emit("Transpose", [result], perm=[0, 2, 3, 4, 1]))


def _transpose_pads(size: int, out: int, kernel: int, stride: int, same: bool) -> Array:
    """Pads at both ends, and what is appended, of one dim; `out` may be -1."""
    if out < 0:
        out = size * stride + (0 if same else max(kernel - stride, 0))
        size, out = 1, out - (size - 1) * stride  # either does not depend on size
    before = 0
    if same:
        before = max(0, (-(-out // stride) - 1) * stride + kernel - out) // 2
    after = (size - 1) * stride + kernel - before - out
    return np.array([before, max(after, 0), max(-after, 0)])


def _transpose_conv(op: Operation) -> None:
    strides = _positive(op, "stride_h", "stride_w")
    same = _padding(op) == "SAME_UPPER"
    kernels, source = op.tensor(1), op.tensor(2)
    known = op.scope.constant(op.index(0))
    if kernels.rank != 4 or source.rank != 4 or (known is not None and known.size != 4):
        raise ModelFormatError(
            f"{op.title}: weights of shape {kernels.shape}, an input of shape "
            f"{source.shape}: both must have 4 dims"
        )
    pads = [
        _transpose_pads(
            source.shape[dim],
            int(known.reshape(-1)[dim])
            if known is not None and source.signature[dim] is not None
            else -1,
            kernels.shape[dim],
            strides[dim - 1],
            same,
        )
        for dim in (1, 2)
    ]
    result = op.emit(
        "ConvTranspose",
        [op.nchw(2), _weights(op, 1, [3, 0, 1, 2], 2), *_bias(op, 3, (2, 1))],
        strides=strides,
        pads=[int(pad[end]) for end in (0, 1) for pad in pads],
        output_padding=[int(pad[2]) for pad in pads],
        kernel_shape=list(kernels.shape[1:3]),
    )
    op.finish(result, channels_first=True)


def _pool(kind: str) -> Callable[[Operation], None]:
    def convert(op: Operation) -> None:
        result = op.emit(
            kind,
            [op.nchw()],
            auto_pad=_padding(op),
            strides=_positive(op, "stride_h", "stride_w"),
            kernel_shape=_positive(op, "filter_height", "filter_width"),
        )
        op.finish(result, channels_first=True)

    return convert


def _l2_pool(op: Operation) -> None:
    x = op.nchw()
    mean = op.emit(
        "AveragePool",
        [op.emit("Mul", [x, x])],
        auto_pad=_padding(op),
        strides=_positive(op, "stride_h", "stride_w"),
        kernel_shape=_positive(op, "filter_height", "filter_width"),
    )
    op.finish(op.emit("Sqrt", [mean]), channels_first=True)


def _fully_connected(op: Operation) -> None:
    if op.option("weights_format") != 0:
        raise UnsupportedOpError(
            f"{op.title}: its weights are shuffled for one processor; convert the "
            "model without that"
        )
    source, matrix = op.tensor(0), op.tensor(1)
    x = op.x()
    if matrix.rank != 2:
        raise ModelFormatError(
            f"{op.title}: weights must have 2 dims, got {matrix.shape}"
        )
    if op.option("keep_num_dims") and source.rank > 2:
        product = op.emit("MatMul", [x, _weights(op, 1, [1, 0])])
        for bias in _bias(op, 2, (0, 1)):
            product = op.emit("Add", [product, bias])
        op.finish(product)
        return
    if source.rank != 2 or source.signature[1] not in (None, matrix.shape[1]):
        x = op.reshape(x, [-1, matrix.shape[1]])
    inputs = [x, _weights(op, 1, [0, 1]), *_bias(op, 2, (0, 1))]
    result = op.emit("Gemm", inputs, transB=1)
    if op.option("keep_num_dims") and source.rank == 1:
        result = op.reshape(result, [matrix.shape[0]])
    op.finish(result)


def _batch_matmul(op: Operation) -> None:
    sides = []
    for place, option in enumerate(("adj_x", "adj_y")):
        tensor, side = op.tensor(place), op.x(place)
        if op.option(option):
            if tensor.rank < 2:
                raise ModelFormatError(f"{op.title}: {option} of a vector")
            perm = list(range(tensor.rank))
            perm[-2:] = perm[:-3:-1]
            side = op.builder.op("Transpose", [side], perm=perm)
        sides.append(side)
    op.finish(op.emit("MatMul", sides))


def _embedding_lookup(op: Operation) -> None:
    op.write(op.emit("Gather", [op.x(1), op.int64(0)], axis=0))


CONVOLUTIONS: Mapping[str, Callable[[Operation], None]] = {
    "AVERAGE_POOL_2D": _pool("AveragePool"),
    "BATCH_MATMUL": _batch_matmul,
    "CONV_2D": _conv_2d,
    "CONV_3D": _conv_3d,
    "DEPTHWISE_CONV_2D": _depthwise,
    "EMBEDDING_LOOKUP": _embedding_lookup,
    "FULLY_CONNECTED": _fully_connected,
    "L2_POOL_2D": _l2_pool,
    "MAX_POOL_2D": _pool("MaxPool"),
    "TRANSPOSE_CONV": _transpose_conv,
}
