"""The custom operator behind object detectors: boxes decoded, the best ones kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from trimtab.errors import ModelFormatError, UnsupportedOpError
from trimtab.formats.tflite.flexbuffer import read_numbers
from trimtab.formats.tflite.operation import Operation

__all__ = ["DETECTION"]

_MOST = 1 << 16


def _options(op: Operation) -> dict[str, float]:
    options = read_numbers(op.record.custom_options)
    for name in ("max_detections", "num_classes"):
        if not 1 <= options.get(name, 0) <= _MOST:
            raise ModelFormatError(f"{op.title}: {name} is {options.get(name)}")
    for name in ("y_scale", "x_scale", "h_scale", "w_scale"):
        if not 0 < options.get(name, 0) < math.inf:
            raise ModelFormatError(f"{op.title}: {name} is {options.get(name)}")
    for name in ("nms_score_threshold", "nms_iou_threshold"):
        if not -math.inf < options.get(name, math.nan) < math.inf:
            raise ModelFormatError(f"{op.title}: {name} is {options.get(name)}")
    return options


def _columns(op: Operation, x: str, begin: int, end: int) -> str:
    limits = [op.const([value], "int64") for value in (begin, end, -1)]
    return op.emit("Slice", [x, *limits])


def _boxes(op: Operation, options: Mapping[str, float]) -> str:
    """Corners [1, n, 4] from offsets to anchors, which have centre and size."""
    codes, anchors = op.x(0), op.x(2)
    scales = [options[f"{side}_scale"] for side in "yxhw"]
    codes = op.emit("Div", [_columns(op, codes, 0, 4), op.const(scales, "float32")])
    sizes = _columns(op, anchors, 2, 4)
    moved = op.emit("Mul", [_columns(op, codes, 0, 2), sizes])
    centre = op.emit("Add", [moved, _columns(op, anchors, 0, 2)])
    half = op.emit("Mul", [op.emit("Exp", [_columns(op, codes, 2, 4)]), sizes])
    half = op.emit("Mul", [half, op.const(0.5, "float32")])
    corners = [op.emit("Sub", [centre, half]), op.emit("Add", [centre, half])]
    return op.emit("Concat", corners, axis=-1)


def _detection(op: Operation) -> None:
    options = _options(op)
    is_regular = bool(options.get("use_regular_nms", 0))
    if not is_regular and options.get("max_classes_per_detection", 1) != 1:
        raise UnsupportedOpError(f"{op.title}: several classes for one detection")
    if len(op.record.outputs) != 4 or op.tensor(1).rank != 3:
        raise ModelFormatError(
            f"{op.title}: {len(op.record.outputs)} outputs, scores of shape "
            f"{op.tensor(1).shape}"
        )
    n_classes = int(options["num_classes"])
    background = op.tensor(1).shape[2] - n_classes
    if background < 0:
        raise ModelFormatError(
            f"{op.title}: {n_classes} classes, scores of {op.tensor(1).shape}"
        )
    boxes = _boxes(op, options)
    scores = _columns(
        op, op.x(1), background, background + n_classes
    )  # [1, n, classes]
    ranked = op.emit("Transpose", [scores], perm=[0, 2, 1])
    if not is_regular:
        ranked = op.emit("ReduceMax", [ranked, op.const([1], "int64")], keepdims=1)
    per_class = options.get("detections_per_class", 100) if is_regular else None
    most = int(options["max_detections"])
    kept = op.emit(
        "NonMaxSuppression",
        [
            boxes,
            ranked,
            op.const([most if per_class is None else int(per_class)], "int64"),
            op.const([options["nms_iou_threshold"]], "float32"),
            op.const([options["nms_score_threshold"]], "float32"),
        ],
    )  # rows of batch, class, box
    best = op.emit("GatherND", [ranked, kept])
    count = op.emit("Shape", [best])
    count = op.emit("Min", [count, op.const([most], "int64")])
    best, order = op.builder.ops("TopK", [best, count], n_outputs=2, axis=0)
    kept = op.emit("Gather", [kept, order], axis=0)
    box = op.emit("Gather", [kept, op.const(2, "int64")], axis=1)
    if is_regular:
        label = op.emit("Gather", [kept, op.const(1, "int64")], axis=1)
    else:
        labels = op.emit("ArgMax", [scores], axis=2, keepdims=0)
        label = op.emit("Gather", [op.emit("Squeeze", [labels]), box], axis=0)
    corners = op.emit("Squeeze", [boxes, op.const([0], "int64")])
    found = [
        op.emit("Gather", [corners, box], axis=0),
        op.cast(label, "float32"),
        best,
    ]
    room = op.emit("Sub", [op.const([most], "int64"), count])
    for place, value in enumerate(found):
        pads = [op.const([0], "int64"), room]
        if place == 0:  # of two dims
            zero = op.const([0], "int64")
            pads = [zero, zero, room, zero]
        padded = op.emit("Pad", [value, op.emit("Concat", pads, axis=0)])
        op.write(op.emit("Unsqueeze", [padded, op.const([0], "int64")]), place)
    op.write(op.cast(count, "float32"), 3)


DETECTION: Mapping[str, Callable[[Operation], None]] = {
    "TFLite_Detection_PostProcess": _detection,
}
