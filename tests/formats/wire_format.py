"""Protobuf's wire format by hand, to write files that no library would write."""

from __future__ import annotations

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number: int, payload: bytes) -> bytes:
    """A length-delimited field: message, string or bytes."""
    return varint(number << 3 | BYTES) + varint(len(payload)) + payload


def number(number_: int, value: int) -> bytes:
    """A field that holds one integer."""
    return varint(number_ << 3 | VARINT) + varint(value)


def model(graph: bytes, opset: int = 18) -> bytes:
    """ModelProto of IR version 8 around the fields of a graph."""
    return number(1, 8) + field(7, graph) + field(8, number(2, opset))
