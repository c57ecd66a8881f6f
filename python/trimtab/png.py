"""Pictures as PNG, without an image library."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import numpy.typing as npt

__all__ = ["encode_png"]

# Channels -> colour type: grey, colours, colours with opacity.
_COLOUR_TYPES = {1: 0, 3: 2, 4: 6}


def encode_png(image: npt.NDArray[np.uint8]) -> bytes:
    """Encode a picture.

    Parameters
    ----------
    image : ndarray of uint8
        (height, width) or (height, width, 1, 3 or 4 channels).

    Returns
    -------
    png : bytes

    Examples
    --------
    >>> encode_png(np.zeros((2, 3), np.uint8))[:4]
    b'\\x89PNG'
    """
    pixels = image[:, :, None] if image.ndim == 2 else image
    height, width, channels = pixels.shape
    # Each row begins with its filter: 0, none.
    rows = np.zeros((height, 1 + width * channels), np.uint8)
    rows[:, 1:] = pixels.reshape(height, -1)
    head = struct.pack(">IIBBBBB", width, height, 8, _COLOUR_TYPES[channels], 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        _chunk(kind, data)
        for kind, data in (
            (b"IHDR", head),
            (b"IDAT", zlib.compress(rows.tobytes(), level=6)),
            (b"IEND", b""),
        )
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk: length, kind, data, CRC of both."""
    crc = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)
