"""A photo and a sentence are explained by what is on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.zoo import MODELS, ZooUnavailable

import trimtab
from trimtab import steps

from . import load_example


@pytest.mark.zoo
def test_a_cup_is_an_espresso_by_what_is_in_it(tmp_path: Path) -> None:
    """On the zoo's export, with the steps of examples/vision."""
    pytest.importorskip("matplotlib").use("Agg")
    classify = load_example("vision/classify.py")
    module = load_example("explain/why.py")
    try:
        path = MODELS["efficientnet_lite0_torchscript"].path()
    except ZooUnavailable as reason:
        pytest.skip(str(reason))
    model = trimtab.load_model(path)
    names = classify.class_names()
    pipeline = trimtab.Pipeline(
        [steps.DecodeImage(), *steps.imagenet(224, method="pillow-bicubic")],
        model,
        [steps.Softmax(), steps.TopK(3, labels=tuple(names))],
    )
    path = tmp_path / "net.safetensors"
    model.save(path, pipeline=pipeline, class_names=names)
    found, *_ = module.main(["--image", str(path), "--out", str(tmp_path)])
    assert found.target_name == "espresso"
    assert found.prediction > 0.5
    heat = found.attribution[..., 0]
    row, column = np.unravel_index(int(heat.argmax()), heat.shape)
    # the coffee is in the upper middle of the photo
    assert 0.15 < row / heat.shape[0] < 0.6
    assert 0.3 < column / heat.shape[1] < 0.7
    assert (tmp_path / "why_photo.html").stat().st_size < 200_000
