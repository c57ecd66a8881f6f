"""What comes before and after a model: the table of declarative steps.

A step is one class in one module and one line in `STEPS`; its module is imported when
a pipeline uses it.
"""

from __future__ import annotations

import importlib
from typing import Any

from trimtab.errors import ModelFormatError
from trimtab.processing.step import Step

__all__ = ["STEPS", "make_step"]

#: kind -> ``module:class`` of this package
STEPS: dict[str, str] = {
    # sound
    "cepstrum": "steps_spectrum:Cepstrum",
    "compress": "steps_spectrum:Compress",
    "fit_length": "steps_audio:FitLength",
    "frame": "steps_audio:FrameAudio",
    "kaldi_fbank": "steps_spectrum:KaldiFbank",
    "mel": "steps_spectrum:MelSpectrogram",
    "mono": "steps_audio:MixToMono",
    "normalize_features": "steps_spectrum:NormalizeFeatures",
    "pre_emphasize": "steps_audio:PreEmphasize",
    "read_wav": "steps_audio:ReadWav",
    "resample": "steps_audio:Resample",
    "stft": "steps_spectrum:Spectrogram",
    "whisper_log_mel": "steps_spectrum:WhisperLogMel",
    # sequences
    "ctc_beam": "steps_sequence:CtcBeam",
    "ctc_greedy": "steps_sequence:CtcGreedy",
    "decode_sequence": "steps_sequence:DecodeSequence",
    # text
    "best_label": "steps_vector:BestLabel",
    "decode_bytes": "steps_text:DecodeBytes",
    "detokenize": "steps_text:Detokenize",
    "index_words": "steps_text:IndexWords",
    "l2_normalize": "steps_vector:L2Normalize",
    "linear": "steps_vector:Linear",
    "mean_pool": "steps_vector:MeanPool",
    "normalize_text": "steps_text:NormalizeText",
    "tokenize": "steps_text:Tokenize",
    # classes
    "add_batch": "steps_tensor:AddBatch",
    "arg_max": "steps_class:ArgMax",
    "boxes_to_original": "steps_boxes:BoxesToOriginal",
    "cast": "steps_tensor:Cast",
    "center_crop": "steps_image:CenterCrop",
    "central_fraction": "steps_image:CentralFraction",
    "decode_anchors": "steps_boxes:DecodeAnchors",
    "decode_image": "steps_decode:DecodeImage",
    "decode_windows": "steps_boxes:DecodeWindows",
    "decode_yolo": "steps_boxes:DecodeYolo",
    "find_text_lines": "steps_find_lines:FindTextLines",
    "gray": "steps_tensor:Gray",
    "layout": "steps_tensor:Layout",
    "letterbox": "steps_image:Letterbox",
    "name_boxes": "steps_boxes:NameBoxes",
    "normalize": "steps_tensor:Normalize",
    "pad": "steps_image:Pad",
    "pad_to_multiple": "steps_image:PadToMultiple",
    "read_boxes": "steps_boxes:ReadBoxes",
    "resize": "steps_image:Resize",
    "resize_shortest": "steps_image:ResizeShortest",
    "resize_to_multiple": "steps_image:ResizeToMultiple",
    "reverse_channels": "steps_tensor:ReverseChannels",
    "sigmoid": "steps_class:Sigmoid",
    "softmax": "steps_class:Softmax",
    "standardize": "steps_tensor:Standardize",
    "suppress_boxes": "steps_boxes:SuppressBoxes",
    "threshold": "steps_class:Threshold",
    "top_k": "steps_class:TopK",
    "transpose": "steps_tensor:Transpose",
}


def make_step(kind: str, parameters: dict[str, Any], assets: dict[str, bytes]) -> Step:
    """Make a step from what an artefact stores of it.

    Parameters
    ----------
    kind : str
        Key of `STEPS`.
    parameters : dict
        Its fields by name.
    assets : dict of str to bytes
        Those fields that are bytes.

    Returns
    -------
    step : Step

    Raises
    ------
    ModelFormatError
        There is no such kind, or it refuses the parameters.

    Examples
    --------
    >>> make_step("softmax", {}, {})
    Softmax(axis=-1)
    """
    if kind not in STEPS:
        raise ModelFormatError(f"there is no step {kind!r}; there are {sorted(STEPS)}")
    module, _, name = STEPS[kind].partition(":")
    step: type[Step] = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    return step.from_config(parameters, assets)
