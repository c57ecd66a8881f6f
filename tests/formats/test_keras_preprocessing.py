"""Preprocessing layers of Keras against Keras itself, or their definition."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.formats.keras_cases import Case, assert_close, keras
from tests.formats.keras_groups import Group

import trimtab
from trimtab.errors import ModelFormatError, UnsupportedOpError

L = keras.layers
IMAGE = (8, 6, 3)
SOUND = (400, 2)


def image_cases() -> list[Case]:
    layers: dict[str, Any] = {
        "rescale": lambda: L.Rescaling(1 / 127.5, -1),
        "rescale_channels": lambda: L.Rescaling([1.0, 2.0, 3.0], np.array([1, 2, 3.0])),
        "normal_given": lambda: L.Normalization(mean=[1, 2, 3.0], variance=[4, 5, 0.2]),
        "normal_one": lambda: L.Normalization(mean=3.0, variance=2.0),
        "normal_back": lambda: L.Normalization(mean=3.0, variance=2.0, invert=True),
        "cubic_antialias": lambda: L.Resizing(
            4, 3, interpolation="bicubic", antialias=True
        ),
        "half": lambda: keras.Sequential([L.RandomFlip(), L.Rescaling(0.5)]),
        "random_crop": lambda: L.RandomCrop(8, 6),
        "solarize": lambda: L.Solarization(),
        "zoom": lambda: keras.Sequential([L.RandomZoom(0.2), L.RandomContrast(0.1)]),
    }
    ways: dict[str, dict[str, Any]] = {
        "stretch": {},
        "crop": {"crop_to_aspect_ratio": True},
        "pad": {"pad_to_aspect_ratio": True, "fill_value": 0.7},
        "antialias": {"antialias": True},
    }
    for kind in ("nearest", "bilinear"):
        for size in ((4, 3), (11, 13), (5, 9), (16, 6), (8, 1)):
            for way, options in ways.items():
                layers[f"{kind}_{size[0]}_{size[1]}_{way}"] = (
                    lambda k=kind, s=size, o=options: L.Resizing(
                        *s, interpolation=k, **o
                    )
                )
    for size in ((4, 3), (5, 5), (8, 6), (11, 3), (3, 12), (20, 20)):
        layers[f"crop_{size[0]}_{size[1]}"] = lambda s=size: L.CenterCrop(*s)
    found = [Case(k, lambda x, m=make: m()(x), [IMAGE]) for k, make in layers.items()]
    found.append(
        Case(
            "first",
            lambda x: L.Resizing(4, 5, data_format="channels_first")(x),
            [(3, 8, 6)],
        )
    )
    found.append(
        Case(
            "open",
            lambda x: L.Resizing(4, 5, crop_to_aspect_ratio=True)(x),
            [(None, None, 3)],
        )
    )
    # A mean that ends in .5 is rounded to either side: one of 255.
    found.append(
        Case(
            "integers",
            lambda x: L.Resizing(4, 5)(x),
            [IMAGE],
            values=256,
            tolerance=1 / 200,
        )
    )
    return found


def number_cases() -> list[Case]:
    found = []
    bins: dict[str, list[float]] = {
        "one": [0.5],
        "three": [-1.0, 0.0, 1.0],
        "many": list(np.linspace(-3, 3, 41)),
        "equal": [0.0, 0.0, 1.0],
    }
    for key, bounds in bins.items():
        for mode in ("int", "one_hot", "multi_hot", "count"):
            found.append(
                Case(
                    f"bins_{key}_{mode}",
                    lambda x, b=bounds, m=mode: L.Discretization(b, output_mode=m)(x),
                    [(4,)],
                )
            )
    for mode in ("one_hot", "multi_hot", "count"):
        for shape in ((4,), (1,), (3, 2)):
            found.append(
                Case(
                    f"{mode}_{len(shape)}_{shape[-1]}",
                    lambda x, m=mode: L.CategoryEncoding(6, output_mode=m)(x),
                    [shape],
                    values=6,
                )
            )
    return found


def sound_cases() -> list[Case]:
    found = []
    ways: dict[str, dict[str, Any]] = {
        "": {"frame_length": 64},
        "_same": {
            "frame_length": 60,
            "frame_step": 17,
            "padding": "same",
            "expand_dims": True,
        },
    }
    for mode in ("log", "magnitude", "psd", "real", "imag", "stft"):
        for way, options in ways.items():
            found.append(
                Case(
                    f"stft_{mode}{way}",
                    lambda x, m=mode, o=options: L.STFTSpectrogram(mode=m, **o)(x),
                    [SOUND],
                    # near zero a logarithm makes much of the last bit
                    tolerance=1e-4 if mode == "log" else 1e-5,
                )
            )
    for expand in (False, True):
        found.append(
            Case(
                f"stft_first_{expand}",
                lambda x, e=expand: L.STFTSpectrogram(
                    mode="magnitude",
                    frame_length=64,
                    data_format="channels_first",
                    expand_dims=e,
                )(x),
                [(2, 400)],
            )
        )
    mel: dict[str, dict[str, Any]] = {
        "default": {},
        "speech": {
            "fft_length": 512,
            "sequence_stride": 160,
            "sequence_length": 400,
            "num_mel_bins": 40,
        },
        "magnitude": {
            "window": "hamming",
            "power_to_db": False,
            "mag_exp": 1.0,
            "fft_length": 256,
            "sequence_stride": 100,
            "num_mel_bins": 20,
        },
        "power": {"mag_exp": 1.5, "ref_power": 2.0, "top_db": 20.0, "max_freq": 4000},
        "plain": {"window": None, "fft_length": 300, "num_mel_bins": 8},
    }
    for key, options in mel.items():
        found.append(
            Case(
                f"mel_{key}",
                lambda x, o=options: L.MelSpectrogram(**o)(x),
                [(3000,)],
                tolerance=2e-5,
            )
        )
    return found


FAMILIES = {"image": image_cases, "number": number_cases, "sound": sound_cases}
NAMES = [(f, case.name) for f, cases in FAMILIES.items() for case in cases()]


@pytest.fixture(scope="module")
def results(tmp_path_factory: Any) -> Any:
    """Results of a family, computed when it is first asked for."""
    found: dict[str, Any] = {}

    def give(family: str) -> Any:
        if family not in found:
            group = Group(FAMILIES[family](), tmp_path_factory.mktemp(family))
            found[family] = group.results(group.feeds()), group.cases
        return found[family]

    return give


@pytest.mark.parametrize(("family", "name"), NAMES)
def test_preprocessing_computes_what_keras_computes(
    results: Any, family: str, name: str
) -> None:
    found, cases = results(family)
    got, want = found[name]
    assert_close(got, want, cases[name].tolerance)
    assert [y.dtype.kind for y in got] == [y.dtype.kind for y in want]


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_normalization_that_was_adapted(tmp_path: Any, suffix: str) -> None:
    x = keras.Input(IMAGE)
    data = np.random.default_rng(1).normal(2.0, 3.0, (9, *IMAGE)).astype(np.float32)
    outputs = []
    for options in ({}, {"axis": (1, 3)}, {"axis": None}, {"invert": True}):
        layer = L.Normalization(**options)
        layer.adapt(data)
        outputs.append(layer(x))
    model = keras.Model(x, outputs)
    path = tmp_path / f"m{suffix}"
    model.save(path)
    want = [keras.ops.convert_to_numpy(y) for y in model(data)]
    assert_close(list(trimtab.load_model(path).run(data).values()), want)


def test_counts_may_have_weights(tmp_path: Any) -> None:
    x, w = keras.Input((4,), dtype="int32"), keras.Input((4,))
    y = L.CategoryEncoding(5, output_mode="count")(x, count_weights=w)
    keras.Model([x, w], y).save(tmp_path / "m.keras")
    index = np.array([[0, 1, 1, 4], [2, 2, 2, 2]], np.int32)
    weights = np.array([[0.5, 1, 2, 3], [1, 1, 1, 0.25]], np.float32)
    got = trimtab.load_model(tmp_path / "m.keras").run((index, weights))
    want = [[0.5, 3, 0, 0, 3], [0, 0, 3.25, 0, 0]]
    np.testing.assert_array_equal(next(iter(got.values())), np.float32(want))


def cubic(x: np.ndarray, size: int) -> np.ndarray:
    """Keys' cubic filter (a = -1/2) along axis 1; taps outside count for nothing."""
    n = x.shape[1]
    at = (np.arange(size) + 0.5) * n / size - 0.5
    d = np.abs(at[:, None] - np.arange(n))
    near = 1.5 * d**3 - 2.5 * d**2 + 1
    far = -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2
    weights = np.where(d <= 1, near, np.where(d < 2, far, 0.0))
    weights /= weights.sum(axis=1, keepdims=True)
    return np.moveaxis(np.tensordot(weights, x, (1, 1)), 0, 1)


def test_bicubic_is_that_of_tensorflow_and_jax(tmp_path: Any) -> None:
    x = keras.Input(IMAGE)
    y = L.Resizing(13, 4, interpolation="bicubic")(x)
    keras.Model(x, y).save(tmp_path / "m.keras")
    value = np.random.default_rng(6).normal(size=(2, *IMAGE)).astype(np.float32)
    want = cubic(value.astype(np.float64), 13)
    want = cubic(want.swapaxes(1, 2), 4).swapaxes(1, 2)
    got = trimtab.load_model(tmp_path / "m.keras").run(value)
    assert_close(list(got.values()), [want])


# ---- layers that Keras has with TensorFlow only: files made by hand ---------------


def write_layer(
    path: Path,
    class_name: str,
    config: dict[str, Any],
    shape: tuple[int, ...] = (4,),
    files: dict[str, str] | None = None,
) -> Path:
    """A .keras file of one layer that this Keras cannot make."""
    x = keras.Input(shape, dtype="int64" if class_name != "Resizing" else "float32")
    model = keras.Model(x, L.Rescaling(1.0, name="layer")(x))
    model.save(path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    whole = json.loads(members["config.json"])
    layer = whole["config"]["layers"][1]
    layer["class_name"] = class_name
    layer["config"] = {"name": "layer", **config}
    members["config.json"] = json.dumps(whole).encode()
    members.update({name: text.encode() for name, text in (files or {}).items()})
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def look_up(
    words: list[int], x: np.ndarray, mask: int | None, n_unknown: int, begin: int
) -> np.ndarray:
    """IntegerLookup by its definition."""
    places = {word: i + begin + n_unknown for i, word in enumerate(words)}

    def find(item: int) -> int:
        if item == mask:
            return 0
        if item in places:
            return places[item]
        if n_unknown == 0:
            return -1
        return begin + (item % n_unknown if n_unknown > 1 else 0)

    return np.vectorize(find, otypes=[np.int64])(x)


@settings(max_examples=15, deadline=None)
@given(
    words=st.lists(st.integers(-50, 50), min_size=1, max_size=20, unique=True),
    n_unknown=st.integers(0, 3),
    mask=st.sampled_from([None, 0]),
)
def test_an_integer_lookup_finds_what_is_in_its_vocabulary(
    tmp_path_factory: Any, words: list[int], n_unknown: int, mask: int | None
) -> None:
    words = [word for word in words if word != 0] or [7]
    path = tmp_path_factory.mktemp("lookup") / "m.keras"
    config = {
        "vocabulary": words,
        "num_oov_indices": n_unknown,
        "mask_token": mask,
        "oov_token": -99,
    }
    write_layer(path, "IntegerLookup", config)
    x = np.arange(-60, 60, dtype=np.int64).reshape(-1, 4)
    got = next(iter(trimtab.load_model(path).run(x).values()))
    want = look_up(words, x, mask, n_unknown, int(mask is not None))
    np.testing.assert_array_equal(got, want)


def test_an_integer_lookup_reads_its_vocabulary_file(tmp_path: Any) -> None:
    path = write_layer(
        tmp_path / "m.keras",
        "IntegerLookup",
        {"vocabulary": None, "oov_token": -1, "output_mode": "multi_hot"},
        files={"assets/layers/integer_lookup/vocabulary.txt": "-1\n12\n7\n9\n"},
    )
    x = np.array([[12, 12, 7, 7], [9, 3, 12, 9]], np.int64)
    got = next(iter(trimtab.load_model(path).run(x).values()))
    np.testing.assert_array_equal(got, np.float32([[0, 1, 1, 0], [1, 1, 0, 1]]))


def test_an_inverted_lookup_gives_numbers_back(tmp_path: Any) -> None:
    config = {"vocabulary": [12, 7], "oov_token": -1, "invert": True, "mask_token": 0}
    path = write_layer(tmp_path / "m.keras", "IntegerLookup", config)
    x = np.array([[0, 1, 2, 3], [4, -1, 3, 2]], np.int64)
    got = next(iter(trimtab.load_model(path).run(x).values()))
    np.testing.assert_array_equal(got, [[0, -1, 12, 7], [-1, -1, 7, 12]])


@pytest.mark.parametrize(
    ("class_name", "config", "error", "message"),
    [
        ("StringLookup", {}, UnsupportedOpError, "it computes with strings"),
        ("TextVectorization", {}, UnsupportedOpError, "step of a Pipeline"),
        ("Hashing", {"num_bins": 3}, UnsupportedOpError, "it computes with strings"),
        (
            "Resizing",
            {"height": 4, "width": 4, "interpolation": "lanczos3"},
            UnsupportedOpError,
            "interpolation='lanczos3'; supported are nearest",
        ),
        ("Discretization", {"num_bins": 4}, ModelFormatError, "call adapt before"),
        (
            "Discretization",
            {"bin_boundaries": [2, 1]},
            ModelFormatError,
            "ascending numbers",
        ),
        (
            "IntegerLookup",
            {"vocabulary": [1, 1]},
            ModelFormatError,
            "two entries of the vocabulary are equal",
        ),
        (
            "IntegerLookup",
            {"vocabulary": [1, 2], "num_oov_indices": 2, "oov_method": "farmhash"},
            UnsupportedOpError,
            "farmhash",
        ),
        ("IntegerLookup", {}, ModelFormatError, "it has no vocabulary"),
        (
            "CategoryEncoding",
            {"num_tokens": 1 << 39},
            ModelFormatError,
            "are too long",
        ),
        (
            "AutoContrast",
            {},
            UnsupportedOpError,
            "no rule for Keras' class 'AutoContrast'",
        ),
    ],
)
def test_what_cannot_be_expressed_is_refused_by_name(
    tmp_path: Any, class_name: str, config: Any, error: Any, message: str
) -> None:
    path = write_layer(
        tmp_path / "m.keras",
        class_name,
        config,
        IMAGE if class_name == "Resizing" else (4,),
    )
    with pytest.raises(error, match=message):
        trimtab.load_model(path)


def test_a_transform_of_a_hostile_size_is_refused(tmp_path: Any) -> None:
    x = keras.Input((3000,))
    keras.Model(x, L.MelSpectrogram()(x)).save(tmp_path / "m.keras")
    limits = trimtab.Limits(max_fold_bytes=1 << 20)
    with pytest.raises(ModelFormatError, match="fft_length=2048 takes"):
        trimtab.load_model(tmp_path / "m.keras", limits=limits)
