"""An ONNX file as a tree of protobuf fields that can be edited and written again.

What enters: bytes. What leaves: `Field` objects; `encode` gives the bytes of a tree,
with correct lengths whatever was done to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import onnx

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


@dataclass
class Field:
    """One field: its number, wire type and value; a message's value is a list."""

    number: int
    wire_type: int
    value: int | bytes | list[Field]
    message: Any = None  # descriptor, where the value is a list

    def copy(self) -> Field:
        value = self.value
        if isinstance(value, list):
            value = [child.copy() for child in value]
        return Field(self.number, self.wire_type, value, self.message)


def varint(value: int) -> bytes:
    """Base-128 digits, the lowest first; negative numbers as 64 bits."""
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """A number and where the next field begins."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def decode(data: bytes, message: Any = onnx.ModelProto.DESCRIPTOR) -> list[Field]:
    """The fields of a message and of the messages in it."""
    fields: list[Field] = []
    at = 0
    while at < len(data):
        tag, at = read_varint(data, at)
        number, wire_type = tag >> 3, tag & 7
        child = message.fields_by_number.get(number)
        child = child.message_type if child is not None else None
        value: int | bytes | list[Field]
        if wire_type == VARINT:
            value, at = read_varint(data, at)
        elif wire_type == BYTES:
            n, at = read_varint(data, at)
            part = data[at : at + n]
            value, at = (decode(part, child) if child else part), at + n
        else:
            n = 8 if wire_type == FIXED64 else 4
            value, at = data[at : at + n], at + n
        fields.append(Field(number, wire_type, value, child))
    return fields


def encode(fields: list[Field]) -> bytes:
    """The bytes of the fields, one after the other."""
    out = bytearray()
    for field in fields:
        out += varint(field.number << 3 | field.wire_type)
        if isinstance(field.value, int):
            out += varint(field.value)
            continue
        part = encode(field.value) if isinstance(field.value, list) else field.value
        if field.wire_type == BYTES:
            out += varint(len(part))
        out += part
    return bytes(out)


def lists(fields: list[Field]) -> list[list[Field]]:
    """Every list of siblings that is not empty, the outermost first."""
    found = [fields]
    for siblings in found:
        found += [f.value for f in siblings if isinstance(f.value, list) and f.value]
    return found


def structure_offsets(data: bytes) -> list[int]:
    """Offsets of bytes that are no weights: tags, lengths, numbers, short texts."""
    offsets: list[int] = []
    waiting = [(0, len(data), onnx.ModelProto.DESCRIPTOR)]
    while waiting:
        at, end, message = waiting.pop()
        while at < end:
            start = at
            tag, at = read_varint(data, at)
            child = message.fields_by_number.get(tag >> 3)
            child = child.message_type if child is not None else None
            if tag & 7 == VARINT:
                _, at = read_varint(data, at)
            elif tag & 7 == BYTES:
                n, at = read_varint(data, at)
                if child is not None:
                    waiting.append((at, at + n, child))
                offsets += range(start, at + (0 if child is not None else min(n, 64)))
                at += n
                continue
            else:
                at += 8 if tag & 7 == FIXED64 else 4
            offsets += range(start, at)
    return offsets
