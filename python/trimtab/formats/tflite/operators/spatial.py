"""Operators on images: resizing, and blocks that move between space and batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from trimtab.errors import ModelFormatError, UnsupportedOpError
from trimtab.formats.tflite.operation import Operation

__all__ = ["SPATIAL"]


def _resized(op: Operation, mode: str, coordinates: str, nearest: str = "") -> str:
    """The input in the size that input 1 asks for, channels first."""
    size = op.scope.constant(op.index(1))
    if size is not None and (size.size != 2 or (size < 1).any()):
        raise ModelFormatError(f"{op.title}: the size must be two numbers, got {size}")
    return op.emit(
        "Resize",
        [op.nchw(), "", "", op.int64(1)],
        mode=mode,
        axes=[2, 3],
        coordinate_transformation_mode=coordinates,
        **({"nearest_mode": nearest} if nearest else {}),
    )


def _resize_bilinear(op: Operation) -> None:
    coordinates = "asymmetric"
    if op.option("align_corners"):
        coordinates = "align_corners"
    elif op.option("half_pixel_centers"):
        coordinates = "half_pixel"
    op.write(_resized(op, "linear", coordinates), channels_first=True)


def _resize_nearest(op: Operation) -> None:
    corners, half = op.option("align_corners"), op.option("half_pixel_centers")
    if corners and half:
        raise UnsupportedOpError(f"{op.title}: align_corners with half_pixel_centers")
    # floor(v) with v = (x + 0.5) * scale is v - 0.5 rounded, halves upwards.
    modes = ("asymmetric", "floor")
    if corners or half:
        modes = ("align_corners" if corners else "half_pixel", "round_prefer_ceil")
    op.move(_resized(op, "nearest", *modes), channels_first=True)


def _blocks(op: Operation) -> tuple[list[int], list[int]]:
    """Sizes of blocks, and amounts at both ends of each dim of space."""
    blocks, ends = op.ints(1, "the blocks"), op.ints(2, "the paddings")
    n = len(blocks)
    if (
        not 1 <= n < op.tensor(0).rank
        or len(ends) != 2 * n
        or min(blocks) < 1
        or min(ends) < 0
    ):
        raise ModelFormatError(
            f"{op.title}: blocks {blocks} and amounts {ends} for an input of shape "
            f"{op.tensor(0).shape}"
        )
    return blocks, ends


def _space_sizes(op: Operation, n: int) -> list[int]:
    """Dims after the batch, which must be known."""
    sizes = op.tensor(0).signature[1:]
    if None in sizes:
        raise UnsupportedOpError(
            f"{op.title}: dims of space that may vary, its input is {sizes}"
        )
    return [size for size in sizes if size is not None]


def _space_to_batch(op: Operation) -> None:
    blocks, pads = _blocks(op)
    n = len(blocks)
    sizes = _space_sizes(op, n)
    rest, x = sizes[n:], op.x()
    if any(pads):
        amounts = [0, *pads[::2], *[0] * (len(rest) + 1), *pads[1::2], *[0] * len(rest)]
        x = op.emit("Pad", [x, op.const(amounts, "int64")])
    space = [size + pads[2 * i] + pads[2 * i + 1] for i, size in enumerate(sizes[:n])]
    if any(size % block for size, block in zip(space, blocks, strict=True)):
        raise ModelFormatError(f"{op.title}: blocks {blocks} do not divide {space}")
    parts = [size // block for size, block in zip(space, blocks, strict=True)]
    split = [-1]
    for part, block in zip(parts, blocks, strict=True):
        split += [part, block]
    x = op.reshape(x, [*split, *rest])
    places = list(range(1, 2 * n + 1))
    perm = [*places[1::2], 0, *places[::2], *range(2 * n + 1, 2 * n + 1 + len(rest))]
    x = op.emit("Transpose", [x], perm=perm)
    op.move(op.reshape(x, [-1, *parts, *rest]))


def _batch_to_space(op: Operation) -> None:
    blocks, crops = _blocks(op)
    n = len(blocks)
    sizes = _space_sizes(op, n)
    rest = sizes[n:]
    x = op.reshape(op.x(), [*blocks, -1, *sizes])
    perm = [n]
    for i in range(n):
        perm += [n + 1 + i, i]
    perm += range(2 * n + 1, 2 * n + 1 + len(rest))
    x = op.emit("Transpose", [x], perm=perm)
    space = [size * block for size, block in zip(sizes[:n], blocks, strict=True)]
    x = op.reshape(x, [-1, *space, *rest])
    if any(crops):
        ends = [size - end for size, end in zip(space, crops[1::2], strict=True)]
        limits = [crops[::2], ends, list(range(1, n + 1))]
        x = op.emit("Slice", [x, *(op.const(limit, "int64") for limit in limits)])
    op.move(x)


SPATIAL: Mapping[str, Callable[[Operation], None]] = {
    "BATCH_TO_SPACE_ND": _batch_to_space,
    "RESIZE_BILINEAR": _resize_bilinear,
    "RESIZE_NEAREST_NEIGHBOR": _resize_nearest,
    "SPACE_TO_BATCH_ND": _space_to_batch,
}
