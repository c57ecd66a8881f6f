"""The recipe of TensorFlow's Model Garden, run as a user would."""

from __future__ import annotations

import re

import pytest

from .venvs import GARDEN, ROOT, make_venv, run_python

pytestmark = pytest.mark.garden

RECIPE = ROOT / "examples" / "model_garden" / "model_garden.py"


@pytest.mark.parametrize("name", ["MobileNetV2", "ResNet-18", "BERT-tiny"])
def test_a_model_of_the_garden_agrees_with_tensorflow(name: str) -> None:
    python = make_venv("tf-models-official-2.20.0", GARDEN)
    printed = run_python(python, RECIPE, "--model", name)
    print(printed)
    found = re.search(rf"{name} .* difference (\S+) ", printed)
    assert found, printed
    assert float(found[1]) <= 1e-5
