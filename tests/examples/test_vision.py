"""Classes, faces and text on photos, each through artefacts with stored steps."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import trimtab
from trimtab.errors import FetchError

from . import load_example, unavailable

pytestmark = pytest.mark.zoo


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> tuple[ModuleType, Path]:
    """The example, and the folder that it built."""
    if importlib.util.find_spec("h5py") is None:
        unavailable("the expression net is an HDF5 file: h5py is needed")
    module = load_example("vision/faces.py")
    folder = tmp_path_factory.mktemp("faces")
    try:
        module.build(folder)
    except FetchError as error:
        unavailable(error)
    return module, folder


def test_the_astronaut_is_found_and_happy(
    faces: tuple[ModuleType, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    module, folder = faces
    (face,) = module.main(["--folder", str(folder)])
    left, top, right, bottom = face.box
    assert 160 < left < 200, face
    assert 40 < top < 80, face
    assert 250 < right < 290, face
    assert 150 < bottom < 200, face
    assert face.score > 0.99
    assert (face.expression, face.certainty > 0.95) == ("happy", True)
    left_eye, right_eye, nose, left_mouth, right_mouth = face.landmarks
    assert left_eye[0] < nose[0] < right_eye[0]
    assert left_eye[1] < nose[1] < left_mouth[1]
    assert abs(left_mouth[1] - right_mouth[1]) < 10
    assert "happy" in capsys.readouterr().out


def test_no_face_is_found_on_noise(faces: tuple[ModuleType, Path]) -> None:
    module, folder = faces
    noise = np.random.default_rng(3).integers(0, 256, (200, 240, 3)).astype(np.uint8)
    assert module.FaceFinder(folder)(noise) == []


def test_a_face_that_leaves_the_picture_is_found(
    faces: tuple[ModuleType, Path],
) -> None:
    module, folder = faces
    photo = module.read_image(module.fetch_package_file(*module.PHOTO))
    found = module.FaceFinder(folder)(photo[80:220, 190:330])
    assert len(found) == 1


def test_each_net_is_one_file_that_proves_itself(
    faces: tuple[ModuleType, Path],
) -> None:
    module, folder = faces
    for name in module.FILES:
        model = trimtab.load_model(folder / f"{name}.safetensors")
        assert model.verification is not None
        assert model.verification.n_pairs >= 1
        assert model.pipeline is not None
        assert model.pipeline.not_portable == []
    assert model.class_names is not None
    assert list(model.class_names) == list(module.EXPRESSIONS)


def test_a_page_is_read_through_stored_steps(tmp_path: Path) -> None:
    module = load_example("vision/read_page.py")
    try:
        texts = module.main(["--folder", str(tmp_path)])
    except FetchError as error:
        unavailable(error)
    page = "".join(texts).replace(" ", "")
    for words in ("Region-basedsegmentation", "markersofthecoins", "extremeparts"):
        assert words in page, texts


def test_photos_are_classified_by_one_file(tmp_path: Path) -> None:
    for package in ("torch", "onnxscript"):
        if importlib.util.find_spec(package) is None:
            unavailable(f"exporting EfficientNet needs {package}")
    module = load_example("vision/classify.py")
    path = tmp_path / "efficientnet.safetensors"
    try:
        answers: dict[str, Any] = module.main(["--out", str(path)])
    except FetchError as error:
        unavailable(error)
    best = {name: found[0] for name, found in answers.items()}
    chelsea = next(v for k, v in best.items() if "chelsea" in k)
    coffee = next(v for k, v in best.items() if "coffee" in k)
    assert "cat" in chelsea.label or chelsea.label == "tabby"
    assert coffee.label == "espresso"
    model = trimtab.load_model(path)
    assert model.verification is not None
    assert "torch" in str(model.verification.reference)
    assert model.class_names is not None
    assert len(model.class_names) == 1000
