"""Real models with real inputs and what their answers must mean.

``MODELS["silero_vad"].path()`` is an ONNX file, ``.inputs()`` what to feed it,
``.check(outputs)`` what must come out. Files come from published packages or
from the scripts of examples/export, are verified and cached; `ZooUnavailable`
says why one cannot be had.
"""

from __future__ import annotations

from .model import Run, Tensors, ZooModel, ZooUnavailable, run_onnxruntime
from .sound import SOUND
from .tables import TABLES
from .text import TEXT
from .vision import VISION

__all__ = [
    "MODELS",
    "Run",
    "Tensors",
    "ZooModel",
    "ZooUnavailable",
    "run_onnxruntime",
]

MODELS: dict[str, ZooModel] = {
    model.name: model for model in VISION + SOUND + TEXT + TABLES
}
