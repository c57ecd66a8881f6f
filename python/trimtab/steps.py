"""Every declarative step, and rows of them, by name: ``trimtab.steps.Resize(...)``.

A step's module is imported when the step is used first.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from trimtab.processing import STEPS

if TYPE_CHECKING:
    from trimtab.processing.presets import (
        imagenet,
        keras_preprocess,
        yolo,
    )
    from trimtab.processing.steps_audio import (
        FitLength,
        FrameAudio,
        MixToMono,
        PreEmphasize,
        ReadWav,
        Resample,
    )
    from trimtab.processing.steps_boxes import (
        BoxesToOriginal,
        DecodeAnchors,
        DecodeWindows,
        DecodeYolo,
        NameBoxes,
        ReadBoxes,
        SuppressBoxes,
    )
    from trimtab.processing.steps_class import (
        ArgMax,
        Sigmoid,
        Softmax,
        Threshold,
        TopK,
    )
    from trimtab.processing.steps_decode import (
        DecodeImage,
    )
    from trimtab.processing.steps_find_lines import (
        FindTextLines,
    )
    from trimtab.processing.steps_image import (
        CenterCrop,
        CentralFraction,
        Letterbox,
        Pad,
        PadToMultiple,
        Resize,
        ResizeShortest,
        ResizeToMultiple,
    )
    from trimtab.processing.steps_sequence import (
        CtcBeam,
        CtcGreedy,
        DecodeSequence,
    )
    from trimtab.processing.steps_spectrum import (
        Cepstrum,
        Compress,
        KaldiFbank,
        MelSpectrogram,
        NormalizeFeatures,
        Spectrogram,
        WhisperLogMel,
    )
    from trimtab.processing.steps_tensor import (
        AddBatch,
        Cast,
        Gray,
        Layout,
        Normalize,
        ReverseChannels,
        Standardize,
        Transpose,
    )
    from trimtab.processing.steps_text import (
        DecodeBytes,
        Detokenize,
        IndexWords,
        NormalizeText,
        Tokenize,
    )
    from trimtab.processing.steps_vector import (
        BestLabel,
        L2Normalize,
        Linear,
        MeanPool,
    )

__all__ = [
    "AddBatch",
    "ArgMax",
    "BestLabel",
    "BoxesToOriginal",
    "Cast",
    "CenterCrop",
    "CentralFraction",
    "Cepstrum",
    "Compress",
    "CtcBeam",
    "CtcGreedy",
    "DecodeAnchors",
    "DecodeBytes",
    "DecodeImage",
    "DecodeSequence",
    "DecodeWindows",
    "DecodeYolo",
    "Detokenize",
    "FindTextLines",
    "FitLength",
    "FrameAudio",
    "Gray",
    "IndexWords",
    "KaldiFbank",
    "L2Normalize",
    "Layout",
    "Letterbox",
    "Linear",
    "MeanPool",
    "MelSpectrogram",
    "MixToMono",
    "NameBoxes",
    "Normalize",
    "NormalizeFeatures",
    "NormalizeText",
    "Pad",
    "PadToMultiple",
    "PreEmphasize",
    "ReadBoxes",
    "ReadWav",
    "Resample",
    "Resize",
    "ResizeShortest",
    "ResizeToMultiple",
    "ReverseChannels",
    "Sigmoid",
    "Softmax",
    "Spectrogram",
    "Standardize",
    "SuppressBoxes",
    "Threshold",
    "Tokenize",
    "TopK",
    "Transpose",
    "WhisperLogMel",
    "imagenet",
    "keras_preprocess",
    "yolo",
]

_PRESETS = ("imagenet", "keras_preprocess", "yolo")
_HOMES = {
    **{name: module for module, _, name in (x.partition(":") for x in STEPS.values())},
    **dict.fromkeys(_PRESETS, "presets"),
}


def __getattr__(name: str) -> Any:
    """Import the module of a step at its first use."""
    if name not in _HOMES:
        raise AttributeError(f"trimtab.steps has no {name!r}; it has {sorted(_HOMES)}")
    module = importlib.import_module(f"trimtab.processing.{_HOMES[name]}")
    value = getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """All steps, imported or not."""
    return sorted(_HOMES)
