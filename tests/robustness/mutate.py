"""Mutants of a model file: deterministic in (model, index).

Three families take turns: raw bytes (nothing stays consistent), fields of the wire
format (lengths stay right), and ONNX messages (a well-formed file that lies).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import onnx

from .wire_tree import BYTES, VARINT, Field, decode, encode, lists, structure_offsets

#: Integers at which arithmetic of some width goes wrong.
EDGES = [
    *(0, 1, 2, 3, 7, 64, 255, 65536, 1 << 24, (1 << 31) - 1, 1 << 31, 1 << 32),
    *(1 << 40, 1 << 61, 1 << 62, (1 << 63) - 1),
    *(-1, -2, -7, -(1 << 31), -(1 << 31) - 1, -(1 << 62), -(1 << 63)),
]
OP_TYPES = (
    "Add MatMul Conv Gemm Reshape Transpose Concat Split Slice Gather Pad Softmax "
    "Resize LSTM GRU Loop If Scan Expand Tile TopK NonZero ScatterND GatherND Cast "
    "ConstantOfShape Range OneHot Unique Einsum ReduceSum MaxPool AveragePool "
    "ConvTranspose BatchNormalization LayerNormalization Where Shape Squeeze Unsqueeze "
    "CumSum Clip Compress QuantizeLinear DequantizeLinear RandomNormal Attention "
    "StringSplit Optional SequenceAt Hardmax"
).split()


class Original:
    """A file with what mutation wants to know of it, worked out once."""

    def __init__(self, path: Path) -> None:
        self.data = path.read_bytes()
        self.fields = decode(self.data)
        self.offsets = structure_offsets(self.data)
        self.proto = onnx.load_from_string(self.data)


@cache
def original(path: Path) -> Original:
    return Original(path)


# ---- raw bytes ---------------------------------------------------------------------


def flip(rng: random.Random, source: Original) -> bytes:
    data = bytearray(source.data)
    for _ in range(rng.choice([1, 1, 1, 2, 4, 16])):
        at = rng.choice(source.offsets)
        data[at] = rng.choice([data[at] ^ 1 << rng.randrange(8), rng.randrange(256)])
    return bytes(data)


def flip_anywhere(rng: random.Random, source: Original) -> bytes:
    data = bytearray(source.data)
    for _ in range(rng.choice([1, 8, 64])):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)


def truncate(rng: random.Random, source: Original) -> bytes:
    return source.data[: rng.choice(source.offsets) + rng.randrange(2)]


def splice(rng: random.Random, source: Original) -> bytes:
    at, other = rng.choice(source.offsets), rng.choice(source.offsets)
    n = rng.choice([1, 2, 8, 40, 400])
    cut = rng.choice([0, n])
    data = source.data
    return data[:at] + data[other : other + n] + data[at + cut :]


def drop_bytes(rng: random.Random, source: Original) -> bytes:
    at = rng.choice(source.offsets)
    return source.data[:at] + source.data[at + rng.choice([1, 2, 9, 100]) :]


# ---- fields of the wire format -----------------------------------------------------


def _edit_fields(
    rng: random.Random, source: Original, edit: Callable[..., None]
) -> bytes:
    fields = [field.copy() for field in source.fields]
    for _ in range(rng.choice([1, 1, 2, 5])):
        edit(rng, rng.choice(lists(fields)), fields)
    return encode(fields)


def _duplicate(rng: random.Random, siblings: list[Field], root: list[Field]) -> None:
    n = rng.choice([1, 1, 1, 300])
    field = rng.choice(siblings)
    siblings += [field.copy() for _ in range(n)]


def _remove(rng: random.Random, siblings: list[Field], root: list[Field]) -> None:
    del siblings[rng.randrange(len(siblings))]


def _swap(rng: random.Random, siblings: list[Field], root: list[Field]) -> None:
    a, b = rng.randrange(len(siblings)), rng.randrange(len(siblings))
    siblings[a], siblings[b] = siblings[b], siblings[a]


def _transplant(rng: random.Random, siblings: list[Field], root: list[Field]) -> None:
    field = rng.choice(rng.choice(lists(root))).copy()
    siblings.insert(rng.randrange(len(siblings) + 1), field)


def _renumber(rng: random.Random, siblings: list[Field], root: list[Field]) -> None:
    rng.choice(siblings).number = rng.randrange(1, 27)


def _set_value(rng: random.Random, siblings: list[Field], root: list[Field]) -> None:
    field = rng.choice(siblings)
    if field.wire_type == VARINT:
        field.value = rng.choice(EDGES)
    elif isinstance(field.value, bytes) and field.wire_type == BYTES:
        value = bytearray(field.value)
        kind = rng.randrange(4)
        if kind == 0:
            value = value[: rng.randrange(len(value) + 1)]
        elif kind == 1:
            value += bytes(rng.choice([1, 8, 1000]))
        elif kind == 2 and value:
            value[rng.randrange(len(value))] = rng.randrange(256)
        else:
            value = bytearray(rng.choice([b"", b"\xff\xfe", b"a" * 5000, b"x\0y"]))
        field.value = bytes(value)


# ---- ONNX messages -----------------------------------------------------------------


def _nodes(model: onnx.ModelProto) -> list[Any]:
    found, graphs = [], [model.graph]
    for graph in graphs:
        for node in graph.node:
            found.append(node)
            graphs += [a.g for a in node.attribute if a.HasField("g")]
    return found


def _names(model: onnx.ModelProto) -> list[str]:
    graph = model.graph
    return [
        *(name for node in graph.node for name in (*node.input, *node.output)),
        *(value.name for value in (*graph.input, *graph.output, *graph.initializer)),
        *("", "nowhere"),
    ]


def attribute_value(rng: random.Random, model: onnx.ModelProto) -> None:
    attributes = [a for node in _nodes(model) for a in node.attribute]
    if not attributes:
        return rewire(rng, model)
    a = rng.choice(attributes)
    kind = rng.randrange(4)
    if kind == 0:
        a.type = rng.randrange(15)
    elif a.ints and kind == 1:
        del a.ints[rng.randrange(len(a.ints)) :]
    elif a.ints and kind == 2:
        a.ints.extend([rng.choice(EDGES)] * rng.choice([1, 9, 70]))
    elif a.ints:
        a.ints[rng.randrange(len(a.ints))] = rng.choice(EDGES)
    elif a.HasField("i"):
        a.i = rng.choice([*EDGES, *range(-4, 17)])
    elif a.HasField("f"):
        a.f = rng.choice([0.0, -1.0, 1e38, float("nan"), float("inf")])
    elif a.HasField("s"):
        a.s = rng.choice([b"", b"SAME_UPPER", b"VALID", b"linear", b"\xff", b"z" * 999])
    elif a.HasField("t"):
        dims_of_tensor(rng, a.t)
    return None


def attribute_name(rng: random.Random, model: onnx.ModelProto) -> None:
    nodes = [node for node in _nodes(model) if node.attribute]
    if not nodes:
        return rewire(rng, model)
    node, other = rng.choice(nodes), rng.choice(nodes)
    node.attribute.append(rng.choice(other.attribute))
    if rng.random() < 0.5:
        rng.choice(node.attribute).name = rng.choice(other.attribute).name
    return None


def rewire(rng: random.Random, model: onnx.ModelProto) -> None:
    node, names = rng.choice(_nodes(model)), _names(model)
    kind, values = rng.randrange(4), rng.choice([node.input, node.input, node.output])
    if kind == 0 or not values:
        values.extend(rng.choices(names, k=rng.choice([1, 1, 3, 400])))
    elif kind == 1:
        del values[rng.randrange(len(values))]
    else:
        values[rng.randrange(len(values))] = rng.choice(names)


def operator(rng: random.Random, model: onnx.ModelProto) -> None:
    nodes = _nodes(model)
    node = rng.choice(nodes)
    node.op_type = rng.choice([*OP_TYPES, rng.choice(nodes).op_type])
    if rng.random() < 0.1:
        node.domain = rng.choice(["ai.onnx.ml", "com.microsoft", "", "x.y", "ai.onnx"])


def order(rng: random.Random, model: onnx.ModelProto) -> None:
    nodes = model.graph.node
    a, b = rng.randrange(len(nodes)), rng.randrange(len(nodes))
    if rng.random() < 0.3:
        del nodes[a]
    else:
        kept = onnx.NodeProto()
        kept.CopyFrom(nodes[a])
        nodes[a].CopyFrom(nodes[b])
        nodes[b].CopyFrom(kept)


def dims_of_tensor(rng: random.Random, tensor: onnx.TensorProto) -> None:
    kind = rng.randrange(7)
    dims = list(tensor.dims)
    if kind == 0:
        dims.insert(rng.randrange(len(dims) + 1), 1)
    elif kind == 1:
        dims.reverse()
    elif kind == 2 and len(dims) > 1:
        del dims[rng.randrange(len(dims))]
    elif kind == 3 and dims:
        dims[rng.randrange(len(dims))] = rng.choice(EDGES)
    elif kind == 4:
        tensor.data_type = rng.randrange(28)
    elif kind == 5:
        raw = bytearray(tensor.raw_data)
        raw[:8] = rng.choice(EDGES).to_bytes(8, "little", signed=True)[: len(raw[:8])]
        tensor.raw_data = bytes(raw)
    elif rng.random() < 0.5:
        dims = [rng.choice(EDGES) for _ in range(rng.choice([0, 1, 4, 9, 70]))]
    else:
        tensor.ClearField("raw_data")
        tensor.int64_data.extend(rng.choices(EDGES, k=rng.randrange(5)))
    del tensor.dims[:]
    tensor.dims.extend(dims)


def initializer(rng: random.Random, model: onnx.ModelProto) -> None:
    tensors = model.graph.initializer
    small = [t for t in tensors if len(t.raw_data) < 200] or tensors
    if not tensors:
        return attribute_value(rng, model)
    tensor = rng.choice(rng.choice([small, tensors]))
    if rng.random() < 0.1:
        tensor.data_location = onnx.TensorProto.EXTERNAL
        path = rng.choice(["/etc/passwd", "../x", "weights.bin", "", "a\0b"])
        tensor.external_data.add(key="location", value=path)
        return None
    return dims_of_tensor(rng, tensor)


def signature(rng: random.Random, model: onnx.ModelProto) -> None:
    graph = model.graph
    value = rng.choice(rng.choice([graph.input, graph.input, graph.output]))
    kind, shape = rng.randrange(6), value.type.tensor_type.shape
    if kind == 0:
        value.type.tensor_type.elem_type = rng.randrange(28)
    elif kind == 1:
        value.name = rng.choice(_names(model))
    elif kind == 2:
        value.type.tensor_type.ClearField("shape")
    elif kind == 3 or not shape.dim:
        for _ in range(rng.choice([1, 10, 70])):
            shape.dim.add(dim_value=rng.choice(EDGES))
    elif kind == 4:
        rng.choice(shape.dim).dim_param = rng.choice(["", "N", "batch_size"])
    else:
        rng.choice(shape.dim).dim_value = rng.choice([*EDGES, *range(1, 9)])


def versions(rng: random.Random, model: onnx.ModelProto) -> None:
    if rng.random() < 0.8:
        version = rng.choice([*EDGES, *range(1, 27)])
        rng.choice(model.opset_import).version = version
    else:
        model.ir_version = rng.choice(EDGES)


def grow(rng: random.Random, model: onnx.ModelProto) -> None:
    """Chains that multiply what they are given, and bodies in bodies."""
    graph = model.graph
    name = rng.choice([n for node in graph.node for n in node.output])
    n = rng.choice([3, 20, 200])
    if rng.random() < 0.5:
        for i in range(n):
            node = onnx.helper.make_node("Concat", [name] * 3, [f"more{i}"], axis=-1)
            graph.node.append(node)
            name = f"more{i}"
    else:
        for i in range(n):
            value = rng.choice(EDGES)
            size = onnx.helper.make_tensor(
                f"size{i}", onnx.TensorProto.INT64, [1], [value]
            )
            graph.initializer.append(size)
            make = rng.choice(["ConstantOfShape", "Tile", "Expand"])
            inputs = [f"size{i}"] if make[0] == "C" else [name, f"size{i}"]
            graph.node.append(onnx.helper.make_node(make, inputs, [f"more{i}"]))
            name = f"more{i}"
    graph.output.append(onnx.helper.make_empty_tensor_value_info(name))


BYTE_EDITS = [flip, flip, flip_anywhere, truncate, splice, drop_bytes]
FIELD_EDITS = [_duplicate, _remove, _swap, _transplant, _renumber, _set_value]
ONNX_EDITS = [
    *(attribute_value, attribute_value, attribute_name, rewire, operator, order),
    *(initializer, initializer, signature, versions, grow),
]


def mutant(path: Path, name: str, index: int) -> tuple[bytes, str]:
    """File number `index` made of a model, and what was done to it."""
    rng = random.Random(f"{name} {index}")
    source = original(path)
    family = index % 4  # half of them are well-formed messages that lie
    if family == 0:
        edit = rng.choice(BYTE_EDITS)
        return edit(rng, source), edit.__name__
    if family == 1:
        edit_fields = rng.choice(FIELD_EDITS)
        return _edit_fields(rng, source, edit_fields), edit_fields.__name__[1:]
    model = onnx.ModelProto()
    model.CopyFrom(source.proto)
    done = []
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        edit_model = rng.choice(ONNX_EDITS)
        edit_model(rng, model)
        done.append(edit_model.__name__)
    return model.SerializeToString(), " ".join(done)
