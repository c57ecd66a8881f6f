"""The models that are optimised, each with data to calibrate and data to judge it by.

``Case.latency`` is one sample; the labelled pools hold nothing that a net has
learned from.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from benchmarks import labelled
from benchmarks.labelled import Arrays, Labelled
from trimtab.fetch import cache_folder

N_CALIBRATION = 32
N_VALIDATION = 96
N_HELD_OUT = 64
N_HEAD = 1000  # sentences that the logistic head learns from


@dataclass(frozen=True)
class Case:
    """A model in f32 and its data.

    Attributes
    ----------
    name : str
    path : Path
        The ONNX file.
    calibration, validation, held_out : mapping of str to ndarray
        Inputs by name, samples along axis 0: to take ranges from, to choose and prove
        with where there are no labels, and for no one but the judge.
    answer : {"class", "vector"}
        What agreement means: the largest output, or its direction.
    is_transformer : bool
        Peers want to be told.
    pool : Labelled, optional
        Unseen labelled samples, for the drop in accuracy.
    threads : int, default=0
        Of one call, for tools that time layers; 0: all.
    """

    name: str
    path: Path
    calibration: Arrays
    validation: Arrays
    held_out: Arrays
    answer: Literal["class", "vector"] = "class"
    is_transformer: bool = False
    pool: Labelled | None = field(default=None, repr=False)
    threads: int = 0

    @property
    def latency(self) -> dict[str, npt.NDArray[Any]]:
        """The sample that is timed."""
        return {name: array[:1] for name, array in self.held_out.items()}


def _exported(script: str, *options: str) -> Path:
    from tests.zoo.exports import export

    return export(script, *options)


def _pictures(name: str, script: str, *options: str) -> Case:
    return Case(
        name,
        _exported(script, *options),
        labelled.crops(N_CALIBRATION, "left"),
        labelled.crops(N_VALIDATION, "left", seed=1),
        labelled.crops(N_HELD_OUT, "right"),
    )


def efficientnet() -> Case:
    """EfficientNet-Lite0, ImageNet's weights, crops of photographs."""
    return _pictures("efficientnet_lite0", "efficientnet_lite0")


def resnet50() -> Case:
    """A net of ResNet-50's shape: random weights, so only its speed and SQNR count."""
    return _pictures("resnet50_shape", "resnet50")


def minilm() -> Case:
    """The sentence encoder on passages of 128 tokens."""
    rows = labelled.prose(N_CALIBRATION + N_VALIDATION + N_HELD_OUT)
    n = N_CALIBRATION + N_VALIDATION
    return Case(
        "minilm_128",
        _exported("minilm"),
        {name: array[:N_CALIBRATION] for name, array in rows.items()},
        {name: array[N_CALIBRATION:n] for name, array in rows.items()},
        {name: array[n:] for name, array in rows.items()},
        answer="vector",
        is_transformer=True,
    )


def whisper() -> Case:
    """Whisper tiny.en's encoder on a recording, shifted, scaled and with noise."""
    from tests.zoo.files import speech

    from trimtab.processing.mel import log_mel_whisper

    rng = np.random.default_rng(0)
    sound = speech()
    rows = []
    for _ in range(32):
        moved = np.roll(sound, rng.integers(sound.size)) * rng.uniform(0.3, 1.5)
        noise = rng.standard_normal(sound.size) * 10 ** rng.uniform(-4, -2)
        rows.append(log_mel_whisper((moved + noise).clip(-1, 1).astype(np.float32)))
    mel = np.stack(rows)
    return Case(
        "whisper_encoder",
        _exported("whisper_tiny", "--part", "encoder"),
        {"mel": mel[:8]},
        {"mel": mel[8:24]},
        {"mel": mel[24:]},
        answer="vector",
        is_transformer=True,
    )


def mnist() -> Case:
    """A CNN that has learned 1,000 digits; the other 4,000 are the pool."""
    digits = labelled.mnist()
    learned = np.arange(len(digits)) % 5 == 4
    known, pool = digits.rows(learned), digits.rows(~learned)
    return Case(
        "mnist_cnn",
        _exported("mnist_cnn", "--part", "few"),
        known.rows(slice(N_CALIBRATION)).inputs,
        pool.rows(slice(0, 2 * N_VALIDATION, 2)).inputs,
        pool.rows(slice(1, 2 * N_HELD_OUT, 2)).inputs,
        pool=pool,
    )


def sentiment() -> Case:
    """MiniLM with a logistic head on sentences of 64 tokens."""
    sentences = labelled.sentiment()
    known, pool = sentences.rows(slice(N_HEAD)), sentences.rows(slice(N_HEAD, None))
    return Case(
        "minilm_sentiment",
        _with_head(_exported("minilm"), known),
        known.rows(slice(N_CALIBRATION)).inputs,
        pool.rows(slice(0, 2 * N_VALIDATION, 2)).inputs,
        pool.rows(slice(1, 2 * N_HELD_OUT, 2)).inputs,
        is_transformer=True,
        pool=pool,
    )


def _with_head(encoder: Path, known: Labelled) -> Path:
    """The encoder's file with two logits behind its embedding, made once."""
    key = hashlib.sha256(encoder.name.encode() + Path(__file__).read_bytes())
    out = cache_folder() / "exports" / f"sentiment-{key.hexdigest()[:16]}.onnx"
    if out.is_file():
        return out
    import onnx
    from onnx import helper, numpy_helper
    from onnxruntime import InferenceSession

    session = InferenceSession(str(encoder), providers=["CPUExecutionProvider"])
    parts = [known.rows(slice(i, i + 50)).inputs for i in range(0, len(known), 50)]
    vectors = np.concatenate([session.run(None, dict(part))[0] for part in parts])
    fit_head = labelled.example("text/sentiment.py").fit_head
    weights, bias = fit_head(vectors, known.labels == 1)
    model = onnx.load(str(encoder))
    graph = model.graph
    (embedding,) = (value.name for value in graph.output)
    head = {
        "head.weight": np.stack([np.zeros_like(weights), weights], 1),
        "head.bias": np.array([0, bias]),
    }
    for name, array in head.items():
        tensor = numpy_helper.from_array(array.astype(np.float32), name)
        graph.initializer.append(tensor)
    graph.node.append(helper.make_node("Gemm", [embedding, *head], ["logits"]))
    del graph.output[:]
    shape = ["batch", 2]
    logits = helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, shape)
    graph.output.append(logits)
    onnx.checker.check_model(model)
    fresh = out.with_suffix(f".{os.getpid()}.part")
    onnx.save(model, str(fresh))
    fresh.replace(out)
    return out


CASES: dict[str, Callable[[], Case]] = {
    "efficientnet_lite0": efficientnet,
    "resnet50_shape": resnet50,
    "minilm_128": minilm,
    "whisper_encoder": whisper,
    "mnist_cnn": mnist,
    "minilm_sentiment": sentiment,
}
