"""Pictures: from a file's bytes to the array that a vision model takes.

PNG is read here with zlib and NumPy alone (8 and 16 bits, gray, RGB, palette,
alpha; not interlaced), after the PNG specification, third edition (W3C 2023).
Other formats go through Pillow where it is installed.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from trimtab.errors import InputError

__all__ = [
    "MAX_PIXELS",
    "center_crop",
    "normalize_image",
    "read_image",
    "read_png",
    "resize_image",
]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # colour type -> samples per pixel
MAX_PIXELS = 1 << 28

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def read_image(
    source: str | os.PathLike[str] | bytes,
    *,
    orient: bool = False,
    max_pixels: int = MAX_PIXELS,
) -> npt.NDArray[np.uint8]:
    """Read a picture as RGB.

    Parameters
    ----------
    source : path or bytes
        A file, or what it holds. PNG needs nothing else; JPEG and the like
        need Pillow.
    orient : bool, default=False
        Turn a photo as its camera says (EXIF).
    max_pixels : int, default=268435456
        Larger pictures are refused before they are decoded.

    Returns
    -------
    image : ndarray of uint8, shape (height, width, 3)
        Gray is repeated over the three channels, alpha is dropped.

    Raises
    ------
    InputError
        The bytes are no picture that can be read, or it is too large.
    ImportError
        The format needs Pillow, which is not installed.

    Examples
    --------
    >>> import base64
    >>> dot = base64.b64decode(
    ...     "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/p"
    ...     "LvAAAAAElFTkSuQmCC"
    ... )
    >>> read_image(dot).tolist()
    [[[255, 0, 0]]]
    """
    data = bytes(source) if isinstance(source, bytes) else Path(source).read_bytes()
    if data.startswith(_SIGNATURE) and not (orient and b"eXIf" in data):
        image = read_png(data, max_pixels=max_pixels)
    else:
        image = _read_with_pillow(data, orient, max_pixels)
    if image.ndim == 2:
        image = image[..., None]
    if image.shape[-1] <= 2:
        return np.repeat(image[..., :1], 3, axis=-1)
    return np.ascontiguousarray(image[..., :3])


def _read_with_pillow(
    data: bytes, orient: bool, max_pixels: int
) -> npt.NDArray[np.uint8]:
    try:
        from PIL import Image, ImageOps, UnidentifiedImageError
    except ImportError:
        raise ImportError(
            "only PNG is read without Pillow: pip install 'trimtab[image]', or convert "
            "the file"
        ) from None
    try:
        with Image.open(io.BytesIO(data)) as image:
            _check_size(image.width, image.height, max_pixels)
            turned = ImageOps.exif_transpose(image) if orient else image
            return np.asarray(turned.convert("RGB"), dtype=np.uint8)
    except InputError:
        raise
    except UnidentifiedImageError:
        raise InputError(
            f"expected a picture, got {len(data)} bytes that start with {data[:8]!r}"
        ) from None
    except Exception as error:  # its decoders raise whatever they come across
        raise InputError(f"the picture cannot be decoded: {error}") from None


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if not 0 < width * height <= max_pixels:
        raise InputError(
            f"a picture of {width} x {height} is outside of 1 to {max_pixels} pixels"
        )


def read_png(data: bytes, *, max_pixels: int = MAX_PIXELS) -> npt.NDArray[np.uint8]:
    """Decode a PNG.

    Parameters
    ----------
    data : bytes
        The file, with 8 or 16 bits per sample (or a palette of 1 to 8 bits, or
        gray of 1 to 8 bits), not interlaced.
    max_pixels : int, default=268435456

    Returns
    -------
    image : ndarray of uint8, shape (height, width) or (height, width, channels)
        Gray, gray and alpha, RGB or RGBA as in the file; a palette becomes RGB;
        16 bits keep their upper 8.

    Raises
    ------
    InputError
        The bytes are damaged, or of a kind that is not read here.

    Examples
    --------
    >>> read_png(b"GIF89a")
    Traceback (most recent call last):
    ...
    trimtab.errors.InputError: expected a PNG, got bytes that start with b'GIF89a'
    """
    if not data.startswith(_SIGNATURE):
        raise InputError(f"expected a PNG, got bytes that start with {data[:8]!r}")
    chunks = _read_chunks(data)
    header = chunks.get(b"IHDR", b"")
    if len(header) != 13:
        raise InputError(f"PNG header: expected 13 bytes, got {len(header)}")
    width, height, depth, colour, compression, filtering, interlace = struct.unpack(
        ">IIBBBBB", header
    )
    if colour not in _CHANNELS or depth not in (1, 2, 4, 8, 16):
        raise InputError(f"PNG: unknown colour type {colour} with {depth} bits")
    if depth < 8 and colour not in (0, 3):
        raise InputError(f"PNG: colour type {colour} cannot have {depth} bits")
    if compression or filtering or interlace:
        raise InputError(
            "PNG: interlaced files are not read; save it without interlacing"
        )
    _check_size(width, height, max_pixels)
    n_channels = _CHANNELS[colour]
    row_bytes = (width * n_channels * depth + 7) // 8
    pixel_bytes = max(1, n_channels * depth // 8)
    raw = _inflate(chunks.get(b"IDAT", b""), height * (row_bytes + 1))
    rows = _unfilter(
        np.frombuffer(raw, np.uint8).reshape(height, row_bytes + 1), pixel_bytes
    )
    image = _unpack_samples(rows, width, n_channels, depth)
    if colour == 3:
        return _apply_palette(image, chunks.get(b"PLTE", b""))
    if depth < 8:
        image = image * np.uint8(255 // (2**depth - 1))
    return image[..., 0] if n_channels == 1 else image


def _read_chunks(data: bytes) -> dict[bytes, bytes]:
    parts: dict[bytes, list[bytes]] = {}
    at = len(_SIGNATURE)
    while at < len(data):
        if at + 12 > len(data):
            raise InputError(f"PNG: truncated at byte {at}")
        size, kind = struct.unpack_from(">I4s", data, at)
        body = data[at + 8 : at + 8 + size]
        crc = data[at + 8 + size : at + 12 + size]
        if len(crc) != 4 or zlib.crc32(kind + body) != int.from_bytes(crc, "big"):
            raise InputError(f"PNG: chunk {kind!r} at byte {at} is damaged")
        parts.setdefault(kind, []).append(body)
        at += 12 + size
        if kind == b"IEND":
            break
    return {kind: b"".join(bodies) for kind, bodies in parts.items()}


def _inflate(packed: bytes, n_bytes: int) -> bytes:
    engine = zlib.decompressobj()
    try:
        raw = engine.decompress(packed, n_bytes)
    except zlib.error as error:
        raise InputError(f"PNG: pixel data is damaged: {error}") from None
    if len(raw) != n_bytes:
        raise InputError(f"PNG: expected {n_bytes} bytes of pixels, got {len(raw)}")
    return raw


def _unfilter(
    filtered: npt.NDArray[np.uint8], pixel_bytes: int
) -> npt.NDArray[np.uint8]:
    """Undo the per-row prediction (None, Sub, Up, Average, Paeth)."""
    kinds = filtered[:, 0]
    rows: npt.NDArray[np.uint8] = filtered[:, 1:].copy()
    if kinds.max() > 4:
        raise InputError(f"PNG: unknown row filter {kinds.max()}")
    row_bytes = rows.shape[1]
    above = np.zeros(row_bytes, np.uint8)
    for kind, row in zip(kinds.tolist(), rows, strict=True):
        if kind == 1:
            _undo_sub(row, pixel_bytes)
        elif kind == 2:
            row += above
        elif kind == 3:
            _undo_average(row, above, pixel_bytes)
        elif kind == 4:
            _undo_paeth(row, above, pixel_bytes)
        above = row
    return rows


def _undo_sub(row: npt.NDArray[np.uint8], step: int) -> None:
    for channel in range(step):
        row[channel::step] = np.cumsum(row[channel::step], dtype=np.uint8)


def _undo_average(
    row: npt.NDArray[np.uint8], above: npt.NDArray[np.uint8], step: int
) -> None:
    out, up = row.tolist(), above.tolist()
    for i in range(len(out)):
        left = out[i - step] if i >= step else 0
        out[i] = (out[i] + (left + up[i]) // 2) & 255
    row[:] = out


def _undo_paeth(
    row: npt.NDArray[np.uint8], above: npt.NDArray[np.uint8], step: int
) -> None:
    out, up = row.tolist(), above.tolist()
    for i in range(min(step, len(out))):
        out[i] = (out[i] + up[i]) & 255
    for i in range(step, len(out)):
        left, top, corner = out[i - step], up[i], up[i - step]
        to_left, to_top = abs(top - corner), abs(left - corner)
        to_corner = abs(left + top - 2 * corner)
        if to_left <= to_top and to_left <= to_corner:
            guess = left
        elif to_top <= to_corner:
            guess = top
        else:
            guess = corner
        out[i] = (out[i] + guess) & 255
    row[:] = out


def _unpack_samples(
    rows: npt.NDArray[np.uint8], width: int, n_channels: int, depth: int
) -> npt.NDArray[np.uint8]:
    height = rows.shape[0]
    if depth == 16:
        return np.ascontiguousarray(rows.reshape(height, width, n_channels, 2)[..., 0])
    if depth == 8:
        return rows.reshape(height, width, n_channels)
    bits = np.unpackbits(rows, axis=1).reshape(height, -1, depth)
    weights = (1 << np.arange(depth - 1, -1, -1)).astype(np.uint8)
    samples: npt.NDArray[np.uint8] = bits[:, :width] @ weights
    return samples[..., None]


def _apply_palette(
    indices: npt.NDArray[np.uint8], palette: bytes
) -> npt.NDArray[np.uint8]:
    colours = np.frombuffer(palette, np.uint8)
    if colours.size % 3 or colours.size == 0 or indices.max() >= colours.size // 3:
        raise InputError(
            f"PNG: a palette of {colours.size} bytes lacks colour {indices.max()}"
        )
    return colours.reshape(-1, 3)[indices[..., 0]]


def resize_image(
    image: npt.NDArray[np.generic], height: int, width: int
) -> npt.NDArray[np.float32]:
    """Resize with a triangle filter that widens when shrinking (antialiased).

    Parameters
    ----------
    image : ndarray of shape (h, w) or (h, w, channels)
        Any real dtype.
    height, width : int
        The size wanted, in pixels.

    Returns
    -------
    resized : ndarray of float32, shape (height, width[, channels])
        Within the range of the input.

    Raises
    ------
    InputError
        A side is below 1.

    Examples
    --------
    >>> resize_image(np.array([[0.0, 1.0]]), 1, 4).round(2).tolist()
    [[0.0, 0.25, 0.75, 1.0]]
    """
    if height < 1 or width < 1:
        raise InputError(f"expected a size of at least 1 x 1, got {height} x {width}")
    source = np.asarray(image, np.float32)
    down = _resize_matrix(source.shape[0], height)
    across = _resize_matrix(source.shape[1], width)
    flat = down @ source.reshape(source.shape[0], -1)
    flat = flat.reshape(height, source.shape[1], -1)
    resized = np.einsum("wv,hvc->hwc", across, flat, optimize=True)
    return np.ascontiguousarray(resized.reshape(height, width, *source.shape[2:]))


def _resize_matrix(n_from: int, n_to: int) -> npt.NDArray[np.float32]:
    scale = n_from / n_to
    support = max(scale, 1.0)
    centres = (np.arange(n_to) + 0.5) * scale - 0.5
    distance = np.abs(np.arange(n_from)[None, :] - centres[:, None]) / support
    weights = np.maximum(0.0, 1.0 - distance)
    weights /= weights.sum(axis=1, keepdims=True)
    return np.asarray(weights, np.float32)


def center_crop(
    image: npt.NDArray[np.generic], height: int, width: int
) -> npt.NDArray[np.generic]:
    """Cut the middle out of a picture; a view, no copy.

    Parameters
    ----------
    image : ndarray of shape (h, w) or (h, w, channels)
    height, width : int
        Size of what is cut out.

    Returns
    -------
    crop : ndarray of shape (height, width[, channels])

    Raises
    ------
    InputError
        The picture is smaller.

    Examples
    --------
    >>> center_crop(np.arange(16).reshape(4, 4), 2, 2).tolist()
    [[5, 6], [9, 10]]
    """
    if image.shape[0] < height or image.shape[1] < width:
        raise InputError(
            f"cannot cut {height} x {width} out of {image.shape[0]} x {image.shape[1]}"
        )
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return image[top : top + height, left : left + width]


def normalize_image(
    image: npt.NDArray[np.generic],
    *,
    mean: float | tuple[float, ...] = IMAGENET_MEAN,
    std: float | tuple[float, ...] = IMAGENET_STD,
    scale: float = 1 / 255,
) -> npt.NDArray[np.float32]:
    """``(image * scale - mean) / std`` in float32, channel by channel.

    Parameters
    ----------
    image : ndarray of shape (..., channels)
    mean, std : float or tuple of float
        Of each channel after scaling; ImageNet's by default.
    scale : float, default=1/255
        Applied first.

    Returns
    -------
    normalized : ndarray of float32

    Examples
    --------
    >>> normalize_image(np.full((1, 1, 3), 255), mean=0.5, std=0.5).tolist()
    [[[1.0, 1.0, 1.0]]]
    """
    shifted: npt.NDArray[np.float32] = np.asarray(image, np.float32) * np.float32(scale)
    shifted -= np.asarray(mean, np.float32)
    shifted /= np.asarray(std, np.float32)
    return shifted
