"""Artefacts: what goes in comes out, anybody's reader opens it, lies are refused."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

import trimtab
from trimtab.formats import read_model
from trimtab.formats.native import STORED_AS, Artefact
from trimtab.formats.native_write import GraphWriter
from trimtab.formats.tensor_file import (
    TensorFile,
    parse_json,
    write_file,
    write_tensors,
)
from trimtab.graph import Constant, Graph, Model, Node, Value
from trimtab.limits import Limits
from trimtab.processing.steps_class import Softmax

RNG = np.random.default_rng(3)
X = RNG.standard_normal((2, 4)).astype(np.float32)


# ---- models ------------------------------------------------------------------------


def onnx_bytes(
    nodes: list[Any],
    inputs: list[tuple[str, int, list[Any]]],
    outputs: list[str],
    constants: dict[str, np.ndarray],
    **more: Any,
) -> bytes:
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info(*value) for value in inputs],
        [helper.make_empty_tensor_value_info(name) for name in outputs],
        [numpy_helper.from_array(a, name) for name, a in constants.items()],
    )
    opsets = [helper.make_opsetid("", 17), *more.pop("opsets", [])]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8, **more)
    model.producer_name = "tests"
    helper.set_model_props(model, {"states": "h", "author": "n\u00fc\U0001f600"})
    return model.SerializeToString()


def linear() -> bytes:
    w = np.arange(12, dtype=np.float32).reshape(4, 3)
    return onnx_bytes(
        [
            helper.make_node("MatMul", ["x", "w"], ["h"], name="linear"),
            helper.make_node("Relu", ["h"], ["a"], name="relu"),
            helper.make_node("Softmax", ["a"], ["y"], name="softmax", axis=-1),
        ],
        [("x", TensorProto.FLOAT, ["n", 4])],
        ["y"],
        {"w": w},
    )


def branches() -> bytes:
    """If in If; bodies with constants named like the main graph's, and captures."""

    def body(name: str, nodes: list[Any], out: str, constants: dict[str, Any]) -> Any:
        return helper.make_graph(
            nodes,
            name,
            [],
            [helper.make_empty_tensor_value_info(out)],
            [numpy_helper.from_array(a, n) for n, a in constants.items()],
        )

    inner_then = body("it", [helper.make_node("Add", ["x", "c"], ["it_y"])], "it_y", {})
    inner_else = body("ie", [helper.make_node("Neg", ["x"], ["ie_y"])], "ie_y", {})
    then = body(
        "then",
        [
            helper.make_node("Mul", ["x", "c"], ["t"]),
            helper.make_node(
                "If", ["p"], ["ty"], then_branch=inner_then, else_branch=inner_else
            ),
            helper.make_node("Add", ["t", "ty"], ["tz"]),
        ],
        "tz",
        {"c": np.full(4, 3, np.float32)},
    )
    other = body("else", [helper.make_node("Sub", ["x", "w"], ["e"])], "e", {})
    return onnx_bytes(
        [
            helper.make_node("If", ["p"], ["z"], then_branch=then, else_branch=other),
            helper.make_node("Add", ["z", "c0"], ["y"]),
        ],
        [("x", TensorProto.FLOAT, ["n", 4]), ("p", TensorProto.BOOL, [])],
        ["y"],
        {"w": np.arange(4, dtype=np.float32), "c0": np.float32([[0, 1, 2, 3]])},
    )


def loop() -> bytes:
    body = helper.make_graph(
        [
            helper.make_node("Add", ["v", "step"], ["v_out"]),
            helper.make_node("Identity", ["go"], ["go_out"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", TensorProto.FLOAT, None),
        ],
        [helper.make_empty_tensor_value_info(n) for n in ("go_out", "v_out")],
        [numpy_helper.from_array(np.float32([1, 2, 3, 4]), "step")],
    )
    return onnx_bytes(
        [helper.make_node("Loop", ["n", "", "x"], ["y"], body=body)],
        [("x", TensorProto.FLOAT, ["b", 4])],
        ["y"],
        {"n": np.int64(3)},
    )


def functions() -> bytes:
    function = helper.make_function(
        "own",
        "Twice",
        ["a"],
        ["b"],
        [helper.make_node("Add", ["a", "a"], ["b"])],
        [helper.make_opsetid("", 17)],
    )
    return onnx_bytes(
        [
            helper.make_node("Twice", ["x"], ["t"], domain="own"),
            helper.make_node("Twice", ["t"], ["y"], domain="own"),
        ],
        [("x", TensorProto.FLOAT, ["n", 4])],
        ["y"],
        {},
        functions=[function],
        opsets=[helper.make_opsetid("own", 1)],
    )


def overridable() -> bytes:
    model = onnx_bytes(
        [helper.make_node("Add", ["x", "w"], ["y"])],
        [("x", TensorProto.FLOAT, ["n", 4]), ("w", TensorProto.FLOAT, [4])],
        ["y"],
        {"w": np.arange(4, dtype=np.float32)},
    )
    return model


def attributes() -> bytes:
    """Attributes of many kinds; the tensor of ConstantOfShape among them."""
    long = [float(i) / 7 for i in range(100)]
    return onnx_bytes(
        [
            helper.make_node("Shape", ["x"], ["s"]),
            helper.make_node(
                "ConstantOfShape",
                ["s"],
                ["c"],
                value=helper.make_tensor("v", TensorProto.FLOAT, [1], [2.5]),
            ),
            helper.make_node("Clip", ["x", "low", "high"], ["k"]),
            helper.make_node("LeakyRelu", ["k"], ["l"], alpha=float("inf")),
            helper.make_node("Constant", [], ["f"], value_floats=long),
            helper.make_node("ReduceSum", ["f"], ["r"], keepdims=0),
            helper.make_node("Add", ["k", "c"], ["m"]),
            helper.make_node("Add", ["m", "r"], ["y"]),
            helper.make_node("Transpose", ["y"], ["z"], perm=[1, 0]),
        ],
        [("x", TensorProto.FLOAT, ["n", 4])],
        ["y", "z", "l"],
        {"low": np.float32(-1), "high": np.float32(1)},
    )


MODELS: dict[str, Callable[[], bytes]] = {
    "linear": linear,
    "branches": branches,
    "loop": loop,
    "functions": functions,
    "overridable": overridable,
    "attributes": attributes,
}


def flat(model: Model) -> list[Any]:
    """Everything that a graph says, as values that compare."""

    def attribute(value: Any) -> Any:
        if isinstance(value, Graph):
            return "graph"
        if isinstance(value, Constant):
            return value.dtype, value.shape, bytes(value.elements().data)
        if isinstance(value, (list, np.ndarray)) and not (
            len(value) and isinstance(value[0], str)
        ):
            return np.asarray(value, np.float64).tolist()
        return value

    return [
        [model.opsets, model.overridable, model.metadata],
        [
            (
                g.name,
                g.inputs,
                g.outputs,
                g.captures,
                [
                    (n, c.dtype, c.shape, c.elements().tobytes())
                    for n, c in g.constants.items()
                ],
                [
                    (
                        n.op_type,
                        n.domain,
                        n.name,
                        n.inputs,
                        n.outputs,
                        [(k, attribute(v)) for k, v in n.attributes.items()],
                    )
                    for n in g.nodes
                ],
            )
            for g in model.graphs()
        ],
    ]


def saved(content: bytes, path: Path, **more: Any) -> trimtab.Model:
    model = trimtab.load_model(content, threads=1)
    model.save(path, **more)
    return model


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "m.safetensors"


# ---- what goes in comes out --------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_a_model_comes_back_as_it_was(name: str, path: Path) -> None:
    content = MODELS[name]()
    model = saved(content, path)
    for source in (str(path), path.read_bytes()):
        assert flat(read_model(source)) == flat(read_model(content))
        again = trimtab.load_model(source, threads=1)
        assert (again.inputs, again.outputs) == (model.inputs, model.outputs)
        inputs: dict[str, Any] = {"x": X}
        for choice in [True, False] if name == "branches" else [None]:
            if choice is not None:
                inputs["p"] = np.array(choice)
            want, got = model.run(inputs), again.run(inputs)
            for key in want:
                assert want[key].tobytes() == got[key].tobytes()


@pytest.mark.parametrize("name", MODELS)
def test_equal_content_gives_equal_bytes(name: str, path: Path) -> None:
    content = MODELS[name]()
    golden = {"x": X, "p": True} if name == "branches" else X
    saved(content, path, golden=golden, created="2026-01-01T00:00:00Z")
    first = path.read_bytes()
    saved(content, path, golden=golden, created="2026-01-01T00:00:00Z")
    assert path.read_bytes() == first
    # saved again it differs in its provenance only
    trimtab.load_model(path).save(path.with_name("b"))
    trimtab.load_model(path).save(path.with_name("c"))
    assert path.with_name("b").read_bytes() == path.with_name("c").read_bytes()
    assert flat(read_model(str(path.with_name("b")))) == flat(read_model(content))


def test_every_element_type_is_stored(path: Path) -> None:
    """With shapes of rank 0 and sizes of 0; 4 bits in odd numbers."""
    graph = Graph("g", [Value("x", "float32", (1,))], [Value("y")])
    graph.nodes = [Node("Identity", ["x"], ["y"])]
    from trimtab.graph import DTYPES
    from trimtab.texts import pack_texts

    for dtype in STORED_AS:
        for i, shape in enumerate([(), (0, 3), (5,), (2, 3, 1)]):
            n_bytes = (int(np.prod(shape)) * DTYPES[dtype][1] + 7) // 8
            data = RNG.integers(0, 2, n_bytes, np.uint8)
            if dtype == "string":
                data = pack_texts((["a", "", "bcd"] * 2)[: int(np.prod(shape))])
            graph.constants[f"{dtype}{i}"] = Constant(dtype, shape, data)
    model = Model(graph, {"": 23})
    writer = GraphWriter()
    text = json.dumps(writer.model(model))
    texts = {"trimtab": '{"version":1}', "trimtab.graph": text}
    write_file(str(path), write_tensors(texts, writer.tensors))
    assert flat(read_model(str(path))) == flat(model)
    assert flat(read_model(path.read_bytes())) == flat(model)
    pytest.importorskip("torch", reason="NumPy has no bfloat16 to open them with")
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        assert len(file.keys()) == len(graph.constants)
        for key in file.keys():  # noqa: SIM118 (it is no dict)
            file.get_tensor(key)


def test_names_that_are_ours_or_strange_are_kept(path: Path) -> None:
    names = ["trimtab:graph", "__metadata__", "a/b", 'quote"', "\u00e9", "\\u0041"]
    content = onnx_bytes(
        [helper.make_node("Sum", ["x", *names], ["y"], name='n"\\')],
        [("x", TensorProto.FLOAT, ["n", 4])],
        ["y"],
        {name: np.full(4, i, np.float32) for i, name in enumerate(names)},
    )
    saved(content, path)
    assert flat(read_model(str(path))) == flat(read_model(content))


def test_large_weights_stay_in_the_file_and_tied_ones_are_stored_once(
    path: Path, tmp_path: Path
) -> None:
    w = RNG.standard_normal((256, 256)).astype(np.float32)
    content = onnx_bytes(
        [
            helper.make_node("MatMul", ["x", "w"], ["h"]),
            helper.make_node("MatMul", ["h", "w"], ["y"]),
        ],
        [("x", TensorProto.FLOAT, ["n", 256])],
        ["y"],
        {"w": w},
    )
    source = tmp_path / "m.onnx"
    source.write_bytes(content)
    saved(content, path)
    assert path.stat().st_size < w.nbytes + 8192
    x = RNG.standard_normal((3, 256)).astype(np.float32)
    want = trimtab.load_model(content)(x)
    by_path = trimtab.load_model(path)
    assert by_path(x).tobytes() == want.tobytes()
    # from an artefact that lies in a file to another one, in place
    by_path.save(path, metadata={"k": "v"})
    assert trimtab.load_model(path)(x).tobytes() == want.tobytes()


@pytest.mark.zoo
@pytest.mark.parametrize("name", sorted(__import__("zoo").MODELS))
def test_models_of_the_zoo_come_back_bit_by_bit(name: str, path: Path) -> None:
    from zoo import MODELS as ZOO
    from zoo import ZooUnavailable

    try:
        source, inputs = ZOO[name].path(), ZOO[name].inputs()
    except ZooUnavailable as reason:
        pytest.skip(str(reason))
    model = trimtab.load_model(source)
    model.save(path)
    assert flat(read_model(str(path))) == flat(read_model(str(source)))
    want = model.run(inputs)
    got = trimtab.load_model(path).run(inputs)
    for key in want:
        assert want[key].tobytes() == got[key].tobytes()


# ---- what belongs to it ------------------------------------------------------------


def test_names_of_classes_steps_and_metadata_come_back(path: Path) -> None:
    from trimtab.pipeline import Pipeline

    model = trimtab.load_model(linear())
    model.save(
        path,
        class_names=["cat", "dog", "n\u00fc"],
        pipeline=Pipeline([], model, [Softmax()]),
        metadata={"states": "none", "more": "x"},
        created="2026-11-27T03:00:00Z",
    )
    again = trimtab.load_model(path)
    assert again.class_names == ["cat", "dog", "n\u00fc"]
    assert again.pipeline is not None
    assert again.pipeline.postprocess == (Softmax(),)
    np.testing.assert_array_equal(
        again.pipeline(X), Pipeline([], model, [Softmax()])(X)
    )
    metadata = again.metadata
    assert metadata == read_model(str(path)).metadata
    assert metadata["states"] == "none"
    assert metadata["author"] == "n\u00fc\U0001f600"
    assert again.provenance["created"] == "2026-11-27T03:00:00Z"
    again.save(path)  # and all of it once more
    third = trimtab.load_model(path)
    assert third.class_names == again.class_names
    assert third.pipeline is not None
    assert third.pipeline.postprocess == (Softmax(),)


def test_the_provenance_names_the_source(path: Path, tmp_path: Path) -> None:
    import hashlib

    source = tmp_path / "tiny.onnx"
    source.write_bytes(linear())
    trimtab.load_model(source).save(path)
    model = trimtab.load_model(path)
    digest = hashlib.sha256(linear()).hexdigest()
    assert model.provenance["trimtab"] == trimtab.__version__
    assert model.provenance["source"] == {
        "name": "tiny.onnx",
        "format": "onnx",
        "sha256": digest,
        "producer": "tests",
    }
    model.save(tmp_path / "again.safetensors")
    again = trimtab.load_model(tmp_path / "again.safetensors").provenance
    assert again["source"]["sha256"] == digest
    assert again["artefact"]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_step_that_is_a_function_cannot_be_stored(path: Path) -> None:
    from trimtab.pipeline import Pipeline

    model = trimtab.load_model(linear())
    with pytest.raises(trimtab.InputError, match="cannot be stored"):
        model.save(path, pipeline=Pipeline([lambda x: x], model))
    with pytest.raises(trimtab.InputError, match="metadata"):
        model.save(path, metadata={"a": 1})  # type: ignore[dict-item]
    assert not path.exists()


def test_a_source_that_has_changed_is_not_saved(path: Path, tmp_path: Path) -> None:
    source = tmp_path / "m.onnx"
    source.write_bytes(linear())
    model = trimtab.load_model(source)
    source.write_bytes(branches())
    with pytest.raises(trimtab.ModelFormatError, match="has changed"):
        model.save(path)
    assert not path.exists()


def test_a_model_of_an_object_is_pickled_as_an_artefact() -> None:
    import onnx

    model = trimtab.load_model(onnx.load_from_string(linear()), threads=1)
    again = pickle.loads(pickle.dumps(model))
    assert again(X).tobytes() == model(X).tobytes()
    assert b"onnx_ml_pb2" not in pickle.dumps(model)


def test_a_failed_write_leaves_what_was_there(path: Path) -> None:
    path.write_bytes(b"old")

    def pieces() -> Any:
        yield b"half"
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_file(str(path), pieces())
    assert path.read_bytes() == b"old"
    assert [p.name for p in path.parent.iterdir()] == [path.name]


# ---- who reads it ------------------------------------------------------------------


def test_the_package_safetensors_opens_it(path: Path) -> None:
    from safetensors import safe_open

    saved(linear(), path, golden=X)
    with safe_open(path, "np") as file:
        keys = set(file.keys())
        w = file.get_tensor("w")
        metadata = file.metadata()
    assert {"w", "trimtab:golden/0/inputs/x", "trimtab:golden/0/outputs/y"} <= keys
    np.testing.assert_array_equal(w, np.arange(12, dtype=np.float32).reshape(4, 3))
    assert json.loads(metadata["trimtab"])["version"] == 1
    assert (8 + int.from_bytes(path.read_bytes()[:8], "little")) % 64 == 0


def test_loading_imports_no_framework(path: Path) -> None:
    saved(linear(), path, golden=X)
    code = f"""
import sys
def hook(event, arguments):
    if event == "import":
        name = arguments[0].split(".")[0]
        assert name not in {{"onnx", "google", "safetensors", "torch", "hashlib",
                            "onnxruntime", "ml_dtypes"}}, name
sys.addaudithook(hook)
import trimtab, numpy as np
model = trimtab.load_model({str(path)!r})
assert model.verification.n_replayed == 1
print(model(np.ones((1, 4), np.float32)).shape)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "(1, 3)", done.stderr


# ---- lies --------------------------------------------------------------------------


def container(header: Any, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def tensor(dtype: Any, shape: Any, offsets: Any, **more: Any) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets, **more}


U8 = tensor("U8", [2], [0, 2])
HEADERS: dict[str, tuple[bytes, str]] = {
    "overlap": (
        container({"a": U8, "b": tensor("U8", [2], [1, 3])}, b"abc"),
        "they overlap",
    ),
    "same": (container({"a": U8, "b": U8}, b"ab"), "they overlap"),
    "hole": (
        container({"a": U8, "b": tensor("U8", [2], [3, 5])}, b"abcde"),
        "there is a hole",
    ),
    "hole first": (container({"a": tensor("U8", [2], [1, 3])}, b"abc"), "hole"),
    "rest": (container({"a": U8}, b"abc"), "the tensors end at"),
    "too short": (container({"a": U8}, b"a"), "the tensors end at"),
    "lying dims": (container({"a": tensor("U8", [3], [0, 2])}, b"ab"), "takes 3 bytes"),
    "lying dtype": (
        container({"a": tensor("F32", [2], [0, 2])}, b"ab"),
        "takes 8 bytes",
    ),
    "overflow": (
        container({"a": tensor("F64", [1 << 32, 1 << 32, 4], [0, 0])}),
        "takes",
    ),
    "zero and huge": (
        container({"a": tensor("F64", [(1 << 63) - 1, 0, 3], [0, 2])}, b"ab"),
        "takes 0 bytes",
    ),
    "negative dim": (container({"a": tensor("U8", [-2], [0, 2])}, b"ab"), "sizes"),
    "float dim": (container({"a": tensor("U8", [2.0], [0, 2])}, b"ab"), "sizes"),
    "bool dim": (container({"a": tensor("U8", [True], [0, 1])}, b"a"), "sizes"),
    "text dim": (container({"a": tensor("U8", ["2"], [0, 2])}, b"ab"), "sizes"),
    "deep rank": (container({"a": tensor("U8", [1] * 100, [0, 1])}, b"a"), "at most"),
    "no shape": (container({"a": {"dtype": "U8"}}), "expected dtype, shape"),
    "more keys": (container({"a": tensor("U8", [2], [0, 2], x=1)}, b"ab"), "expected"),
    "unknown dtype": (container({"a": tensor("X9", [2], [0, 2])}, b"ab"), "not known"),
    "list dtype": (container({"a": tensor([], [2], [0, 2])}, b"ab"), "not known"),
    "offsets swapped": (container({"a": tensor("U8", [2], [2, 0])}, b"ab"), "begin"),
    "offsets negative": (container({"a": tensor("U8", [2], [-1, 1])}, b"ab"), "begin"),
    "offsets three": (container({"a": tensor("U8", [2], [0, 1, 2])}, b"ab"), "begin"),
    "offsets huge": (container({"a": tensor("U8", [2], [0, 1 << 80])}), "begin"),
    "entry list": (container({"a": []}), "expected dtype"),
    "duplicate": (
        container(b'{"a":%b,"a":%b}' % ((json.dumps(U8).encode(),) * 2), b"ab"),
        "given twice",
    ),
    "duplicate inside": (
        container(b'{"a":{"dtype":"U8","dtype":"U8"}}'),
        "given twice",
    ),
    "metadata list": (container({"__metadata__": []}), "texts by name"),
    "metadata number": (container({"__metadata__": {"a": 1}}), "texts by name"),
    "not json": (container(b"{'a': 1}"), "no JSON"),
    "rest behind": (container(b"{}x"), "no JSON"),
    "cut json": (container(b'{"a":'), "no JSON"),
    "not utf-8": (container(b'{"a\xff":1}'), "no JSON"),
    "array": (container(b"[]"), "begins with"),
    "blank first": (container(b" {}"), "begins with"),
    "nan": (container(b'{"a":NaN}'), "no number"),
    "deep": (container(b'{"a":' * 100_000 + b"1" + b"}" * 100_000), "too deeply"),
    "deep list": (container(b'{"a":' + b"[" * 100_000), "too deeply"),
    "long number": (container(b'{"a":' + b"9" * 10_000 + b"}"), "no JSON"),
    "header beyond file": (b"\xff\0\0\0\0\0\0\0{}", "leaves the file"),
    "header of 2**64": (b"\xff" * 8 + b"{}", "at most"),
    "header of 200 MB": ((200_000_000).to_bytes(8, "little") + b"{}", "at most"),
    "empty": (b"", "at least 8"),
    "seven bytes": (b"\0" * 7, "at least 8"),
    "header of 0": (b"\0" * 8, "begins with"),
    "weights only": (container({"a": U8}, b"ab"), "weights only"),
    "no tensors": (container({}), "weights only"),
    "half a pair": (
        container(b'{"__metadata__":{"trimtab":"\\ud83d","trimtab.graph":""}}'),
        "no text",
    ),
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_container_that_lies_is_refused(name: str, path: Path) -> None:
    content, text = HEADERS[name]
    path.write_bytes(content)
    with pytest.raises(trimtab.ModelFormatError, match=text):
        read_model(str(path))
    with pytest.raises(trimtab.ModelFormatError, match=text):
        TensorFile(content, Limits()) and Artefact(
            TensorFile(content, Limits()), Limits()
        )


def test_parsing_is_bounded_before_it_begins() -> None:
    content = container(b'{"a":[' + b"[]," * 1000 + b"[]]}")
    with pytest.raises(trimtab.ModelLimitError, match="max_model_bytes"):
        TensorFile(content, Limits(max_model_bytes=len(content) + 10))
    with pytest.raises(trimtab.ModelLimitError, match="max_values"):
        TensorFile(container({"a": U8}, b"ab"), Limits(max_values=0))


def described(content: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """The two texts of an artefact."""
    file = TensorFile(content, Limits())
    return tuple(json.loads(file.metadata[k]) for k in ("trimtab", "trimtab.graph"))  # type: ignore[return-value]


def rebuilt(content: bytes, plain: Any, graph: Any) -> bytes:
    """The artefact with other texts."""
    file = TensorFile(content, Limits())
    texts = {
        "trimtab": plain if isinstance(plain, str) else json.dumps(plain),
        "trimtab.graph": graph if isinstance(graph, str) else json.dumps(graph),
    }
    tensors = [
        (name, place.dtype, place.shape, file.read(name))
        for name, place in file.tensors.items()
    ]
    return b"".join(write_tensors(texts, tensors))


@pytest.fixture(scope="module")
def artefact(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("native") / "m.safetensors"
    saved(branches(), path, golden={"x": X, "p": True})
    return path.read_bytes()


EDITS: dict[str, Callable[[Any, Any], Any]] = {
    "version 2": lambda p, g: p.update(version=2),
    "version text": lambda p, g: p.update(version="1"),
    "no version": lambda p, g: p.pop("version"),
    "more": lambda p, g: p.update(extra=1),
    "classes": lambda p, g: p.update(class_names="ab"),
    "class numbers": lambda p, g: p.update(class_names=[1]),
    "metadata": lambda p, g: p.update(metadata={"a": 1}),
    "pipeline": lambda p, g: p.update(pipeline=[]),
    "pipeline step": lambda p, g: p.update(
        pipeline={"preprocess": [{"kind": "no", "parameters": {}}]}
    ),
    "pipeline asset": lambda p, g: p.update(pipeline={"assets": {"a": {}}}),
    "class of half a pair": lambda p, g: p.update(class_names=["\ud83d"]),
    "origin of half a pair": lambda p, g: p["provenance"].update(created="\ud83d"),
    "golden list": lambda p, g: p.update(golden=[]),
    "golden pairs": lambda p, g: p["golden"].update(pairs={}),
    "golden pair": lambda p, g: p["golden"].update(pairs=[1]),
    "golden tensor": lambda p, g: p["golden"]["pairs"][0]["inputs"].update(
        x={"tensor": "no"}
    ),
    "golden tolerance": lambda p, g: p["golden"].update(tolerances={"float32": "x"}),
    "golden input": lambda p, g: p["golden"]["pairs"][0]["inputs"].pop("x"),
    "golden output": lambda p, g: p["golden"]["pairs"][0]["outputs"].update(
        q={"tensor": "w"}
    ),
    "golden dtype": lambda p, g: p["golden"]["pairs"][0]["inputs"].update(
        x={"tensor": "trimtab:golden/0/inputs/p"}
    ),
    "golden trace": lambda p, g: p["golden"].update(
        pairs=[{**p["golden"]["pairs"][0], "outputs": {"y": {"tensor": "w"}}}],
        trace={"tensors": [[]], "summaries": {"tensor": "w"}},
    ),
    "graphs": lambda p, g: g.update(graphs={}),
    "no graphs": lambda p, g: g.update(graphs=[]),
    "unused graph": lambda p, g: g["graphs"].append(dict(g["graphs"][-1])),
    "opsets": lambda p, g: g.update(opsets=[]),
    "opset zero": lambda p, g: g.update(opsets={"": 0}),
    "opset text": lambda p, g: g.update(opsets={"": "17"}),
    "own body": lambda p, g: g["graphs"][0]["nodes"][0]["attributes"].update(
        then_branch={"graph": 0}
    ),
    "same body": lambda p, g: g["graphs"][0]["nodes"][0]["attributes"].update(
        then_branch={"graph": 2}, else_branch={"graph": 2}
    ),
    "no such body": lambda p, g: g["graphs"][0]["nodes"][0]["attributes"].update(
        then_branch={"graph": 99}
    ),
    "nodes": lambda p, g: g["graphs"][0].update(nodes=1),
    "node": lambda p, g: g["graphs"][0].update(nodes=[1]),
    "node without op": lambda p, g: g["graphs"][0]["nodes"][0].update(op=""),
    "node with more": lambda p, g: g["graphs"][0]["nodes"][0].update(x=1),
    "op with NUL": lambda p, g: g["graphs"][0]["nodes"][1].update(op="Add\0"),
    "surrogate": lambda p, g: g["graphs"][0]["nodes"][1].update(name="\ud800"),
    "inputs": lambda p, g: g["graphs"][0]["nodes"][1].update(inputs=[1]),
    "undefined": lambda p, g: g["graphs"][0]["nodes"][1].update(inputs=["q", "q"]),
    "defined twice": lambda p, g: g["graphs"][0]["nodes"][1].update(outputs=["z"]),
    "attribute": lambda p, g: g["graphs"][0]["nodes"][1].update(attributes=[]),
    "attribute kind": lambda p, g: g["graphs"][0]["nodes"][1].update(
        attributes={"a": {"x": 1}}
    ),
    "attribute two": lambda p, g: g["graphs"][0]["nodes"][1].update(
        attributes={"a": {"int": 1, "float": 1}}
    ),
    "attribute large": lambda p, g: g["graphs"][0]["nodes"][1].update(
        attributes={"a": {"int": 1 << 64}}
    ),
    "attribute ints": lambda p, g: g["graphs"][0]["nodes"][1].update(
        attributes={"a": {"ints": [1.5]}}
    ),
    "attribute floats": lambda p, g: g["graphs"][0]["nodes"][1].update(
        attributes={"a": {"floats": ["one"]}}
    ),
    "attribute list tensor": lambda p, g: g["graphs"][0]["nodes"][1].update(
        attributes={"a": {"ints": "w"}}
    ),
    "constant": lambda p, g: g["graphs"][0].update(constants=[{"name": "w"}]),
    "constant missing": lambda p, g: g["graphs"][0]["constants"][0].update(tensor="q"),
    "constant dtype": lambda p, g: g["graphs"][0]["constants"][0].update(dtype="int4"),
    "constant shape": lambda p, g: g["graphs"][0]["constants"][0].update(shape=[5]),
    "constant rank": lambda p, g: g["graphs"][0]["constants"][0].update(
        shape=[1] * 40 + [4]
    ),
    "constant symbol": lambda p, g: g["graphs"][0]["constants"][0].update(shape=["n"]),
    "constant twice": lambda p, g: g["graphs"][0]["constants"].append(
        dict(g["graphs"][0]["constants"][0])
    ),
    "value dtype": lambda p, g: g["graphs"][0]["inputs"][0].update(dtype="int3"),
    "value dim": lambda p, g: g["graphs"][0]["inputs"][0].update(shape=[-1]),
    "value shape": lambda p, g: g["graphs"][0]["inputs"][0].update(shape="n"),
    "captures": lambda p, g: g["graphs"][0].update(captures=["nothing"]),
    "overridable": lambda p, g: g.update(overridable=[1]),
}


@pytest.mark.parametrize("name", EDITS)
def test_a_description_that_lies_is_refused(
    name: str, artefact: bytes, path: Path
) -> None:
    plain, graph = described(artefact)
    EDITS[name](plain, graph)
    content = rebuilt(artefact, plain, graph)
    with pytest.raises((trimtab.ModelFormatError, trimtab.GoldenMismatch)):
        trimtab.load_model(content)
    with suppress(trimtab.ModelFormatError):  # what is not looked at may lie
        trimtab.load_model(content, verify="off").save(path)
        trimtab.load_model(path, verify="off")


def test_a_key_given_twice_is_found_in_time() -> None:
    text = "{" + ",".join(f'"{i}":0' for i in range(200_000)) + ',"199999":0}'
    begin = time.perf_counter()
    with pytest.raises(trimtab.ModelFormatError, match="'199999' is given twice"):
        parse_json(text, "the header", Limits())
    assert time.perf_counter() - begin < 10


def test_limits_hold_for_artefacts(artefact: bytes) -> None:
    for limits in (
        Limits(max_nodes=3),
        Limits(max_values=5),
        Limits(max_depth=1),
        Limits(max_model_bytes=100),
        Limits(max_tensor_bytes=4),
    ):
        with pytest.raises(trimtab.ModelLimitError):
            trimtab.load_model(artefact, limits=limits)


def test_a_file_that_ends_early_is_refused(artefact: bytes, path: Path) -> None:
    header = int.from_bytes(artefact[:8], "little") + 8
    ends = {*range(20), *range(header - 5, header + 5), len(artefact) - 1}
    ends |= {int(x) for x in np.linspace(0, len(artefact) - 1, 60)}
    for end in ends:
        path.write_bytes(artefact[:end])
        with pytest.raises(trimtab.ModelFormatError):
            trimtab.load_model(path)
    path.write_bytes(artefact + b"\0")
    with pytest.raises(trimtab.ModelFormatError):
        trimtab.load_model(path)


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_mutants_load_or_are_refused(artefact: bytes, data: st.DataObject) -> None:
    mutant = bytearray(artefact)
    header = int.from_bytes(artefact[:8], "little") + 8
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, header + 50))
        mutant[at] = data.draw(st.integers(0, 255))
    with suppress(trimtab.TrimtabError):
        trimtab.load_model(bytes(mutant), verify="off")


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_values_of_other_kinds_are_refused(
    artefact: bytes, data: st.DataObject
) -> None:
    """Any value of the JSON replaced by one of another kind."""
    plain, graph = described(artefact)
    holder: Any = data.draw(st.sampled_from([plain, graph]))
    while True:
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        if not keys:
            return
        key = data.draw(st.sampled_from(keys))
        if isinstance(holder[key], (dict, list)) and data.draw(st.booleans()):
            holder = holder[key]
            continue
        break
    holder[key] = data.draw(
        st.sampled_from([None, -1, 1.5, "", "x", [], {}, [[]], True, 1 << 70, "\0"])
    )
    with suppress(trimtab.TrimtabError):
        trimtab.load_model(rebuilt(artefact, plain, graph))
