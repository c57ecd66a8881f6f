"""What kind of tensor an input is: by the steps before the model, or its signature."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from trimtab.monitor.descriptors.image import guess_channel_axis

if TYPE_CHECKING:
    from trimtab.pipeline import Pipeline
    from trimtab.processing.step import Step
    from trimtab.signature import TensorSpec

__all__ = ["guess_kind", "guess_options"]

#: Kind of a step (`trimtab.processing.STEPS`) -> what it gives on. The last step that
#: stands here tells: after a spectrogram sound is a table of numbers.
_GIVEN_BY = {
    **dict.fromkeys(
        (
            "decode_image",
            "resize",
            "resize_shortest",
            "resize_to_multiple",
            "center_crop",
            "central_fraction",
            "letterbox",
            "pad_to_multiple",
            "gray",
            "reverse_channels",
        ),
        "image",
    ),
    **dict.fromkeys(
        ("read_wav", "resample", "mono", "fit_length", "pre_emphasize"), "audio"
    ),
    **dict.fromkeys(
        (
            "stft",
            "mel",
            "cepstrum",
            "kaldi_fbank",
            "whisper_log_mel",
            "normalize_features",
            "frame",
        ),
        "vector",
    ),
    **dict.fromkeys(("tokenize", "index_words"), "text"),
}
#: Parts of names of inputs, and of what they are, where dtype and dims leave it open.
_IDS = ("ids", "token", "word")
_MASKS = ("mask", "type", "position", "segment")
_SOUNDS = ("audio", "wav", "sound", "speech", "pcm", "signal", "samples")
#: Shorter rows of floats are tables.
_LEAST_SAMPLES = 4000


def guess_kind(spec: TensorSpec, pipeline: Pipeline | None = None) -> str:
    """Guess which descriptors fit an input of a model.

    Parameters
    ----------
    spec : TensorSpec
        Of the input.
    pipeline : Pipeline, optional
        Its steps before the model tell more than the signature.

    Returns
    -------
    kind : {"image", "audio", "text", "vector"}

    Examples
    --------
    >>> from trimtab.signature import TensorSpec
    >>> guess_kind(TensorSpec("x", "float32", ("N", 3, 224, 224)))
    'image'
    >>> guess_kind(TensorSpec("input_ids", "int64", ("N", "T")))
    'text'
    >>> guess_kind(TensorSpec("x", "float32", ("N", 30)))
    'vector'
    """
    name = spec.name.lower()
    if _has(name, _MASKS):
        return "vector"
    shape = spec.shape or ()
    by_steps = _kind_of_steps(_steps(pipeline))
    if by_steps is not None and _can_be(by_steps, shape):
        return by_steps
    if "int" in (spec.dtype or "") and spec.dtype != "uint8" and len(shape) <= 2:
        is_row = len(shape) == 2 and not isinstance(shape[1], int)
        return "text" if is_row or _has(name, _IDS) else "vector"
    if guess_channel_axis(shape) is not None and not _has(name, _SOUNDS):
        return "image"
    return "audio" if _is_sound(name, shape) else "vector"


def _has(name: str, parts: Iterable[str]) -> bool:
    return any(part in name for part in parts)


def _steps(pipeline: Pipeline | None) -> list[Step]:
    from trimtab.processing.step import Step

    given = () if pipeline is None else pipeline.preprocess
    return [step for step in given if isinstance(step, Step)]


def _kind_of_steps(steps: Sequence[Step]) -> str | None:
    for step in reversed(steps):
        if step.kind in _GIVEN_BY:
            return _GIVEN_BY[step.kind]
    return None


def _can_be(kind: str, shape: Sequence[int | str | None]) -> bool:
    """Does a tensor of that many dims hold it? Models have other inputs beside."""
    n_dims = {"image": (2, 3, 4), "audio": (1, 2, 3), "text": (1, 2)}
    return not shape or kind not in n_dims or len(shape) in n_dims[kind]


def _is_sound(name: str, shape: Sequence[int | str | None]) -> bool:
    if not 1 <= len(shape) <= 3:
        return False
    channels = [dim for dim in shape[1:] if isinstance(dim, int) and dim <= 8]
    if len(shape) == 3 and len(channels) != 1:
        return False
    longest = max((dim for dim in shape[-2:] if isinstance(dim, int)), default=0)
    return _has(name, _SOUNDS) or longest >= _LEAST_SAMPLES


def guess_options(
    kind: str, spec: TensorSpec, pipeline: Pipeline | None = None
) -> dict[str, Any]:
    """Find what `describe` should be told of an input.

    Parameters
    ----------
    kind : str
        What `guess_kind` said.
    spec : TensorSpec
    pipeline : Pipeline, optional

    Returns
    -------
    options : dict of str to object
        Keywords of `describe`: the channel axis of images, the sampling rate of
        sound, the ids of padding and unknown tokens; what is not known is left out.

    Examples
    --------
    >>> from trimtab.signature import TensorSpec
    >>> guess_options("image", TensorSpec("x", "float32", (None, None, None, 3)))
    {'channel_axis': 3}
    """
    options: dict[str, Any] = {}
    if kind == "image":
        axis = guess_channel_axis(spec.shape or ())
        return {} if axis is None else {"channel_axis": axis}
    for step in _steps(pipeline):
        parameters, assets = step.config()
        if kind == "audio" and step.kind in ("read_wav", "resample"):
            rate = parameters.get("new_rate") or parameters.get("rate")
            options.update({"sample_rate": float(rate)} if rate else {})
        if kind == "text" and step.kind == "tokenize":
            options["padding_id"] = parameters["pad_id"]
            options.update(_unknown(_parsed(assets["tokenizer"])))
        if kind == "text" and step.kind == "index_words":
            options["padding_id"] = 0
            index = _parsed(assets["word_index"])
            options.update(_id_of(index, parameters["unknown"]))
    return options


def _parsed(data: bytes) -> Any:
    """JSON that the step itself has read and checked before."""
    return json.loads(data)


def _unknown(tokenizer: Any) -> dict[str, int]:
    """The id of the unknown token of a tokenizer.json."""
    model = tokenizer.get("model", {})
    vocabulary, unknown = model.get("vocab"), model.get("unk_token")
    if isinstance(model.get("unk_id"), int):
        return {"unknown_id": model["unk_id"]}
    return _id_of(vocabulary, unknown)


def _id_of(vocabulary: Any, word: Any) -> dict[str, int]:
    found = vocabulary.get(word) if isinstance(vocabulary, dict) and word else None
    return {"unknown_id": found} if isinstance(found, int) else {}
