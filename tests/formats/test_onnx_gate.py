"""The gate before protobuf: its table, and that its estimate bounds what upb takes."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import Any

import onnx
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from trimtab import Limits, ModelFormatError, ModelLimitError, _core

from .wire_format import FIXED32, FIXED64, VARINT, field, number, varint

TABLE = Path(__file__).parents[2] / "csrc" / "graph" / "onnx_fields.h"
REPEATED_KINDS = {
    FieldDescriptor.TYPE_INT64: "INT64S",
    FieldDescriptor.TYPE_UINT64: "INT64S",
    FieldDescriptor.TYPE_INT32: "INT32S",
    FieldDescriptor.TYPE_FLOAT: "FLOATS",
    FieldDescriptor.TYPE_DOUBLE: "DOUBLES",
}
TEXTS = (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES)


def messages() -> dict[str, Descriptor]:
    """Every message that a ModelProto can hold, by full name, outermost first."""
    found = {"onnx.ModelProto": onnx.ModelProto.DESCRIPTOR}
    waiting = list(found.values())
    for message in waiting:
        for f in message.fields:
            if f.message_type and f.message_type.full_name not in found:
                found[f.message_type.full_name] = f.message_type
                waiting.append(f.message_type)
    return found


def table_name(full_name: str) -> str:
    name = full_name.removeprefix("onnx.").replace("Proto", "").replace(".", "_")
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).upper()


def kind_of(f: Any) -> str:
    if f.message_type:
        return "MESSAGE"
    if f.type in TEXTS:
        return "TEXT"
    return REPEATED_KINDS[f.type] if f.is_repeated else "NUMBER"


def test_table_of_fields_equals_the_descriptor() -> None:
    text = TABLE.read_text()
    rows = re.findall(r"X\((\w+), (\d+), (\w+), (\w+)\)", text)
    expected = {
        (
            table_name(name),
            str(f.number),
            kind_of(f),
            table_name(f.message_type.full_name) if f.message_type else "NONE",
        )
        for name, message in messages().items()
        for f in message.fields
    }
    assert set(rows) == expected
    assert len(rows) == len(expected)
    listed = re.findall(r"^    X\((\w+)\)", text, re.M)
    assert sorted(listed) == sorted(map(table_name, messages()))


# ---- the estimate against what upb takes -------------------------------------


def path_to(target: str) -> list[int]:
    """Field numbers from ModelProto down to a message of this type."""
    paths: dict[str, list[int]] = {"onnx.ModelProto": []}
    for name, message in messages().items():
        for f in message.fields:
            if f.message_type:
                paths.setdefault(
                    f.message_type.full_name, [*paths.get(name, []), f.number]
                )
    return paths[target]


def smallest(f: Any) -> bytes:
    """The shortest field of this kind, not packed."""
    if f.message_type or f.type in TEXTS:
        return field(f.number, b"")
    if f.type == FieldDescriptor.TYPE_FLOAT:
        return varint(f.number << 3 | FIXED32) + bytes(4)
    if f.type == FieldDescriptor.TYPE_DOUBLE:
        return varint(f.number << 3 | FIXED64) + bytes(8)
    return varint(f.number << 3 | VARINT) + b"\0"


def repeated_fields() -> list[Any]:
    return [f for m in messages().values() for f in m.fields if f.is_repeated]


def fill(f: Any, payload: bytes, n: int) -> bytes:
    """A file with n of these fields in one message."""
    data = payload * n
    for number_ in reversed(path_to(f.containing_type.full_name)):
        data = field(number_, data)
    return data


def accepts(data: bytes, limits: Limits) -> bool:
    try:
        _core.onnx_gate(data, limits)
    except ModelLimitError:
        return False
    return True


def largest_accepted(f: Any, payload: bytes, limits: Limits) -> int:
    low, high = 0, 1 << 23
    while high - low > low // 50 + 1:
        n = (low + high) // 2
        low, high = (n, high) if accepts(fill(f, payload, n), limits) else (low, n)
    return low


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def growth_of_parsing(data: bytes) -> int:
    """Bytes that parsing adds to a fresh process."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover
        try:
            before = resident_bytes()
            proto = onnx.ModelProto()
            proto.ParseFromString(data)
            os.write(write, str(resident_bytes() - before).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    return int(text)


@pytest.mark.parametrize("f", repeated_fields(), ids=lambda f: f.full_name[5:])
def test_what_passes_the_gate_takes_no_more_than_estimated(f: Any) -> None:
    # 24 MiB in all; the bytes of the file itself and some pages of upb come on top.
    budget = 24 << 20
    limits = Limits(max_model_bytes=budget, max_nodes=1 << 40, max_values=1 << 40)
    payload = smallest(f)
    n = largest_accepted(f, payload, limits)
    assert n > 1000
    data = fill(f, payload, n)
    assert growth_of_parsing(data) <= budget + len(data) + (4 << 20)


@pytest.mark.parametrize("name", ["dims", "int64_data", "int32_data", "uint64_data"])
def test_packed_numbers_are_estimated_too(name: str) -> None:
    f = onnx.TensorProto.DESCRIPTOR.fields_by_name[name]
    budget = 24 << 20
    limits = Limits(max_model_bytes=budget)
    n = largest_accepted(f, field(f.number, bytes(1000)), limits)
    data = fill(f, field(f.number, bytes(1000)), n)
    assert 10 < n < 10_000
    assert growth_of_parsing(data) <= budget + len(data) + (4 << 20)


def test_unknown_fields_may_hold_messages_of_a_newer_onnx() -> None:
    data = field(7, field(1000, b"\x0a\x00" * 100_000))
    with pytest.raises(ModelLimitError, match="64 MiB"):
        _core.onnx_gate(data * 5)
    _core.onnx_gate(field(7, field(1000, bytes(1000))))


# ---- what it costs and says ---------------------------------------------------


def test_two_megabytes_of_empty_nodes_are_refused_at_once() -> None:
    data = field(7, field(1, b"") * 1_000_000)
    start = time.perf_counter()
    with pytest.raises(ModelLimitError, match=f"parsing these {len(data)} bytes"):
        _core.onnx_gate(data)
    assert time.perf_counter() - start < 0.5


def test_messages_name_the_byte() -> None:
    with pytest.raises(ModelFormatError, match=r"byte \d+: not an ONNX file"):
        _core.onnx_gate(number(1, 8) + b"\x3a\x7f\x0a")
