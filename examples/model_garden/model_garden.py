"""Three models of TensorFlow's Model Garden: build, save, load in trimtab, compare.

    pip install 'tf-models-official==2.20.0' 'tf2onnx>=1.16' trimtab
    python examples/model_garden/model_garden.py [--folder FOLDER] [--seed 0]

Weights are random (trained ones need a download that not everyone may make), batch
statistics too, so that every parameter matters. The exit status is 0 only if all
outputs agree with TensorFlow's to 1e-5 of their largest value.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

# The Model Garden is written for Keras 2, which TensorFlow must be told before it is
# imported. Without the second, TensorFlow's convolutions reorder sums for the machine.
os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

import trimtab

TOLERANCE = 1e-5
BATCHES = (1, 3)
REPEAT = 20
IMAGE = (224, 224, 3)
WORDS = 128
VOCABULARY = 30522


def mobilenet_v2() -> Any:
    """MobileNetV2 1.0 with 1,000 classes."""
    from official.vision.modeling import backbones

    return _classifier(backbones.MobileNet(model_id="MobileNetV2"))


def resnet_18() -> Any:
    """ResNet-18 with 1,000 classes."""
    from official.vision.modeling import backbones

    return _classifier(backbones.ResNet(model_id=18))


def _classifier(backbone: Any) -> Any:
    import tensorflow as tf
    from official.vision.modeling import classification_model

    model = classification_model.ClassificationModel(backbone, num_classes=1000)
    images = tf.keras.Input(IMAGE, name="image")
    return tf.keras.Model(images, tf.keras.layers.Softmax()(model(images)))


def bert_tiny() -> Any:
    """BERT of 2 layers of 128, 2 heads, and a classifier of 2 classes on top."""
    import tensorflow as tf
    from official.nlp.modeling import models, networks

    encoder = networks.BertEncoder(
        vocab_size=VOCABULARY,
        hidden_size=128,
        num_layers=2,
        num_attention_heads=2,
        intermediate_size=512,
        type_vocab_size=2,
        max_sequence_length=512,
    )
    model = models.BertClassifier(encoder, num_classes=2)
    inputs = {
        name: tf.keras.Input((None,), dtype=tf.int32, name=name)
        for name in ("input_word_ids", "input_mask", "input_type_ids")
    }
    return tf.keras.Model(inputs, {"logits": model(inputs)})


MODELS: dict[str, Callable[[], Any]] = {
    "MobileNetV2": mobilenet_v2,
    "ResNet-18": resnet_18,
    "BERT-tiny": bert_tiny,
}


def randomise(model: Any, rng: np.random.Generator) -> None:
    """Give every variable random values that keep activations in range."""
    for variable in model.variables:
        value = variable.numpy()
        if "moving_variance" in variable.name or "gamma" in variable.name:
            value = rng.uniform(0.5, 1.5, value.shape)
        elif value.ndim < 2:
            value = rng.normal(0, 0.1, value.shape)
        variable.assign(value.astype(variable.dtype.as_numpy_dtype))


def inputs_for(
    model: trimtab.Model, n_rows: int, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Random pixels, or random sentences of different lengths."""
    if len(model.inputs) == 1:
        (spec,) = model.inputs
        return {spec.name: rng.normal(0, 1, (n_rows, *IMAGE)).astype(np.float32)}
    lengths = rng.integers(WORDS // 2, WORDS + 1, (n_rows, 1))
    mask = np.arange(WORDS) < lengths
    return {
        "input_word_ids": (mask * rng.integers(1, VOCABULARY, mask.shape)).astype("i4"),
        "input_mask": mask.astype("i4"),
        "input_type_ids": (mask * rng.integers(0, 2, mask.shape)).astype("i4"),
    }


def median_ms(call: Callable[[], Any]) -> float:
    """Median time of a call."""
    call()
    times = []
    for _ in range(REPEAT):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return float(np.median(times)) * 1e3


def compare(name: str, folder: str, rng: np.random.Generator) -> float:
    """Build, save, load, run; the largest relative difference, with a line printed."""
    import tensorflow as tf

    built = MODELS[name]()
    randomise(built, rng)
    path = os.path.join(folder, name)
    built.save(path, include_optimizer=False)
    start = time.perf_counter()
    model = trimtab.load_model(path)
    load_s = time.perf_counter() - start
    reference = tf.saved_model.load(path).signatures["serving_default"]
    worst = 0.0
    for n_rows in BATCHES:
        inputs = inputs_for(model, n_rows, rng)
        tensors = {key: tf.constant(value) for key, value in inputs.items()}
        expected = reference(**tensors)
        results = model.run(inputs)
        assert results.keys() == expected.keys(), (results.keys(), expected.keys())
        for key, value in expected.items():
            difference = np.abs(results[key] - value.numpy()).max()
            worst = max(worst, float(difference / np.abs(value.numpy()).max()))
    inputs = inputs_for(model, 1, rng)
    tensors = {key: tf.constant(value) for key, value in inputs.items()}
    ours = median_ms(lambda: model.run(inputs))
    theirs = median_ms(lambda: reference(**tensors))
    print(
        f"{name:<12} {built.count_params():>11,} parameters  load {load_s:5.1f} s  "
        f"difference {worst:.1e}  batch 1: trimtab {ours:.2f} ms, "
        f"TensorFlow {theirs:.2f} ms",
        flush=True,
    )
    return worst


def main() -> int:
    """Compare all; 0 when every model agrees."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", help="where to save; a temporary one by default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", choices=MODELS, action="append")
    options = parser.parse_args()
    import tensorflow as tf

    tf.random.set_seed(options.seed)
    rng = np.random.default_rng(options.seed)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or temporary
        worst = [compare(name, folder, rng) for name in options.model or MODELS]
    return int(max(worst) > TOLERANCE)


if __name__ == "__main__":
    sys.exit(main())
