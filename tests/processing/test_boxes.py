"""Boxes against onnxruntime, OpenCV's and plain loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab import _core, steps
from trimtab.errors import InputError, OutOfMemoryError
from trimtab.processing.boxes import (
    Boxes,
    decode_anchors,
    decode_windows,
    decode_yolo,
    ssd_anchors,
    suppress_boxes,
)
from trimtab.processing.geometry import to_original


def some_boxes(n: int, n_classes: int, seed: int) -> Boxes:
    """Many of them over each other, several with equal scores."""
    rng = np.random.default_rng(seed)
    corner = rng.integers(0, 40, (n, 2)).astype(np.float32)
    size = rng.integers(1, 40, (n, 2)).astype(np.float32)
    scores = rng.integers(1, 30, n).astype(np.float32) / 32
    boxes = np.concatenate([corner, corner + size], axis=1)
    return Boxes(boxes, scores, rng.integers(0, n_classes, n))


def onnx_suppress(found: Boxes, n_classes: int, overlap: float, top: int) -> Any:
    """(class, box) of what onnxruntime's NonMaxSuppression keeps, class by class."""
    onnxruntime = pytest.importorskip("onnxruntime")
    from onnx import TensorProto, helper

    names = ["boxes", "scores", "top", "overlap"]
    node = helper.make_node("NonMaxSuppression", names, ["kept"])
    inputs = [
        helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [1, None, 4]),
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, None, None]),
    ]
    constants = [
        helper.make_tensor("top", TensorProto.INT64, [], [top]),
        helper.make_tensor("overlap", TensorProto.FLOAT, [], [overlap]),
    ]
    kept = helper.make_tensor_value_info("kept", TensorProto.INT64, [None, 3])
    graph = helper.make_graph([node], "g", inputs, [kept], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)])
    model.ir_version = 8
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    scores = np.zeros((1, n_classes, len(found)), np.float32)
    scores[0, found.classes, np.arange(len(found))] = found.scores
    rows = session.run(None, {"boxes": found.boxes[None], "scores": scores})[0]
    return {(int(c), int(b)) for _, c, b in rows if scores[0, c, b] > 0 and top > 0}


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 60),
    st.integers(1, 4),
    st.sampled_from([0.125, 0.25, 0.5, 0.875]),  # exact in float32 too
    st.integers(0, 99),
)
def test_suppression_is_onnxruntimes(
    n: int, n_classes: int, overlap: float, seed: int
) -> None:
    found = some_boxes(n, n_classes, seed)
    kept = suppress_boxes(found, overlap=overlap, max_boxes=n)
    assert (np.diff(kept.scores) <= 0).all()
    ours = {
        (int(c), *box) for c, box in zip(kept.classes, kept.boxes.tolist(), strict=True)
    }
    theirs = onnx_suppress(found, n_classes, overlap, n)
    assert ours == {(c, *found.boxes[b].tolist()) for c, b in theirs}


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 80), st.floats(0, 1), st.integers(1, 20), st.integers(0, 99))
def test_suppression_by_the_definition(
    n: int, overlap: float, top: int, seed: int
) -> None:
    found = some_boxes(n, 3, seed)
    order = sorted(range(n), key=lambda i: -found.scores[i])
    kept: list[int] = []
    for i in order:
        if all(iou(found.boxes[i], found.boxes[k]) <= overlap for k in kept):
            kept.append(i)
    ours = suppress_boxes(found, overlap=overlap, max_boxes=top, per_class=False)
    np.testing.assert_array_equal(ours.boxes, found.boxes[kept[:top]])


def iou(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> float:
    size = np.maximum(0, np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]))
    both = np.float32(size.prod())
    area = np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2])
    return float(both / (area - both))


def test_the_bound_is_compared_in_float64_as_torchvision_does() -> None:
    """3 / 10 in float32 is above 0.3: dropped. (onnxruntime rounds 0.3 too: kept.)"""
    two = Boxes([[0, 0, 10, 1], [0, 0, 3, 1]], [0.9, 0.8], [0, 0])
    assert len(suppress_boxes(two, overlap=0.3)) == 1
    assert len(suppress_boxes(two, overlap=0.31)) == 2


def test_nothing_and_nan_and_no_area() -> None:
    empty = Boxes(np.empty((0, 4)), np.empty(0), np.empty(0))
    assert len(suppress_boxes(empty)) == 0
    points = Boxes(np.ones((3, 4)), np.ones(3), np.zeros(3))
    assert len(suppress_boxes(points)) == 3  # 0 / 0 is no overlap
    odd = Boxes(np.full((3, 4), np.nan), np.array([np.nan, 1, 2]), np.zeros(3))
    assert len(suppress_boxes(odd)) == 3
    with pytest.raises(InputError, match="expected n boxes"):
        Boxes(np.ones((2, 4)), np.ones(3), np.ones(2))


def test_the_kernel_checks_its_arrays() -> None:
    boxes, classes = np.ones((3, 4), np.float32), np.zeros(3, np.int32)
    for arguments in (
        (boxes[:, :3], classes, 0.5, 3),
        (boxes.astype(float), classes, 0.5, 3),
        (boxes, classes[:2], 0.5, 3),
        (boxes[::2], classes, 0.5, 3),
        (boxes, classes, 0.5, -1),
    ):
        with pytest.raises(ValueError, match=r"expected|axis|gaps|boxes"):
            _core.suppress_boxes(*arguments)
    _core.fail_alloc(1)
    try:
        with pytest.raises(OutOfMemoryError):
            _core.suppress_boxes(boxes, classes, 0.5, 3)
    finally:
        _core.fail_alloc(0)


# ---- decoding ---------------------------------------------------------------------


@pytest.mark.parametrize("multi_label", [False, True])
def test_both_yolo_heads_are_decoded_by_the_definition(multi_label: bool) -> None:
    rng = np.random.default_rng(2)
    rows = rng.random((50, 9)).astype(np.float32)
    rows[:, :4] *= 100
    expected_new, expected_old = [], []
    for cx, cy, w, h, objectness, *scores in rows.tolist():
        box = (cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2)
        all_scores = [objectness, *scores]
        for c, score in enumerate(all_scores):
            if score > 0.7 and (multi_label or score == max(all_scores)):
                expected_new.append((*box, score, c))
        for c, score in enumerate(scores):
            joint = float(np.float32(score) * np.float32(objectness))
            best = multi_label or score == max(scores)
            if objectness > 0.4 and joint > 0.4 and best:
                expected_old.append((*box, joint, c))
    for output, has_objectness, score, expected in (
        (rows.T[None], False, 0.7, expected_new),
        (rows[None], True, 0.4, expected_old),
    ):
        step = steps.DecodeYolo(has_objectness, score, multi_label)
        for value in (output, (output, "more")):
            found = step(value, {})
            assert len(expected) > 3
            np.testing.assert_allclose(
                np.column_stack([found.boxes, found.scores, found.classes]),
                expected,
                rtol=1e-5,
                atol=1e-4,
            )


def test_other_shapes_are_no_yolo_head() -> None:
    for shape in ((2, 9, 5), (9,), (1, 4, 10)):
        with pytest.raises(InputError, match="expected"):
            decode_yolo(np.zeros(shape), has_objectness=False)


def test_boxes_of_models_that_suppress_themselves() -> None:
    rows = np.array([[1, 2, 5, 8, 0.9, 3], [0, 0, 1, 1, 0.1, 0]], np.float32)
    for value in (rows, rows[None], (rows[None], "more")):
        found = steps.ReadBoxes()(value, {})
        assert found.boxes.tolist() == [[1, 2, 5, 8]]
        assert found.classes.tolist() == [3]
    centred = rows.copy()
    centred[0, :4] = [3, 5, 4, 6]
    assert steps.ReadBoxes("cxcywh")(centred, {}).boxes.tolist() == [[1, 2, 5, 8]]
    # TensorFlow's detectors: shares of the picture, y first, classes from 1 on
    shares = rows[None, :, [1, 0, 3, 2]] / 8
    value = (shares, rows[None, :, 5], rows[None, :, 4], np.array([2.0]))
    step = steps.ReadBoxes("yxyx", (0, 2, 1), 8, 8, first_class=1)
    found = step(value, {})
    assert found.boxes.tolist() == [[1, 2, 5, 8]]
    assert found.classes.tolist() == [2]
    bare = steps.ReadBoxes(positions=(0, 1, -1))((rows[:, :4], rows[:, 4]), {})
    assert bare.classes.tolist() == [0]
    for step, bad, text in (
        (steps.ReadBoxes(), rows[:, :5], "n, 6"),
        (steps.ReadBoxes(positions=(0, 1, 2)), (rows, rows), "gives 2 outputs"),
        (steps.ReadBoxes(positions=(0, 1, -1)), (rows[:, :4], rows), "2 boxes"),
        (steps.ReadBoxes(first_class=9), rows, "a class 3"),
    ):
        with pytest.raises(InputError, match=text):
            step(bad, {})
    with pytest.raises(InputError, match="expected 3"):
        steps.ReadBoxes(positions=(1,))


def test_offsets_to_anchors_are_undone() -> None:
    """Encode boxes by the formula of SSD, decode, and they are back."""
    rng = np.random.default_rng(0)
    anchors = ssd_anchors([(3, 4), (2, 2)], [[(0.2, 0.3), (0.3, 0.2)], [(0.5, 0.5)]])
    assert anchors.shape == (3 * 4 * 2 + 4, 4)
    centre, size = rng.random((28, 2)), rng.random((28, 2)) + 0.1
    offsets = np.concatenate(
        [
            (centre - anchors[:, :2]) / anchors[:, 2:] / 0.1,
            np.log(size / anchors[:, 2:]) / 0.2,
        ],
        axis=1,
    )
    expected = np.concatenate([centre - size / 2, centre + size / 2], axis=1)
    np.testing.assert_allclose(decode_anchors(offsets, anchors), expected, atol=1e-5)
    turned = offsets[:, [1, 0, 3, 2]]
    np.testing.assert_allclose(
        decode_anchors(turned, anchors, y_first=True), expected, atol=1e-5
    )
    scores = np.zeros((1, 28, 3), np.float32)
    scores[0, 5, 2] = 0.9
    scores[0, 6, 0] = 1.0  # background
    step = steps.DecodeAnchors(anchors.tobytes(), 200, 100)
    found = step((offsets[None], scores), {})
    assert found.classes.tolist() == [1]
    np.testing.assert_allclose(
        found.boxes[0], expected[5] * [100, 200, 100, 200], atol=1e-3
    )
    assert np.isfinite(decode_anchors([[0, 0, 1e9, 1e9]], [[0, 0, 1, 1]])).all()
    with pytest.raises(InputError, match="offsets for"):
        decode_anchors(offsets[:3], anchors)
    with pytest.raises(InputError, match="16 for each"):
        steps.DecodeAnchors(b"123", 1, 1)
    with pytest.raises(InputError, match="finite"):
        steps.DecodeAnchors(np.full(4, np.nan, np.float32).tobytes(), 1, 1)


def test_sliding_windows_become_boxes() -> None:
    offsets = np.zeros((1, 3, 4, 4), np.float32)
    offsets[0, 2, 1] = [0.1, -0.1, 0.2, 0.5]
    scores = np.zeros((1, 3, 4, 2), np.float32)
    scores[0, 2, 1, 1] = 0.8
    for value in ((offsets, scores), (scores, offsets)):
        found = steps.DecodeWindows()(value, {})
        expected = [2 + 1.2, 4 - 1.2, 14 + 2.4, 16 + 6.0]
        np.testing.assert_allclose(found.boxes, [expected], rtol=1e-6)
    with pytest.raises(InputError, match="windows"):
        decode_windows(np.zeros((2, 2)), np.zeros((2, 2, 3)))


def test_from_a_letterboxed_picture_to_named_boxes() -> None:
    context: dict[str, Any] = {}
    steps.Letterbox(64, 64)(np.zeros((50, 100, 3), np.uint8), context)
    seen = Boxes([[10, 20, 90, 30], [10, 20, 42, 41]], [0.9, 0.8], [1, 0])
    value: Any = seen
    for step in (
        steps.SuppressBoxes(),
        steps.BoxesToOriginal(),
        steps.NameBoxes(["cat", "dog"]),
    ):
        value = step(value, context)
    assert [one.label for one in value] == ["dog", "cat"]
    undone = to_original(seen.boxes, context)
    assert value[1].box == pytest.approx(undone[1].tolist(), abs=1e-4)
    assert value[0].box[2] == 100  # clipped
    with pytest.raises(InputError, match="1 labels, but class 1"):
        steps.NameBoxes(["cat"])(seen, {})
    with pytest.raises(InputError, match="expected Boxes"):
        steps.SuppressBoxes()(np.zeros((2, 4)), {})


def test_lines_of_text_in_the_original_picture() -> None:
    page = np.zeros((1, 1, 32, 64), np.float32)
    page[..., 10:16, 8:56] = 0.9
    context = {"scale": (0.5, 0.25), "offset": (0.0, 0.0)}
    (line,) = steps.FindTextLines()(page, context)
    assert float(line.middle(line.centre)) == pytest.approx(25.0)
    assert line.centre == pytest.approx(128, abs=1)
    with pytest.raises(InputError, match="cannot be moved back"):
        steps.FindTextLines()(page, {"offset": (1.0, 0.0)})
    with pytest.raises(InputError, match="one map"):
        steps.FindTextLines()(np.zeros((2, 1, 8, 8)), {})


@pytest.mark.zoo
def test_a_face_is_found_where_it_is() -> None:
    """MTCNN's first net on the whole photo, shrunk so that the face fills a window."""
    from tests.zoo.files import fetch, photo

    import trimtab

    find = trimtab.Pipeline(
        [
            steps.Resize(61, 61, "opencv-area"),
            steps.Normalize(127.5, 127.5, 1.0),
            steps.AddBatch(),
        ],
        trimtab.load_model(fetch("mtcnn_pnet"), threads=1),
        [
            steps.DecodeWindows(0.9),
            steps.SuppressBoxes(0.3),
            steps.BoxesToOriginal(),
            steps.NameBoxes(["face"]),
        ],
    )
    best = find(photo("astronaut.png"))[0]
    assert best.label == "face"
    left, top, right, bottom = best.box
    assert 160 < left < 200
    assert 50 < top < 90
    assert 250 < right < 290
    assert 150 < bottom < 210
