"""Files that no reader takes, but that people may try: what they are, and what to do.

Enters: the `Head` of a file. Leaves: the error that helps, or nothing where the file is
of no kind that is known here. Whatever holds a pickle is refused as unsafe, always:
there is no option to load one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from trimtab.errors import ModelFormatError, UnsafeModelError

if TYPE_CHECKING:
    from trimtab.formats import Head

__all__ = ["refuse_known"]

# First bytes (at an offset): what such a file is, and whether reading it runs code.
_KNOWN_MAGIC: list[tuple[int, bytes, str, bool]] = [
    (0, b"\x80", "a pickle", True),
    (0, b"\x93NUMPY", "a NumPy array (.npy)", False),
    (4, b"ORTM", "an onnxruntime .ort model", False),
    (0, b"GGUF", "a GGUF file of llama.cpp", False),
    (0, b"\x1f\x8b", "a file packed by gzip", False),
    (0, b"BZh", "a file packed by bzip2", False),
    (0, b"\xfd7zXZ", "a file packed by xz", False),
    (0, b"x\x9c", "a file packed by zlib", False),
]
# A pickle of protocol 0 or 1 has no magic: it begins with a class, or a list, tuple or
# dict and where it is remembered.
_OLD_PICKLE = re.compile(
    rb"\(*[ci][A-Za-z_][\w.]*\n[A-Za-z_][\w.]*\n|\(*[ld]p\d+\n|[\]})]q[\0-\xff]"
)
# Endings of members of archives: what such an archive is.
_KNOWN_MEMBERS: list[tuple[str, str]] = [
    ("constants.pkl", "a TorchScript archive (torch.jit.save)"),
    ("data.pkl", "a file of torch.save"),
    (".pkl", "an archive with a pickle"),
    (".joblib", "an archive with a pickle"),
]
_ADVICE = (
    "reading it runs code of its author. Load it with the framework that wrote it, if "
    "you trust it, and pass the object to load_model, or export it "
    "(torch.export.save, torch.onnx.export, skl2onnx)"
)


def _unpacked(first: bytes) -> bytes:
    """First bytes of what gzip or zlib packed, as joblib does with its pickles."""
    if not first.startswith((b"\x1f\x8b", b"x\x01", b"x^", b"x\x9c", b"x\xda")):
        return b""
    import zlib

    try:
        return zlib.decompressobj(wbits=47).decompress(first, 16)
    except zlib.error:
        return b""


def refuse_known(head: Head, what: str, supported: str) -> None:
    """Raise what is known of a file that no reader takes.

    Parameters
    ----------
    head : Head
    what : str
        The file, for the message.
    supported : str
        What could be loaded instead.

    Raises
    ------
    UnsafeModelError
        It is or holds a pickle.
    ModelFormatError
        It is of another known kind.

    Examples
    --------
    >>> from trimtab.formats import Head
    >>> refuse_known(Head(b"GGUF"), "m.gguf", "onnx")
    Traceback (most recent call last):
        ...
    trimtab.errors.ModelFormatError: m.gguf looks like a GGUF file of llama.cpp; \
supported are: onnx
    """
    for ending, name in _KNOWN_MEMBERS:
        if any(member.endswith(ending) for member in head.names):
            raise UnsafeModelError(f"{what} looks like {name}: {_ADVICE}")
    if _OLD_PICKLE.match(head.first) or _unpacked(head.first)[:1] == b"\x80":
        raise UnsafeModelError(f"{what} looks like a pickle: {_ADVICE}")
    for offset, magic, name, is_unsafe in _KNOWN_MAGIC:
        if head.first[offset : offset + len(magic)] != magic:
            continue
        if is_unsafe:
            raise UnsafeModelError(f"{what} looks like {name}: {_ADVICE}")
        raise ModelFormatError(f"{what} looks like {name}; supported are: {supported}")
