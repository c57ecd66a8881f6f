"""What a model needs is told from its structure alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import trimtab
from trimtab.cli import main

N_BYTES = 2 << 30


def model_of(nodes: list, weight: TensorProto | None = None, **options) -> bytes:
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("n", 4))],
        [helper.make_empty_tensor_value_info("y")],
        [weight] if weight else [],
    )
    opsets = options.pop("opsets", [helper.make_opsetid("", 17)])
    return helper.make_model(graph, opset_imports=opsets, **options).SerializeToString()


def varint(n: int) -> bytes:
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes([*out, n])


def field(number: int, n_bytes: int) -> bytes:
    """Tag and length of a field of bytes."""
    return varint(number << 3 | 2) + varint(n_bytes)


def write_big_file(path: Path) -> None:
    """A model with a weight of 2 GB in it, which is a hole in the file."""
    head = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[N_BYTES // 16, 4])
    tensor = head.SerializeToString() + field(9, N_BYTES)
    inner = field(5, len(tensor) + N_BYTES) + tensor
    plain = onnx.ModelProto.FromString(
        model_of([helper.make_node("Gemm", ["x", "w"], ["y"], transB=1)])
    )
    graph = plain.graph.SerializeToString()
    plain.ClearField("graph")
    with path.open("wb") as file:
        file.write(plain.SerializeToString())
        file.write(field(7, len(graph) + len(inner) + N_BYTES) + graph + inner)
        file.truncate(file.tell() + N_BYTES)


def test_two_gigabytes_of_weights_are_not_read(tmp_path: Path) -> None:
    """In a process of its own: the answer, the seconds, and the memory it took."""
    path = tmp_path / "big.onnx"
    write_big_file(path)
    code = (
        "import re, sys, time, trimtab\n"
        "begin = time.process_time()\n"
        "support = trimtab.describe_support(sys.argv[1])\n"
        "seconds = time.process_time() - begin\n"
        "status = open('/proc/self/status').read()\n"  # a fork's rusage is the parent's
        "peak = re.search(r'VmHWM:\\s*(\\d+)', status)[1]\n"
        "print(support.is_complete, support.operators[0].op_type, seconds, peak)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True,
        text=True,
        check=False,
        env=dict(os.environ),
    )
    assert done.returncode == 0, done.stderr
    is_complete, op_type, seconds, peak = done.stdout.split()
    assert (is_complete, op_type) == ("True", "Gemm")
    assert float(seconds) < 1
    assert int(peak) < 150_000  # kB; the weights are 2 GB


def test_files_beside_the_model_are_not_opened(tmp_path: Path) -> None:
    weight = TensorProto(
        name="w",
        data_type=TensorProto.FLOAT,
        dims=[1 << 28, 4],
        data_location=TensorProto.EXTERNAL,
    )
    entry = weight.external_data.add()
    entry.key, entry.value = "location", "absent.bin"
    path = tmp_path / "external.onnx"
    path.write_bytes(
        model_of([helper.make_node("Gemm", ["x", "w"], ["y"], transB=1)], weight)
    )
    assert trimtab.describe_support(path).is_complete
    with pytest.raises(trimtab.ModelFormatError, match=r"absent\.bin"):
        trimtab.load_model(path)


@pytest.fixture
def mixed() -> bytes:
    """One operator of each kind: in the engine, rewritten, in Python, nowhere."""
    body = [helper.make_node("Relu", ["a"], ["b"])]
    opsets = [
        helper.make_opsetid("", 17),
        helper.make_opsetid("own", 1),
        helper.make_opsetid("ai.onnx.ml", 3),
        helper.make_opsetid("example", 2),
    ]
    function = helper.make_function("own", "Twice", ["a"], ["b"], body, opsets[:1])
    nodes = [
        helper.make_node("Twice", ["x"], ["t"], domain="own"),
        helper.make_node("Abs", ["t"], ["u"]),
        helper.make_node("Abs", ["u"], ["v"]),
        helper.make_node(
            "Scaler",
            ["v"],
            ["w"],
            domain="ai.onnx.ml",
            offset=[0.0],
            scale=[2.0],
        ),
        helper.make_node("Mystery", ["w"], ["y"], domain="example", name="m"),
    ]
    return model_of(nodes, opsets=opsets, functions=[function])


def test_every_way_of_running_is_told_apart(mixed: bytes) -> None:
    support = trimtab.describe_support(mixed)
    runs = {use.op_type: (use.runs, use.n_nodes) for use in support.operators}
    assert runs["Twice"] == ("rewritten", 1)
    assert runs["Scaler"] == ("rewritten", 1)
    assert runs["Relu"] == ("engine", 1)
    assert runs["Abs"] == ("engine", 2)
    assert runs["Mystery"] == ("nothing", 1)
    assert support.operators[0].op_type == "Mystery"  # what is refused comes first
    assert support.operators[0].reason
    assert not support.is_loadable


def test_the_command_says_whether_the_model_would_be_taken(
    mixed: bytes, rare: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(mixed)
    assert main(["info", "--support", str(path)]) == 1
    assert "Mystery" in capsys.readouterr().out
    path.write_bytes(rare)
    assert main(["info", "--support", "--json", str(path)]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["is_loadable"]
    assert not values["is_complete"]
    assert main(["info", "--support", "--no-fallback", str(path)]) == 1


def test_other_formats_have_the_table_too(
    tmp_path: Path, serialize_model: Callable[[Path], None]
) -> None:
    path = tmp_path / "model.safetensors"
    serialize_model(path)
    support = trimtab.describe_support(path)
    assert [use.op_type for use in support.operators] == ["Relu"]


@pytest.fixture
def serialize_model() -> Callable[[Path], None]:
    """Saves a small model as an artefact."""

    def save(path: Path) -> None:
        model = trimtab.load_model(model_of([helper.make_node("Relu", ["x"], ["y"])]))
        model(np.zeros((1, 4), np.float32))
        model.save(path)

    return save
