"""Makes TFLite files with the builders of the package `tflite`, which is not ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np
import tflite

TYPES = {
    name.lower(): code
    for name, code in vars(tflite.TensorType).items()
    if isinstance(code, int)
}


@dataclass
class Tensor:
    """A tensor; `data` makes it a constant, `scale` quantises it."""

    name: str
    shape: Sequence[int] = ()
    dtype: str = "float32"
    data: Any = None
    scale: Any = None
    zero: Any = 0
    axis: int = 0
    variable: bool = False
    signature: Sequence[int] | None = None
    packed: bytes | None = None  # instead of data

    @classmethod
    def of(cls, name: str, data: Any, **more: Any) -> Tensor:
        """A constant."""
        data = np.asarray(data)
        dtype = more.pop("dtype", data.dtype.name)
        return cls(name, data.shape, dtype, data, **more)


@dataclass
class Op:
    """An operator over tensors by number."""

    kind: str
    inputs: Sequence[int]
    outputs: Sequence[int]
    table: str = ""  # "Conv2D"
    options: Mapping[str, Any] = field(default_factory=dict)  # {"StrideW": 1}
    version: int = 1
    custom: str = ""
    custom_options: bytes = b""


@dataclass
class Subgraph:
    """Tensors, operators, and what goes in and out."""

    tensors: Sequence[Tensor]
    ops: Sequence[Op]
    inputs: Sequence[int]
    outputs: Sequence[int]
    name: str = "main"


class _Writer:
    def __init__(self) -> None:
        self.b = flatbuffers.Builder(1024)
        self.buffers: list[bytes] = [b""]
        self.codes: list[tuple[str, str, int]] = []

    def table(self, name: str, **fields: Any) -> int:
        """Offsets and numbers by the names of the package's functions."""
        getattr(tflite, f"{name}Start")(self.b)
        for key, value in fields.items():
            if value is not None:
                getattr(tflite, f"{name}Add{key}")(self.b, value)
        return getattr(tflite, f"{name}End")(self.b)

    def offsets(self, values: Sequence[int]) -> int:
        self.b.StartVector(4, len(values), 4)
        for value in reversed(values):
            self.b.PrependUOffsetTRelative(value)
        return self.b.EndVector()

    def vector(self, values: Any, dtype: str) -> int:
        return self.b.CreateNumpyVector(np.asarray(values, dtype).reshape(-1))

    def quantization(self, tensor: Tensor) -> int | None:
        if tensor.scale is None:
            return None
        scale = self.vector(tensor.scale, "float32")
        zero = np.broadcast_to(tensor.zero, np.size(tensor.scale))
        return self.table(
            "QuantizationParameters",
            Scale=scale,
            ZeroPoint=self.vector(zero, "int64"),
            QuantizedDimension=tensor.axis,
        )

    def tensor(self, tensor: Tensor) -> int:
        buffer = 0
        data = tensor.packed
        if data is None and tensor.data is not None:
            data = np.asarray(tensor.data, tensor.dtype).tobytes()
        if data is not None:
            self.buffers.append(data)
            buffer = len(self.buffers) - 1
        name = self.b.CreateString(tensor.name)
        shape = self.vector(tensor.shape, "int32")
        signature = tensor.signature
        return self.table(
            "Tensor",
            Name=name,
            Shape=shape,
            Type=TYPES[tensor.dtype],
            Buffer=buffer,
            Quantization=self.quantization(tensor),
            IsVariable=tensor.variable,
            ShapeSignature=(
                None if signature is None else self.vector(signature, "int32")
            ),
        )

    def options(self, op: Op) -> tuple[int, int | None]:
        if not op.table:
            return 0, None
        fields = {}
        for key, value in op.options.items():
            if isinstance(value, str):
                value = self.b.CreateString(value)
            elif isinstance(value, list):
                value = self.vector(value, "int32")
            fields[key] = value
        name = f"{op.table}Options"
        return getattr(tflite.BuiltinOptions, name), self.table(name, **fields)

    def operator(self, op: Op) -> int:
        code = (op.kind, op.custom, op.version)
        if code not in self.codes:
            self.codes.append(code)
        kind, options = self.options(op)
        inputs, outputs = (self.vector(v, "int32") for v in (op.inputs, op.outputs))
        custom = self.vector(list(op.custom_options), "uint8") if op.custom else None
        return self.table(
            "Operator",
            OpcodeIndex=self.codes.index(code),
            Inputs=inputs,
            Outputs=outputs,
            BuiltinOptionsType=kind,
            BuiltinOptions=options,
            CustomOptions=custom,
        )

    def subgraph(self, graph: Subgraph) -> int:
        tensors = self.offsets([self.tensor(tensor) for tensor in graph.tensors])
        operators = self.offsets([self.operator(op) for op in graph.ops])
        inputs, outputs = (
            self.vector(v, "int32") for v in (graph.inputs, graph.outputs)
        )
        name = self.b.CreateString(graph.name)
        return self.table(
            "SubGraph",
            Tensors=tensors,
            Inputs=inputs,
            Outputs=outputs,
            Operators=operators,
            Name=name,
        )

    def code(self, code: tuple[str, str, int]) -> int:
        kind, custom, version = code
        number = getattr(tflite.BuiltinOperator, kind)
        name = self.b.CreateString(custom) if custom else None
        return self.table(
            "OperatorCode",
            DeprecatedBuiltinCode=min(number, 127),
            CustomCode=name,
            Version=version,
            BuiltinCode=number,
        )

    def buffer(self, data: bytes) -> int:
        found = None
        if data:
            self.b.StartVector(1, len(data), 16)
            self.b.head = self.b.head - len(data)
            self.b.Bytes[self.b.Head() : self.b.Head() + len(data)] = data
            found = self.b.EndVector()
        return self.table("Buffer", Data=found)

    def signature(
        self, key: str, index: int, names: Sequence[Mapping[str, int]]
    ) -> int:
        maps = []
        for side in names:
            entries = []
            for name, tensor in side.items():
                text = self.b.CreateString(name)
                entries.append(self.table("TensorMap", Name=text, TensorIndex=tensor))
            maps.append(self.offsets(entries))
        text = self.b.CreateString(key)
        return self.table(
            "SignatureDef",
            Inputs=maps[0],
            Outputs=maps[1],
            SignatureKey=text,
            SubgraphIndex=index,
        )


def make_file(
    *subgraphs: Subgraph,
    signatures: Sequence[tuple[str, int, Mapping[str, int], Mapping[str, int]]] = (),
) -> bytes:
    """The bytes of a file."""
    w = _Writer()
    graphs = w.offsets([w.subgraph(graph) for graph in subgraphs])
    codes = w.offsets([w.code(code) for code in w.codes])
    buffers = w.offsets([w.buffer(data) for data in w.buffers])
    named = [w.signature(key, i, names) for key, i, *names in signatures]
    root = w.table(
        "Model",
        Version=3,
        OperatorCodes=codes,
        Subgraphs=graphs,
        Buffers=buffers,
        SignatureDefs=w.offsets(named) if named else None,
    )
    w.b.Finish(root, b"TFL3")
    return bytes(w.b.Output())


def run_interpreter(
    data: bytes, *feeds: Any, steps: int = 1, reference: bool = True
) -> list[np.ndarray[Any, Any]]:
    """Outputs of the TFLite interpreter after some steps, by its reference kernels."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_content=data,
        experimental_op_resolver_type=(
            OpResolverType.BUILTIN_REF
            if reference
            else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        ),
        num_threads=1,
    )
    details = interpreter.get_input_details()
    for detail, feed in zip(details, feeds, strict=True):
        interpreter.resize_tensor_input(detail["index"], np.shape(feed))
    interpreter.allocate_tensors()
    for _ in range(steps):
        for detail, feed in zip(details, feeds, strict=True):
            interpreter.set_tensor(detail["index"], np.asarray(feed, detail["dtype"]))
        interpreter.invoke()
    return [
        interpreter.get_tensor(detail["index"])
        for detail in interpreter.get_output_details()
    ]
