"""Runs where TensorFlow is installed: makes SavedModels, and loads them in trimtab.

    python tensorflow_worker.py make FOLDER
    python tensorflow_worker.py load FOLDER NAME [SIGNATURE]
    python tensorflow_worker.py record_audio|load_audio FOLDER
    python tensorflow_worker.py facts
    python tensorflow_worker.py save_golden FOLDER ARTEFACT SIGNATURE
    python tensorflow_worker.py run_saved_model FOLDER

`make` writes FOLDER/NAME/model and, for each signature, FOLDER/NAME/SIGNATURE.npz with
inputs and what TensorFlow gives for them. `load` prints, as JSON, what trimtab makes
of one: its signature and how far its outputs are from these, or its error.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import numpy as np

MAKERS: dict[str, Callable[[Path], None]] = {}
RNG = np.random.default_rng(3)


def maker(make: Callable[[Path], None]) -> Callable[[Path], None]:
    MAKERS[make.__name__] = make
    return make


def floats(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def save(module: Any, folder: Path, cases: dict[str, dict[str, Any]]) -> None:
    """Save a module with functions as signatures, and what they give."""
    import tensorflow as tf

    signatures = {name: getattr(module, name) for name in cases}
    tf.saved_model.save(module, str(folder / "model"), signatures)
    record(folder, cases)


def record(folder: Path, cases: dict[str, dict[str, Any]]) -> None:
    """What TensorFlow gives for these inputs once it has loaded the model."""
    import tensorflow as tf

    loaded = tf.saved_model.load(str(folder / "model"))
    for name, inputs in cases.items():
        outputs = loaded.signatures[name](
            **{key: tf.constant(value) for key, value in inputs.items()}
        )
        arrays = {f"in {key}": value for key, value in inputs.items()}
        arrays |= {f"out {key}": value.numpy() for key, value in outputs.items()}
        np.savez(folder / f"{name}.npz", **arrays)


# ---- honest models -----------------------------------------------------------


@maker
def keras3_image(folder: Path) -> None:
    import keras

    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((20, 24, 3), name="picture"),
            layers.Rescaling(1 / 127.5, offset=-1),
            layers.Resizing(16, 16),
            layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(max_value=6),
            layers.DepthwiseConv2D(3, padding="same", activation="swish"),
            layers.MaxPooling2D(2),
            layers.Conv2DTranspose(4, 3, strides=2, activation="gelu"),
            layers.GlobalAveragePooling2D(),
            layers.Dropout(0.5),
            layers.Dense(5, activation="softmax"),
        ]
    )
    for weight in model.weights:
        shape = tuple(weight.shape)
        is_vector = len(shape) == 1
        weight.assign(RNG.uniform(0.5, 1.5, shape) if is_vector else floats(*shape) / 3)
    model.export(str(folder / "model"))
    pixels = RNG.uniform(0, 255, (3, 20, 24, 3)).astype(np.float32)
    record(folder, {"serving_default": {"picture": pixels}})


@maker
def keras3_sequence(folder: Path) -> None:
    import keras

    layers = keras.layers
    words = keras.Input((None,), dtype="int32", name="words")
    x = layers.Embedding(50, 12)(words)
    x = layers.Bidirectional(layers.LSTM(8, return_sequences=True))(x)
    x = layers.GRU(6, return_sequences=True)(x)
    attended = layers.MultiHeadAttention(2, 4)(x, x)
    x = layers.LayerNormalization()(layers.Add()([x, attended]))
    x = layers.SimpleRNN(5)(x)
    model = keras.Model(words, layers.Dense(3, activation="tanh")(x))
    model.export(str(folder / "model"))
    indices = RNG.integers(0, 50, (2, 9)).astype(np.int32)
    record(folder, {"serving_default": {"words": indices}})


@maker
def keras2_two_inputs(folder: Path) -> None:
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    import tf_keras as keras

    layers = keras.layers
    zebra = keras.Input((4,), name="zebra")
    ant = keras.Input((8, 8, 1), name="ant")
    x = layers.Flatten()(layers.Conv2D(3, 3, activation="relu")(ant))
    x = layers.Concatenate()([layers.Dense(6, activation="elu")(zebra), x])
    outputs = {"wide": layers.Dense(7)(x), "deep": layers.Dense(2)(x)}
    model = keras.Model({"zebra": zebra, "ant": ant}, outputs)
    model.compile("adam", {"wide": "mse", "deep": "mse"})
    batch = {"zebra": floats(4, 4), "ant": floats(4, 8, 8, 1)}
    model.fit(batch, {"wide": floats(4, 7), "deep": floats(4, 2)}, verbose=0)
    model.save(str(folder / "model"), save_format="tf")
    inputs = {"zebra": floats(3, 4), "ant": floats(3, 8, 8, 1)}
    record(folder, {"serving_default": inputs})


@maker
def two_signatures(folder: Path) -> None:
    import tensorflow as tf

    class Module(tf.Module):
        def __init__(self) -> None:
            self.weights = tf.Variable(floats(4, 3))

        @tf.function(
            input_signature=[
                tf.TensorSpec([None, 4], tf.float32, name="z"),
                tf.TensorSpec([None, 3], tf.float32, name="a"),
            ]
        )
        def score(self, z: Any, a: Any) -> Any:
            return {"sum": z @ self.weights + a, "alpha": tf.nn.softmax(a), "same": z}

        @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int64, name="n")])
        def count(self, n: Any) -> Any:
            return {"total": tf.reduce_sum(n, axis=-1)}

    cases = {
        "score": {"z": floats(3, 4), "a": floats(3, 3)},
        "count": {"n": RNG.integers(-9, 9, (2, 5))},
    }
    save(Module(), folder, cases)


@maker
def awkward(folder: Path) -> None:
    """Inputs that nothing uses, outputs that are inputs, constants or many."""
    import tensorflow as tf

    class Module(tf.Module):
        @tf.function(
            input_signature=[
                tf.TensorSpec([None], tf.float32, name="x"),
                tf.TensorSpec([], tf.float32, name="scalar"),
                tf.TensorSpec([None, 2], tf.int32, name="unused"),
                tf.TensorSpec([None], tf.bool, name="mask"),
            ]
        )
        def serving_default(self, x: Any, scalar: Any, unused: Any, mask: Any) -> Any:
            outputs = {f"output_{i}": x * float(i) + scalar for i in range(12)}
            twice = x + x
            return {
                **outputs,
                "again": twice,
                "and_again": twice,
                "constant": tf.constant([1.0, 2.0]),
                "input": x,
                "mask_out": tf.logical_not(mask),
            }

    inputs = {
        "x": floats(4),
        "scalar": np.float32(0.5),
        "unused": np.zeros((1, 2), np.int32),
        "mask": np.array([True, False, True]),
    }
    save(Module(), folder, {"serving_default": inputs})


@maker
def control_flow(folder: Path) -> None:
    import tensorflow as tf

    class Module(tf.Module):
        @tf.function(
            input_signature=[
                tf.TensorSpec([None, 3], tf.float32, name="x"),
                tf.TensorSpec([], tf.int32, name="n"),
            ]
        )
        def serving_default(self, x: Any, n: Any) -> Any:
            for i in tf.range(n):
                x = x * 0.5 + tf.cast(i, tf.float32)
            if tf.reduce_sum(x) > 0:  # noqa: SIM108 (becomes an If)
                x = tf.sqrt(tf.abs(x))
            else:
                x = -x
            return {"y": x}

    inputs = {"x": floats(2, 3), "n": np.int32(5)}
    save(Module(), folder, {"serving_default": inputs})


@maker
def wide(folder: Path) -> None:
    """Weights of some size, also within the bodies of an If."""
    import tensorflow as tf

    class Module(tf.Module):
        def __init__(self) -> None:
            self.weights = tf.Variable(floats(40, 60) / 6)
            self.others = tf.Variable(floats(60, 50) / 6)

        @tf.function(input_signature=[tf.TensorSpec([None, 40], tf.float32, name="x")])
        def serving_default(self, x: Any) -> Any:
            hidden = tf.nn.relu(x @ self.weights)
            if tf.reduce_sum(x) > 0:
                y = hidden @ self.others
            else:
                y = hidden @ (self.others * tf.constant(floats(60, 50)))
            return {"y": y}

    save(Module(), folder, {"serving_default": {"x": floats(3, 40)}})


@maker
def elementary(folder: Path) -> None:
    """Functions that tf2onnx does not translate by itself."""
    import tensorflow as tf

    class Module(tf.Module):
        @tf.function(
            input_signature=[
                tf.TensorSpec([None, 5], tf.float32, name="x"),
                tf.TensorSpec([None, 5], tf.float32, name="y"),
            ]
        )
        def serving_default(self, x: Any, y: Any) -> Any:
            return {
                "erfc": tf.math.erfc(y),
                "expm1": tf.math.expm1(y),
                "log1p": tf.math.log1p(x),
                "xlogy": tf.math.xlogy(x, x),
                "xdivy": tf.math.xdivy(x, y),
                "mul_no_nan": tf.math.multiply_no_nan(1.0 / x, x),
                "l2": tf.nn.l2_loss(y),
                "gelu": tf.nn.gelu(y) + tf.nn.gelu(y, approximate=True),
            }

    x = np.abs(floats(3, 5))
    x[0, :2] = 0
    save(Module(), folder, {"serving_default": {"x": x, "y": floats(3, 5) + 0.1}})


@maker
def table(folder: Path) -> None:
    import tensorflow as tf

    class Module(tf.Module):
        def __init__(self) -> None:
            keys, values = tf.range(5, dtype=tf.int64), tf.range(5, 10, dtype=tf.int64)
            filled = tf.lookup.KeyValueTensorInitializer(keys, values)
            self.table = tf.lookup.StaticHashTable(filled, default_value=-1)

        @tf.function(input_signature=[tf.TensorSpec([None], tf.int64, name="i")])
        def serving_default(self, i: Any) -> Any:
            return {"y": self.table.lookup(i)}

    save(Module(), folder, {"serving_default": {"i": np.arange(8)}})


# ---- models that must be refused ---------------------------------------------


def refuse(name: str, build: Callable[[Any], Any], dtype: str = "float32") -> None:
    """A model whose only function is `build`."""

    def make(folder: Path) -> None:
        import tensorflow as tf

        class Module(tf.Module):
            @tf.function(input_signature=[tf.TensorSpec([2, 2], dtype, name="x")])
            def serving_default(self, x: Any) -> Any:
                return {"y": build(x)}

        module = Module()
        signatures = {"serving_default": module.serving_default}
        tf.saved_model.save(module, str(folder / "model"), signatures)

    MAKERS[name] = make


def _tf() -> Any:
    import tensorflow as tf

    return tf


refuse("reads_file", lambda x: (_tf().io.read_file("/etc/passwd"), x)[1])
refuse("reads_file_used", lambda x: _tf().strings.length(_tf().io.read_file("/etc/h")))
refuse("writes_file", lambda x: (_tf().io.write_file("/tmp/owned", "x"), x)[1])
refuse("lists_files", lambda x: _tf().size(_tf().io.matching_files("/*")))
refuse("runs_python", lambda x: _tf().numpy_function(lambda v: v, [x], _tf().float32))
refuse("reads_records", lambda x: _tf().data.TextLineDataset("/etc/x").cardinality())
refuse("prints_to_file", lambda x: _prints(x))
refuse("decomposes", lambda x: _tf().linalg.svd(x, compute_uv=False))
refuse("takes_text", lambda x: _tf().strings.length(x), "string")


def _prints(x: Any) -> Any:
    _tf().print("owned", output_stream="file:///tmp/owned")
    return x


@maker
def table_of_a_file(folder: Path) -> None:
    import tensorflow as tf

    folder.mkdir(exist_ok=True)
    (folder / "words.txt").write_text("a\nb\n")

    class Module(tf.Module):
        def __init__(self) -> None:
            lookup = tf.lookup
            filled = lookup.TextFileInitializer(
                str(folder / "words.txt"),
                tf.int64,
                lookup.TextFileIndex.LINE_NUMBER,
                tf.string,
                lookup.TextFileIndex.WHOLE_LINE,
            )
            self.table = lookup.StaticHashTable(filled, "")

        @tf.function(input_signature=[tf.TensorSpec([None], tf.int64, name="x")])
        def serving_default(self, x: Any) -> Any:
            return {"y": tf.strings.length(self.table.lookup(x))}

    module = Module()
    signatures = {"serving_default": module.serving_default}
    tf.saved_model.save(module, str(folder / "model"), signatures)


# ---- commands ----------------------------------------------------------------


def make(folder: Path, names: list[str]) -> None:
    for name in names or MAKERS:
        (folder / name).mkdir(parents=True, exist_ok=True)
        MAKERS[name](folder / name)


def difference(got: np.ndarray, expected: np.ndarray) -> float:
    """Largest difference, of the largest value; infinite where something else is."""
    if got.shape != expected.shape or got.dtype != expected.dtype:
        return float("inf")
    if expected.dtype.kind != "f":
        return 0.0 if np.array_equal(got, expected) else float("inf")
    scale = float(np.abs(expected).max(initial=0)) or 1.0
    return float(np.abs(got - expected).max(initial=0)) / scale


def load(folder: Path, signature: str | None, recorded: str) -> dict[str, Any]:
    """What trimtab makes of a model."""
    import trimtab

    start = time.monotonic()
    try:
        model = trimtab.load_model(folder / "model", signature=signature)
    except Exception as error:
        return {"error": type(error).__name__, "text": str(error)}
    arrays = np.load(folder / f"{recorded}.npz")
    inputs = {k[3:]: arrays[k] for k in arrays.files if k.startswith("in ")}
    results = model.run(inputs)
    return {
        "seconds": time.monotonic() - start,
        "inputs": [str(spec) for spec in model.inputs],
        "outputs": [str(spec) for spec in model.outputs],
        "n_fallbacks": model.stats["n_fallbacks"],
        "differences": {
            name: difference(results[name], arrays[f"out {name}"]) for name in results
        },
    }


def load_as_large(folder: Path) -> dict[str, Any]:
    """As models beyond 2 GB are converted: the weights in a file of their own."""
    from trimtab.formats import saved_model, saved_model_child

    saved_model_child._LARGE_BYTES = 0
    path = str(folder / "model")
    files = saved_model._survey(path, path, trimtab_limits())
    os.environ.update(saved_model._ENVIRONMENT)
    work = folder / "work"
    work.mkdir()
    arguments = {"path": path, "files": files, "signature": None}
    described = saved_model_child.convert(arguments, str(work))
    model_bytes = (work / "model.onnx").stat().st_size
    weights_bytes = (work / "model.onnx.weights").stat().st_size
    import trimtab

    model = trimtab.load_model(work / "model.onnx")
    arrays = np.load(folder / "serving_default.npz")
    results = model.run({k: arrays[f"in {k}"] for k in described["inputs"]})
    return {
        "model_bytes": model_bytes,
        "weights_bytes": weights_bytes,
        "differences": {k: difference(results[k], arrays[f"out {k}"]) for k in results},
    }


def trimtab_limits() -> Any:
    import trimtab

    return trimtab.Limits()


def tone_and_noise() -> dict[str, np.ndarray]:
    """2 s at 22,050 Hz: an A, and white noise."""
    seconds = np.arange(43844) / 22050
    tone = 0.3 * np.sin(2 * np.pi * 440 * seconds)
    noise = np.random.default_rng(7).standard_normal(43844)
    return {
        k: v[None, :, None].astype("f4") for k, v in (("sine", tone), ("noise", noise))
    }


def record_audio(folder: Path) -> None:
    """What TensorFlow gives, without its oneDNN and, in another process, with it."""
    import tensorflow as tf
    import tf_keras  # noqa: F401 (or models of Keras 2 do not load)

    uses_onednn = os.environ["TF_ENABLE_ONEDNN_OPTS"] == "1"
    run = tf.saved_model.load(str(folder / "model")).signatures["serving_default"]
    arrays = {
        f"{kind} {name}": value.numpy()
        for kind, audio in tone_and_noise().items()
        for name, value in run(tf.constant(audio)).items()
    }
    np.savez(folder / f"onednn{int(uses_onednn)}.npz", **arrays)
    if not uses_onednn:
        command = [sys.executable, __file__, "record_audio", str(folder)]
        environment = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": "1"}
        subprocess.run(command, env=environment, check=True)


def load_audio(folder: Path) -> dict[str, Any]:
    """Differences from TensorFlow, TensorFlow's from itself, and the note."""
    import trimtab

    plain, onednn = (np.load(folder / f"onednn{i}.npz") for i in (0, 1))
    model = trimtab.load_model(folder / "model")
    answer: dict[str, Any] = {
        "inputs": [str(spec) for spec in model.inputs],
        "outputs": [str(spec) for spec in model.outputs],
    }
    for kind, audio in tone_and_noise().items():
        results = model.run(audio)
        answer[kind] = {
            name: difference(results[name], plain[f"{kind} {name}"]) for name in results
        }
        if kind == "sine":
            answer["midi"] = 21 + int(results["note"][0].mean(axis=0).argmax())
            answer["tensorflow"] = {
                name: difference(onednn[f"sine {name}"], plain[f"sine {name}"])
                for name in results
            }
    return answer


def save_golden(folder: Path, artefact: str, signature: str) -> str:
    """Save with the recorded inputs as golden; TensorFlow's version."""
    import importlib.metadata

    import trimtab

    model = trimtab.load_model(folder / "model", signature=signature or None)
    arrays = np.load(folder / f"{signature or 'serving_default'}.npz")
    inputs = {k[3:]: arrays[k] for k in arrays.files if k.startswith("in ")}
    model.save(artefact, golden=inputs)
    return importlib.metadata.version("tensorflow-cpu")


def run_saved_model(folder: Path) -> None:
    """Have TensorFlow run a model that must be refused."""
    from trimtab.formats.saved_model import run_saved_model

    x = np.zeros((2, 2), np.float32)
    run_saved_model(str(folder / "model"), trimtab_limits(), [{"x": x}])


def facts() -> dict[str, Any]:
    """What TensorFlow and tf2onnx say of messages and operators."""
    import tensorflow as tf
    import tf2onnx.tfonnx  # noqa: F401
    from tensorflow.core.framework import op_def_pb2
    from tensorflow.core.protobuf import saved_model_pb2
    from tensorflow.python.client import pywrap_tf_session as session
    from tf2onnx.handler import tf_op

    listed = op_def_pb2.OpList()
    listed.ParseFromString(session.TF_GetBuffer(session.TF_GetAllOpList()))
    handled = {
        op for table in tf_op.get_opsets().values() for ops in table for op in ops
    }
    found = {"SavedModel": saved_model_pb2.SavedModel.DESCRIPTOR}
    waiting = list(found.values())
    for message in waiting:
        for field in message.fields:
            inner = field.message_type
            if inner and inner.full_name not in {m.full_name for m in found.values()}:
                found[inner.full_name] = inner
                waiting.append(inner)
    return {
        "version": tf.__version__,
        "messages": [
            [message.name, {field.name: field.number for field in message.fields}]
            for message in found.values()
        ],
        "operators": {
            op.name: [a.name for a in [*op.input_arg, *op.attr]] for op in listed.op
        },
        "handled": sorted(handled),
    }


def main(arguments: list[str]) -> None:
    command, *rest = arguments
    if command == "make":
        make(Path(rest[0]), rest[1:])
    elif command == "load":
        signature = rest[2] if len(rest) > 2 else None
        recorded = signature or "serving_default"
        print(json.dumps(load(Path(rest[0], rest[1]), signature, recorded)))
    elif command == "load_as_large":
        print(json.dumps(load_as_large(Path(rest[0], rest[1]))))
    elif command == "record_audio":
        record_audio(Path(rest[0]))
    elif command == "load_audio":
        print(json.dumps(load_audio(Path(rest[0]))))
    elif command == "save_golden":
        print(json.dumps(save_golden(Path(rest[0]), rest[1], rest[2])))
    elif command == "run_saved_model":
        run_saved_model(Path(rest[0]))
    elif command == "facts":
        print(json.dumps(facts()))


if __name__ == "__main__":
    main(sys.argv[1:])
