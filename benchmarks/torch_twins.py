"""The torch modules that some of the zoo's ONNX files were exported from.

The same architecture with the weights that its constructor gives: time does not
depend on their values, so nothing is trained or fetched here.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any

from benchmarks.common import ROOT

SCRIPTS = ROOT / "examples" / "export"

# Start of a model's name -> (export script, what builds the module in it).
# The first that fits counts, so the longer names stand first.
TWINS: tuple[tuple[str, str, Callable[[Any], Any]], ...] = (
    ("efficientnet_lite0", "efficientnet_lite0", lambda script: script.build()),
    ("minilm", "minilm", lambda script: script.MiniLM()),
    ("whisper_decoder_step", "whisper_tiny", lambda script: script.DecoderStep()),
    ("whisper_decoder", "whisper_tiny", lambda script: script.Decoder()),
    ("whisper_encoder", "whisper_tiny", lambda script: script.Encoder()),
    ("mnist", "mnist_cnn", lambda script: script.build()),
    ("neumf", "neumf", lambda script: script.NeuMF(944, 1683)),
)


def has_twin(name: str) -> bool:
    """Whether the model of this name was exported from torch by the project.

    Examples
    --------
    >>> has_twin("minilm_dynamo:128_tokens"), has_twin("magika")
    (True, False)
    """
    return any(name.startswith(start) for start, _, _ in TWINS)


def twin(name: str) -> Any:
    """The torch module behind a model's name, in evaluation mode."""
    for start, script, build in TWINS:
        if name.startswith(start):
            if str(SCRIPTS) not in sys.path:
                sys.path.insert(0, str(SCRIPTS))
            return build(importlib.import_module(script)).eval()
    raise KeyError(f"no torch module is known for {name!r}")
