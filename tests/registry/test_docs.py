"""The guide's snippets run as they stand, one after the other."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trimtab import Registry

GUIDE = Path(__file__).parents[2] / "docs" / "registry.md"


def test_the_snippets_of_the_guide_run(
    artefacts: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(artefacts[0], "m.safetensors")
    shutil.copy(artefacts[1], "m2.safetensors")
    names: dict[str, Any] = {
        "x_train": np.zeros((3, 4)),
        "y_train": np.zeros(3),
        "report": {"accuracy": {"value": 0.9, "low": 0.8, "high": 0.95}},
    }
    for code in re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.S):
        exec(compile(code, str(GUIDE), "exec"), names)
    assert names["alias"].version == 1
    assert Registry("models").get("digits@latest").reason == "more rotated digits"
