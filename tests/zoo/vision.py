"""Pictures: ImageNet, the MTCNN face cascade, PP-OCR."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from trimtab.demo_jobs import reader_input, reader_letters
from trimtab.processing.decode_class import softmax
from trimtab.processing.decode_ctc import decode_ctc
from trimtab.processing.image import center_crop, normalize_image, resize_image
from trimtab.processing.text_lines import TextLine, cut_text_line

from .exports import export
from .files import fetch, photo
from .model import Run, Tensors, ZooModel

FACE = (slice(60, 200), slice(166, 286))  # of astronaut.png
WALL = (slice(0, 120), slice(330, 450))  # no face there


def face_crop(size: int, where: tuple[slice, slice] = FACE) -> npt.NDArray[np.float32]:
    """A crop of the astronaut as MTCNN takes it: NHWC, about [-1, 1]."""
    crop = resize_image(photo("astronaut.png")[where], size, size)
    return normalize_image(crop, mean=127.5, std=127.5, scale=1)[None]


def _face_inputs(name: str, size: int) -> Tensors:
    return {name: face_crop(size)}


def _face_batch(name: str, size: int) -> dict[str, Tensors]:
    pair = [face_crop(size), face_crop(size, WALL)]
    return {"batch5": {name: np.concatenate(pair * 2 + pair[:1])}}


def pyramid(scale: float) -> npt.NDArray[np.float32]:
    """The whole photo, shrunk, for the first net of the cascade."""
    image = photo("astronaut.png")
    height, width = (round(scale * n) for n in image.shape[:2])
    small = resize_image(image, height, width)
    return normalize_image(small, mean=127.5, std=127.5, scale=1)[None]


def _check_pnet(outputs: Tensors) -> None:
    """The best window of 12 x 12 pixels lies on the face."""
    probability = outputs["softmax"][0, :, :, 1]
    row, column = np.unravel_index(probability.argmax(), probability.shape)
    y, x = (2 * row + 6) / 0.12, (2 * column + 6) / 0.12
    assert probability.max() > 0.9, probability.max()
    assert 60 < y < 200, y
    assert 166 < x < 286, x


def _check_rnet(outputs: Tensors) -> None:
    assert abs(outputs["softmax_1"][0, 1] - 0.989) < 0.01, outputs["softmax_1"]


def _check_onet(outputs: Tensors) -> None:
    """A face, and five landmarks where eyes, nose and mouth are."""
    assert abs(outputs["softmax_2"][0, 1] - 0.964) < 0.03, outputs["softmax_2"]
    x, y = outputs["dense_6"][0, :5], outputs["dense_6"][0, 5:]
    assert x[0] < x[2] < x[1], x  # the nose is between the eyes
    assert max(y[0], y[1]) < y[2] < min(y[3], y[4]), y  # eyes, nose, mouth


def _faces_differ_from_walls(run: Run) -> None:
    for name, value, size, answer in (
        ("mtcnn_rnet", "input_2", 24, "softmax_1"),
        ("mtcnn_onet", "input_3", 48, "softmax_2"),
    ):
        wall = run(name, {value: face_crop(size, WALL)})[answer][0, 1]
        assert wall < 0.1, (name, wall)


def ocr_input(name: str, height: int, width: int) -> npt.NDArray[np.float32]:
    """A picture as PP-OCR takes it: BGR, ImageNet's mean and deviation, NCHW."""
    image = resize_image(photo(name), height, width)[..., ::-1]
    return np.ascontiguousarray(normalize_image(image).transpose(2, 0, 1)[None])


def _det_inputs() -> Tensors:
    return {"x": ocr_input("page.png", 192, 384)}


def _det_more() -> dict[str, Tensors]:
    sizes = {"32x32": (32, 32), "64x320": (64, 320), "480x640": (480, 640)}
    more: dict[str, Tensors] = {
        key: {"x": ocr_input("page.png", *size)} for key, size in sizes.items()
    }
    pair = [ocr_input("page.png", 96, 160), ocr_input("moon.png", 96, 160)]
    more["batch2"] = {"x": np.concatenate(pair)}
    return more


def _check_det(outputs: Tensors) -> None:
    (text,) = outputs.values()
    assert text.shape == (1, 1, 192, 384), text.shape
    assert abs((text > 0.3).mean() - 0.179) < 0.03, (text > 0.3).mean()


def _text_is_on_the_page_not_on_the_moon(run: Run) -> None:
    (moon,) = run("ppocr4_det", {"x": ocr_input("moon.png", 512, 512)}).values()
    assert (moon > 0.3).mean() < 0.03, (moon > 0.3).mean()


def text_line() -> npt.NDArray[np.float32]:
    """One line cut out of the page, as the angle classifier takes it."""
    line = photo("page.png")[8:30, 20:130][..., ::-1]
    resized = resize_image(line, 48, 192)
    return normalize_image(resized, mean=0.5, std=0.5).transpose(2, 0, 1)[None].copy()


def _cls_inputs() -> Tensors:
    return {"x": text_line()}


def _cls_more() -> dict[str, Tensors]:
    upright = text_line()
    turned = upright[:, :, ::-1, ::-1]
    return {"batch6": {"x": np.concatenate([upright, turned] * 3)}}


def _check_cls(outputs: Tensors) -> None:
    (angles,) = outputs.values()
    assert angles.shape == (1, 2), angles.shape
    assert abs(angles.sum() - 1) < 1e-5, angles
    assert angles.argmax() == 0, angles


def _a_line_upside_down_is_seen(run: Run) -> None:
    turned = np.ascontiguousarray(text_line()[:, :, ::-1, ::-1])
    (angles,) = run("ppocr_cls", {"x": turned}).values()
    assert angles.argmax() == 1, angles


def imagenet_input(name: str) -> npt.NDArray[np.float32]:
    """Shorter side to 256, the middle 224 x 224, ImageNet's mean and deviation."""
    image = photo(name)
    scale = 256 / min(image.shape[:2])
    height, width = (round(scale * n) for n in image.shape[:2])
    middle = center_crop(resize_image(image, height, width), 224, 224)
    return np.ascontiguousarray(normalize_image(middle).transpose(2, 0, 1)[None])


CATS = {281, 282, 285}  # tabby, tiger cat, Egyptian cat
ESPRESSO = 967


def _imagenet_batch() -> Tensors:
    names = ("coffee.png", "chelsea.png", "astronaut.png")
    return {"image": np.concatenate([imagenet_input(name) for name in names])}


def _check_espresso(outputs: Tensors) -> None:
    probabilities = softmax(outputs["logits"][0])
    assert probabilities.argmax() == ESPRESSO, probabilities.argmax()
    assert abs(probabilities.max() - 0.84) < 0.06, probabilities.max()


def _efficientnet(name: str, exporter: str) -> ZooModel:
    def a_cat_is_a_cat(run: Run) -> None:
        logits = run(name, {"image": imagenet_input("chelsea.png")})["logits"][0]
        best = {int(i) for i in np.argsort(-logits)[:3]}
        assert best == CATS, best

    return ZooModel(
        name,
        lambda: export("efficientnet_lite0", "--exporter", exporter),
        lambda: {"image": imagenet_input("coffee.png")},
        _check_espresso,
        lambda: {"batch3": _imagenet_batch()},
        a_cat_is_a_cat,
    )


TITLE = TextLine(3.0, 296.0, 30.0, (22.0,), 1.0)  # of page.png
SECOND = TextLine(2.0, 380.0, 20.0, (57.0,), 1.0)


def strip(line: TextLine, width: int | None = None) -> npt.NDArray[np.float32]:
    """A line of the page as the reader takes it, cut to a width."""
    return reader_input(cut_text_line(photo("page.png"), line)[:, :width])


def _rec_more() -> dict[str, Tensors]:
    pair = [strip(TITLE, 320), strip(SECOND, 320)]
    return {
        "width24": {"x": strip(TITLE, 24)},
        "width900": {"x": strip(SECOND, 900)},
        "batch2": {"x": np.concatenate(pair)},
    }


def _check_rec(outputs: Tensors) -> None:
    (steps,) = outputs.values()
    read = decode_ctc(steps[0], reader_letters(fetch("ppocr4_rec")))
    assert read.text.replace(" ", "") == "Region-basedsegmentation", read.text
    assert read.probability > 0.95, read.probability


VISION = [
    _efficientnet("efficientnet_lite0_dynamo", "dynamo"),
    _efficientnet("efficientnet_lite0_torchscript", "torchscript"),
    ZooModel(
        "mtcnn_pnet",
        lambda: fetch("mtcnn_pnet"),
        lambda: {"input_1": pyramid(0.12)},
        _check_pnet,
        lambda: {
            "12x12": {"input_1": pyramid(12 / 512)},
            "200x200": {"input_1": pyramid(200 / 512)},
            "batch2_31x47": {"input_1": np.repeat(pyramid(0.1)[:, :31, :47], 2, 0)},
        },
    ),
    ZooModel(
        "mtcnn_rnet",
        lambda: fetch("mtcnn_rnet"),
        lambda: _face_inputs("input_2", 24),
        _check_rnet,
        lambda: _face_batch("input_2", 24),
        _faces_differ_from_walls,
    ),
    ZooModel(
        "mtcnn_onet",
        lambda: fetch("mtcnn_onet"),
        lambda: _face_inputs("input_3", 48),
        _check_onet,
        lambda: _face_batch("input_3", 48),
    ),
    ZooModel(
        "ppocr4_det",
        lambda: fetch("ppocr4_det"),
        _det_inputs,
        _check_det,
        _det_more,
        _text_is_on_the_page_not_on_the_moon,
    ),
    ZooModel(
        "ppocr4_rec",
        lambda: fetch("ppocr4_rec"),
        lambda: {"x": strip(TITLE)},
        _check_rec,
        _rec_more,
    ),
    ZooModel(
        "ppocr_cls",
        lambda: fetch("ppocr_cls"),
        _cls_inputs,
        _check_cls,
        _cls_more,
        _a_line_upside_down_is_seen,
    ),
]
