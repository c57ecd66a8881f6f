"""STFTSpectrogram and MelSpectrogram: Fourier transforms as convolutions."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from trimtab.formats.keras.layer import LayerContext, Tensor
from trimtab.formats.keras.layers.channels import is_channels_first
from trimtab.formats.keras.layers.reshapes import merge_axes, split_axis

__all__ = ["mel_spectrogram", "stft_spectrogram"]

_Array: TypeAlias = "np.ndarray[Any, Any]"
_EPSILON = 1e-7  # Keras' own
_MODES = ("log", "magnitude", "psd", "real", "imag", "stft")
_WINDOWS = {"hann": (0.5, 0.5), "hamming": (0.54, 0.46)}


# ---- STFTSpectrogram -------------------------------------------------------------


def stft_spectrogram(context: LayerContext) -> Tensor:
    """STFTSpectrogram, whose kernels are in the file.

    Parameters
    ----------
    context : LayerContext

    Returns
    -------
    y : Tensor

    Raises
    ------
    UnsupportedOpError
        mode="angle".

    Examples
    --------
    >>> stft_spectrogram(context)                          # doctest: +SKIP
    """
    config = context.config
    mode = config.text("mode", "log")
    if mode not in _MODES:
        raise context.unsupported(f"mode={mode[:80]!r}; supported are {_MODES}")
    x = context.cast(context.x.masked(None), "float32")
    context.rank(x, 3)
    is_first = is_channels_first(context)
    x = x if is_first else context.transpose(x, [0, 2, 1])
    parts = [
        _stft(context, x, f"{part}_kernel")
        for part in ("real", "imag")
        if mode not in ("real", "imag") or part == mode
    ]
    if mode in ("real", "imag"):
        return _arrange(context, parts[0], is_first)
    if mode == "stft":
        bins = context.size(parts[0], 2)
        shape = (*x.shape[:2], 2 * bins, parts[0].shape[3])
        return _arrange(
            context, context.op("Concat", parts, shape=shape, axis=2), is_first
        )
    power = context.op("Add", [context.op("Mul", [p, p]) for p in parts])
    if mode == "psd":
        factors = np.full((context.size(power, 2), 1), 2.0, np.float32)
        factors[[0, -1]] = 1.0
        factor = context.constant(factors, "float32", "sides")
        return _arrange(context, context.op("Mul", [power, factor]), is_first)
    least = context.constant(_EPSILON)
    y = context.op("Sqrt", [context.op("Max", [power, least])])
    if mode == "log":
        y = context.op("Log", [context.op("Max", [y, least])])
    return _arrange(context, y, is_first)


def _stft(context: LayerContext, x: Tensor, name: str) -> Tensor:
    """One part of the transform of [batch, channels, time], by bins and frames."""
    config = context.config
    length = config.int("frame_length", 256, least=1)
    step = (
        config.int("frame_step", least=1) if config.has("frame_step") else length // 2
    )
    is_same = config.text("padding", "valid", choices=("valid", "same")) == "same"
    kernel = context.array(name, (length, 1, None))
    bins, axis = kernel.shape[2], context.constant([1])
    weights = context.made(name, kernel.transpose(2, 1, 0))
    samples = merge_axes(context, x)
    y = context.op(
        "Conv",
        [
            context.op("Unsqueeze", [samples, axis], shape=(None, 1, x.shape[2])),
            weights,
        ],
        shape=(None, bins, None),
        strides=[max(step, 1)],
        auto_pad="SAME_UPPER" if is_same else "VALID",
    )
    return split_axis(context, y, x)


def _arrange(context: LayerContext, y: Tensor, is_first: bool) -> Tensor:
    """[batch, channels, bins, frames] as the config wants it."""
    if context.config.flag("expand_dims", False):
        return context.transpose(y, [0, 1, 3, 2] if is_first else [0, 3, 2, 1])
    rows = context.size(y, 1) * context.size(y, 2)
    sizes = context.constant([0, rows, -1])
    y = context.op("Reshape", [y, sizes], shape=(y.shape[0], rows, y.shape[3]))
    return y if is_first else context.transpose(y, [0, 2, 1])


# ---- MelSpectrogram --------------------------------------------------------------


def mel_spectrogram(context: LayerContext) -> Tensor:
    """MelSpectrogram of [batch, samples], as [batch, mel bins, frames].

    Parameters
    ----------
    context : LayerContext

    Returns
    -------
    y : Tensor

    Raises
    ------
    UnsupportedOpError
        Another window than hann or hamming.
    ModelFormatError
        The transform is too large.

    Examples
    --------
    >>> mel_spectrogram(context)                           # doctest: +SKIP
    """
    config = context.config
    context.rank(context.x, 2)
    n = config.int("fft_length", 2048, least=2)
    if 4 * n * (n + 2) > context.source.limits.max_fold_bytes:
        raise context.error(
            f"fft_length={n} takes {4 * n * (n + 2)} bytes, more than "
            "limits.max_fold_bytes"
        )
    x = context.cast(context.x.masked(None), "float32")
    power = _power(context, x, n)
    bins = n // 2 + 1
    mel = context.made("mel", _mel_weights(context, bins))
    n_mel = config.int("num_mel_bins", 128, least=1)
    shape = (x.shape[0], None, n_mel)
    y = context.op("MatMul", [power, mel], shape=shape)
    if config.flag("power_to_db", True):
        y = _decibel(context, y)
    return context.transpose(y, [0, 2, 1])


def _power(context: LayerContext, x: Tensor, n: int) -> Tensor:
    """The absolute value of the transform to a power, [batch, frames, bins]."""
    config, half = context.config, n // 2
    step = config.int("sequence_stride", 512, least=1)
    pads = context.constant([half, half])
    axis = context.constant([1])
    y = context.op("Pad", [x, pads, "", axis], shape=(x.shape[0], None), mode="reflect")
    y = context.op("Unsqueeze", [y, axis], shape=(x.shape[0], 1, None))
    kernel = context.made("transform", _transform(context, n))
    bins = half + 1
    y = context.op(
        "Conv", [y, kernel], shape=(x.shape[0], 2 * bins, None), strides=[step]
    )
    names = context.ops("Split", [y], 2, axis=1, num_outputs=2)
    shape = (x.shape[0], bins, None)
    parts = [Tensor(name, "float32", shape) for name in names]
    y = context.op("Add", [context.op("Mul", [part, part]) for part in parts])
    exponent = config.number("mag_exp", 2.0)
    if exponent == 1.0:
        y = context.op("Sqrt", [y])
    elif exponent != 2.0:
        y = context.op("Pow", [y, context.constant(exponent / 2.0)])
    return context.transpose(y, [0, 2, 1])


def _transform(context: LayerContext, n: int) -> _Array:
    """Windowed cosines and sines, [2 bins, 1, n]."""
    config = context.config
    length = n
    if config.has("sequence_length"):
        length = config.int("sequence_length", least=1)
    if length > n:
        raise config.error("sequence_length", f"{n} or less, as fft_length is")
    window = np.zeros(n)
    begin = (n - length) // 2
    name = config.value("window", "hann")
    if name is None:
        window[begin : begin + length] = 1.0
    elif isinstance(name, str) and name in _WINDOWS:
        level, swing = _WINDOWS[name]
        phase = 2.0 * np.pi * np.arange(length) / length
        window[begin : begin + length] = level - swing * np.cos(phase)
    else:
        raise context.unsupported(
            f"window={name!r:.80}; supported are {', '.join(_WINDOWS)}"
        )
    turns = np.outer(np.arange(n // 2 + 1), np.arange(n)) % n
    waves = np.exp(-2j * np.pi * np.arange(n) / n)[turns] * window
    both = np.concatenate([waves.real, waves.imag])
    return both[:, None, :].astype(np.float32)


def _mel_weights(context: LayerContext, bins: int) -> _Array:
    """Triangles on HTK's mel scale, [bins, mel bins]."""
    config = context.config
    rate = config.int("sampling_rate", 16000, least=1)
    n_mel = config.int("num_mel_bins", 128, least=1)
    if bins * n_mel * 8 > context.source.limits.max_fold_bytes:
        raise context.error(f"num_mel_bins={n_mel} are too many")
    top = config.number("max_freq") if config.has("max_freq") else rate // 2
    edges = np.linspace(_mel(config.number("min_freq", 20.0)), _mel(top), n_mel + 2)
    places = _mel(np.linspace(0.0, rate / 2.0, bins)[1:])[:, None]
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    if np.any(np.diff(edges) <= 0):
        raise config.error("max_freq", "more than min_freq")
    up, down = (places - low) / (centre - low), (high - places) / (high - centre)
    triangles = np.maximum(0.0, np.minimum(up, down))
    return np.concatenate([np.zeros((1, n_mel)), triangles]).astype(np.float32)


def _mel(hertz: Any) -> Any:
    return 1127.0 * np.log1p(np.asarray(hertz) / 700.0)


def _decibel(context: LayerContext, y: Tensor) -> Tensor:
    """10 log10, not more than top_db below the largest of all."""
    config = context.config
    least = config.number("min_power", 1e-10)
    if not least > 0.0:
        raise config.error("min_power", "a positive number")
    factor = 10.0 / np.log(10.0)
    y = context.op("Log", [context.op("Max", [y, context.constant(least)])])
    reference = max(abs(config.number("ref_power", 1.0)), least)
    y = context.op("Mul", [y, context.constant(factor)])
    y = context.op("Sub", [y, context.constant(factor * np.log(reference))])
    peak = context.op("ReduceMax", [y], shape=(1, 1, 1), keepdims=1)
    floor = context.op("Sub", [peak, context.constant(config.number("top_db", 80.0))])
    return context.op("Max", [y, floor])
