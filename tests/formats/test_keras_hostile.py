"""Keras files that would run code, read other files, or eat memory: all refused."""

from __future__ import annotations

import json
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.formats.keras_files import (
    archive,
    called,
    dense_model,
    dense_weights,
    functional,
    h5py,
    layer,
    legacy_file,
    sequential,
    source,
    tensor,
    weights_file,
)

import trimtab
from trimtab import (
    Limits,
    ModelFormatError,
    ModelLimitError,
    UnsafeModelError,
    UnsupportedOpError,
)
from trimtab.formats import read_model
from trimtab.formats.keras.files import KerasModel
from trimtab.formats.keras.json_text import read_json
from trimtab.formats.keras.read import build_graph
from trimtab.formats.keras.weights import TreeWeights
from trimtab.graph import Constant, Model


def test_a_file_written_by_hand_is_read() -> None:
    model = trimtab.load_model(archive(dense_model(), dense_weights()))
    x = np.array([[1.0, 2.0, 3.0]], np.float32)
    want = x @ dense_weights()["layers/dense/vars/0"] + np.array([0.5, -1.0])
    np.testing.assert_allclose(model(x), want)


def build(config: Any, weights: dict[str, np.ndarray] | None = None) -> Model:
    """Build the graph of a config, without the child that reads HDF5."""
    store = {key: Constant.of(value) for key, value in (weights or {}).items()}
    parsed = read_json(json.dumps(config).encode(), "config.json")
    model = KerasModel(parsed, TreeWeights(store, "", "the model"), {})
    return build_graph(model, Limits(), "keras")


def changed(made: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A serialised layer with other fields."""
    return {**made, **fields}


ACTIVATION = layer("Activation", "a", activation="relu")
CODE: dict[str, dict[str, Any]] = {
    "Lambda": layer("Lambda", "l", function={"class_name": "__lambda__"}),
    "Lambda of a module": changed(ACTIVATION, class_name="Lambda", module="builtins"),
    "TFSMLayer": layer("TFSMLayer", "t", filepath="/etc/passwd"),
    "TorchModuleWrapper": layer("TorchModuleWrapper", "t", module="gASV"),
    "JaxLayer": layer("JaxLayer", "j", call_fn="x"),
    "a registered class": changed(ACTIVATION, registered_name="mine>Activation"),
    "a registered class of its own": changed(
        ACTIVATION, class_name="Swish9", registered_name="Custom>Swish9"
    ),
    "a foreign module": changed(ACTIVATION, module="os", class_name="system"),
    "a module that looks like Keras'": changed(ACTIVATION, module="kerasx.layers"),
    "loading a model": changed(
        ACTIVATION, module="keras.models", class_name="load_model"
    ),
    "downloading": changed(
        ACTIVATION, module="keras.src.utils.file_utils", class_name="get_file"
    ),
    "an activation of code": layer(
        "Dense",
        "d",
        units=2,
        use_bias=False,
        activation={"class_name": "__lambda__", "config": {"value": "4wE="}},
    ),
    "an activation of a module": layer(
        "Activation",
        "a",
        activation={
            "module": "subprocess",
            "class_name": "function",
            "config": "run",
            "registered_name": "function",
        },
    ),
    "a custom activation": layer(
        "Activation",
        "a",
        activation={
            "module": "builtins",
            "class_name": "function",
            "config": "mine>f",
            "registered_name": "mine>f",
        },
    ),
}


@pytest.mark.parametrize("what", CODE)
def test_code_is_refused_by_name(what: str) -> None:
    weights = {"layers/dense/vars/0": np.zeros((3, 2), np.float32)}
    made = CODE[what]
    with pytest.raises(UnsafeModelError, match=f"'{made['name']}'"):
        build(sequential(made), weights)


def test_code_is_refused_in_files() -> None:
    config = sequential(CODE["Lambda"])
    with pytest.raises(UnsafeModelError, match="Lambda"):
        read_model(archive(config))
    with pytest.raises(UnsafeModelError, match="Lambda"):
        read_model(legacy_file(config, {}))


def test_code_inside_a_nested_model_or_a_wrapper_is_refused() -> None:
    inner = changed(sequential(CODE["Lambda"]), name="inner")
    inner["config"]["name"] = "inner"
    with pytest.raises(UnsafeModelError, match="'l'"):
        build(sequential(inner))
    wrapped = layer("SpectralNormalization", "s", layer=CODE["TFSMLayer"])
    with pytest.raises(UnsafeModelError, match="TFSMLayer"):
        build(sequential(wrapped))


def test_code_among_the_arguments_of_a_call_is_refused() -> None:
    code = {"class_name": "__lambda__", "config": {"value": "4wE="}}
    made = called(ACTIVATION, (tensor("x"), code))
    with pytest.raises(UnsafeModelError, match="bytecode"):
        build(functional([source(), made], [["a", 0, 0]]))


def test_a_model_of_a_custom_class_is_refused() -> None:
    made = {**dense_model(), "module": "mine", "class_name": "M"}
    with pytest.raises(UnsafeModelError, match="mine"):
        build(made, dense_weights())
    bare = {"class_name": "M", "config": {"name": "m"}}
    with pytest.raises(UnsupportedOpError, match="code of its own"):
        build(bare)


def test_unknown_layers_operations_and_activations_are_named() -> None:
    with pytest.raises(UnsupportedOpError, match="'FlyingLayer'"):
        build(sequential(layer("FlyingLayer", "f")))
    op = changed(layer("Svd", "svd"), module="keras.src.ops.linalg")
    with pytest.raises(UnsupportedOpError, match="'Svd'"):
        build(sequential(op))
    with pytest.raises(UnsupportedOpError, match="'warp'"):
        build(sequential(layer("Activation", "a", activation="warp")))
    call = layer("TFOpLambda", "t", function="io.read_file")
    with pytest.raises(UnsupportedOpError, match="read_file"):
        build(sequential(call))


def test_quantised_weights_are_refused() -> None:
    policy = {"class_name": "QuantizedDTypePolicy", "config": {"name": "x"}}
    policy["config"] = {"name": "int8_from_float32"}  # type: ignore[assignment]
    made = sequential(layer("Dense", "d", units=2, dtype=policy))
    with pytest.raises(UnsupportedOpError, match="int8_from_float32"):
        build(made, dense_weights())


# ---- archives ----


def test_pickles_links_and_two_members_of_one_name_are_refused(tmp_path: Path) -> None:
    good = archive(dense_model(), dense_weights(), {"assets/x.pkl": b"\x80\x04."})
    with pytest.raises(UnsafeModelError, match="pickle"):
        read_model(good)
    with pytest.raises(UnsafeModelError):
        read_model(archive(dense_model(), dense_weights(), {"../x": b""}))
    path = tmp_path / "twice.keras"
    path.write_bytes(archive(dense_model(), dense_weights()))
    with (
        pytest.warns(UserWarning, match="Duplicate"),
        zipfile.ZipFile(path, "a") as file,
    ):
        file.writestr("config.json", "{}")
    with pytest.raises(UnsafeModelError, match="two members"):
        read_model(str(path))


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("[" * 100_000, ModelLimitError),
        ('{"a":' * 100_000, ModelLimitError),
        ("[" + "0," * 5_000_000 + "0]", ModelLimitError),
        ('{"a": "' + '\\"' * 1_000_000, ModelFormatError),
        ('{"a": "' + "\\" * 2_000_001, ModelFormatError),
        ('""' * 5_000_000, ModelLimitError),
        ("[1]", ModelFormatError),
        ("{", ModelFormatError),
        ('{"class_name": "A", "class_name": "B", "config": {}}', ModelFormatError),
        ('{"a": ' + "1" * 5000 + "}", ModelFormatError),
        (b'{"a": "\xff"}', ModelFormatError),
        ("", ModelFormatError),
    ],
    ids=range(12),
)
def test_json_that_is_no_config_is_refused_quickly(
    text: str, error: type[Exception]
) -> None:
    start = time.process_time()
    content = text if isinstance(text, bytes) else text.encode()
    with pytest.raises(error):
        read_json(content, "config.json")["config"]["layers"]
    assert time.process_time() - start < 10


def test_deep_json_is_refused_in_files() -> None:
    with pytest.raises(ModelLimitError, match="deep"):
        read_model(archive("[" * 100_000))
    with pytest.raises(ModelLimitError, match="deep"):
        read_model(legacy_file("[" * 100_000, {}))


# ---- HDF5 ----


def chunked(shape: tuple[int, ...], **options: Any) -> Callable[[Any, str], None]:
    """A dataset that was declared and never written."""

    def write(file: Any, path: str) -> None:
        file.create_dataset(path, shape, "f4", **options)

    return write


def external(file: Any, path: str) -> None:
    file.create_dataset(path, (3, 2), "f4", external=[("/etc/passwd", 0, 24)])


def virtual(file: Any, path: str) -> None:
    layout = h5py.VirtualLayout((3, 2), "f4")
    layout[:] = h5py.VirtualSource("/tmp/other.h5", "x", (3, 2))
    file.create_virtual_dataset(path, layout)


def linked(link: Any) -> Callable[[Any, str], None]:
    def write(file: Any, path: str) -> None:
        file[path] = link

    return write


def cycle(file: Any, path: str) -> None:
    file.require_group("layers/dense/vars")
    file["layers/dense/vars/again"] = file["layers"]
    file[path] = np.zeros((3, 2), np.float32)


def deep(file: Any, path: str) -> None:
    file["/".join("a" * 100)] = 1.0
    file[path] = np.zeros((3, 2), np.float32)


KERNELS: dict[str, tuple[Any, type[Exception]]] = {
    "storage in another file": (external, UnsafeModelError),
    "a virtual dataset": (virtual, UnsafeModelError),
    "an external link": (
        linked(h5py.ExternalLink("/tmp/other.h5", "/x")),
        UnsafeModelError,
    ),
    "a soft link": (linked(h5py.SoftLink("/layers/dense/vars/1")), UnsafeModelError),
    "a cycle of groups": (cycle, ModelFormatError),
    "deep groups": (deep, ModelFormatError),
    "a shape without bytes": (chunked((30_000, 30_000)), ModelLimitError),
    "a shape of a terabyte": (chunked((1 << 20, 1 << 20)), ModelLimitError),
    "chunks without bytes": (
        chunked((1 << 14, 1 << 14), chunks=(64, 64)),
        ModelLimitError,
    ),
    "packed chunks without bytes": (
        chunked((1 << 14, 1 << 14), chunks=(64, 64), compression="gzip"),
        ModelLimitError,
    ),
    "another filter": (
        chunked((3, 2), chunks=(3, 2), compression="lzf"),
        ModelFormatError,
    ),
    "texts": (np.array([[b"ab"] * 2] * 3, object), ModelFormatError),
    "complex numbers": (np.zeros((3, 2), np.complex64), ModelFormatError),
    "records": (np.zeros((3, 2), "f4,f4"), ModelFormatError),
    "another shape": (np.zeros((2, 3), np.float32), ModelFormatError),
    "another rank": (np.zeros(6, np.float32), ModelFormatError),
}


@pytest.mark.parametrize("what", KERNELS)
def test_hostile_hdf5_is_refused(what: str) -> None:
    value, error = KERNELS[what]
    try:
        weights = weights_file({**dense_weights(), "layers/dense/vars/0": value})
    except (TypeError, ValueError) as failure:
        pytest.skip(f"h5py does not write it: {failure}")
    with pytest.raises(error):
        read_model(archive(dense_model(), weights))


def test_limits_bound_weights_before_they_are_read() -> None:
    content = archive(dense_model(), dense_weights())
    with pytest.raises(ModelLimitError, match="limits are"):
        read_model(content, Limits(max_tensor_bytes=16))
    packed = np.zeros((1 << 11, 1 << 11), np.float32)

    def write(file: Any, path: str) -> None:
        file.create_dataset(path, data=packed, compression="gzip", shuffle=True)

    weights = {**dense_weights(), "layers/dense/vars/0": write}
    with pytest.raises(ModelLimitError, match="of which the file holds"):
        read_model(archive(dense_model(), weights))


def test_damaged_hdf5_is_refused() -> None:
    good = weights_file(dense_weights())
    rng = np.random.default_rng(1)
    n_read = 0
    for cut in (8, len(good) // 2):
        with pytest.raises(ModelFormatError):
            read_model(archive(dense_model(), good[:cut]))
    for _ in range(4):
        bad = bytearray(good)
        for place in rng.integers(0, len(good), 40):
            bad[place] = rng.integers(256)
        try:
            read_model(archive(dense_model(), bytes(bad)))
            n_read += 1
        except ModelFormatError:
            pass
    assert n_read < 4


def test_weights_without_a_model_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.h5"
    path.write_bytes(weights_file({"x": np.ones(3)}))
    with pytest.raises(ModelFormatError, match="without the model"):
        read_model(str(path))


def test_missing_and_surplus_weights_are_named() -> None:
    weights = dense_weights()
    first = {key: weights[key] for key in list(weights)[:1]}
    with pytest.raises(ModelFormatError, match="no weight for bias"):
        build(dense_model(), first)
    with pytest.raises(ModelFormatError, match="one more"):
        build(dense_model(), {**weights, "layers/dense/vars/2": np.ones(3)})


# ---- wiring ----


def relu(name: str, *calls: tuple[Any, ...]) -> dict[str, Any]:
    return called(layer("ReLU", name), *calls)


WIRINGS: dict[str, Any] = {
    "a cycle": functional(
        [source(), relu("a", (tensor("b"),)), relu("b", (tensor("a"),))],
        [["b", 0, 0]],
    ),
    "itself": functional([source(), relu("a", (tensor("a"),))], [["a", 0, 0]]),
    "no such layer": functional([source(), relu("a", (tensor("z"),))], [["a", 0, 0]]),
    "no such output": functional([source(), relu("a", (tensor("x"),))], [["a", 0, 5]]),
    "no such call": functional([source(), relu("a", (tensor("x"),))], [["a", 7, 0]]),
    "no tensor": functional([source(), relu("a", (3,))], [["a", 0, 0]]),
    "nodes that are no calls": functional(
        [source(), {**layer("ReLU", "a"), "inbound_nodes": [7]}], [["a", 0, 0]]
    ),
    "two layers of one name": functional([source(), source()], [["x", 0, 0]]),
    "no outputs": functional([source()], []),
    "outputs that are no tensors": functional([source()], [["x", "y", 0]]),
    "an input that is no input": functional(
        [source(), relu("a", (tensor("x"),))], [["a", 0, 0]], [("a", 0, 0)]
    ),
    "a negative size": functional([source("x", (-3,))], [["x", 0, 0]]),
    "a size that is a text": functional(
        [source("x", ("3",))],
        [["x", 0, 0]],  # type: ignore[arg-type]
    ),
}


@pytest.mark.parametrize("what", WIRINGS)
def test_wiring_that_cannot_be_is_refused(what: str) -> None:
    with pytest.raises(ModelFormatError):
        build(WIRINGS[what])


def test_models_nested_too_deeply_are_refused() -> None:
    made = layer("Activation", "a", activation="relu")
    for depth in range(30):
        made = {
            "class_name": "Sequential",
            "name": f"s{depth}",
            "config": {"name": f"s{depth}", "layers": [made]},
        }
    with pytest.raises(ModelLimitError, match="deep"):
        build(sequential(made))


@pytest.mark.parametrize(
    ("class_name", "config"),
    [
        ("Dense", {"units": -1}),
        ("Dense", {"units": "2"}),
        ("Dense", {"units": 2, "use_bias": 1}),
        ("Dense", {}),
        ("Dense", {"units": 1 << 50}),
        ("Dense", {"units": 2, "activation": ["relu"]}),
        ("ReLU", {"max_value": "6"}),
        ("Reshape", {"target_shape": [2, 2]}),
        ("Reshape", {"target_shape": [-1, -1]}),
        ("Reshape", {"target_shape": "3"}),
        ("RepeatVector", {"n": 1 << 40}),
        ("Permute", {"dims": [2, 3]}),
        ("Softmax", {"axis": 7}),
        ("Conv2D", {"filters": 3, "kernel_size": 3}),
        ("BatchNormalization", {"axis": 9}),
        ("Concatenate", {"axis": 5}),
        ("Embedding", {"input_dim": 0, "output_dim": 3}),
    ],
)
def test_configs_that_cannot_be_name_the_layer(
    class_name: str, config: dict[str, Any]
) -> None:
    with pytest.raises(ModelFormatError, match="'bad one'"):
        build(sequential(layer(class_name, "bad one", **config)))


@pytest.mark.parametrize(
    ("config", "shape"),
    [
        ({"filters": 3, "kernel_size": [3, 3], "strides": 0}, (8, 8, 2)),
        ({"filters": 3, "kernel_size": [3, 3], "dilation_rate": -1}, (8, 8, 2)),
        ({"filters": 3, "kernel_size": [9, 9]}, (8, 8, 2)),
        ({"filters": 3, "kernel_size": [3, 3], "groups": 2}, (8, 8, 3)),
        ({"filters": 3, "kernel_size": [3, 3], "padding": "causal"}, (8, 8, 2)),
        ({"filters": 3, "kernel_size": [3, 3, 3]}, (8, 8, 2)),
        ({"filters": 3, "kernel_size": [3, 3], "data_format": "x"}, (8, 8, 2)),
        ({"filters": 3, "kernel_size": [1 << 30, 1 << 30]}, (8, 8, 2)),
    ],
)
def test_convolutions_that_cannot_be_are_refused(
    config: dict[str, Any], shape: tuple[int, ...]
) -> None:
    conv = called(layer("Conv2D", "c", **config), (tensor("x"),))
    made = functional([source("x", shape), conv], [["c", 0, 0]])
    kernel = (
        np.zeros((*config["kernel_size"][:2], shape[-1], 3), np.float32)
        if (config["kernel_size"][0] < 100)
        else np.zeros((3, 3, 2, 3), np.float32)
    )
    weights = {
        "layers/conv2_d/vars/0": kernel,
        "layers/conv2d/vars/0": kernel,
        "layers/conv2d/vars/1": np.zeros(3, np.float32),
    }
    with pytest.raises(ModelFormatError):
        build(made, weights)


def test_random_changes_of_a_config_never_crash() -> None:
    rng = np.random.default_rng(0)
    text = json.dumps(
        functional(
            [source(), called(layer("Dense", "d", units=2), (tensor("x"),))],
            [["d", 0, 0]],
        )
    ).encode()
    junk = [b"null", b"-1", b"[]", b"{}", b'"x"', b"1e300", b"true", b"[[[]]]"]
    from trimtab.graph import Constant

    store = {k: Constant.of(v) for k, v in dense_weights().items()}
    values = [i for i, c in enumerate(text) if c in b":,["]
    for _ in range(3000):
        start = int(rng.choice(values)) + 1
        end = min(len(text), start + int(rng.integers(0, 12)))
        bad = text[:start] + junk[int(rng.integers(len(junk)))] + text[end:]
        try:
            config = read_json(bad, "config.json")
            model = KerasModel(config, TreeWeights(store, "", "the model"), {})
            build_graph(model, Limits(), "keras")
        except (ModelFormatError, UnsupportedOpError):
            pass


def test_a_key_given_twice_among_many_is_found_in_time() -> None:
    from trimtab.formats.keras.json_text import read_json

    text = "{" + ",".join(f'"{i}":0' for i in range(200_000)) + ',"199999":0}'
    begin = time.perf_counter()
    with pytest.raises(trimtab.ModelFormatError, match="the key '199999' twice"):
        read_json(text.encode(), "config.json")
    assert time.perf_counter() - begin < 10
