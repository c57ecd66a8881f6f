"""What `trimtab demo` does: real models on real files, start to meaning.

Each job fetches a model and a sample by package name (`FILES`), loads it,
deploys it with its pre- and post-processing, and tells what it saw.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from trimtab.fetch import fetch_package_file
from trimtab.processing.audio import frame_audio, read_wav, resample
from trimtab.processing.decode_class import decode_class
from trimtab.processing.decode_ctc import DecodedText, decode_ctc
from trimtab.processing.image import normalize_image, read_image, resize_image
from trimtab.processing.text_lines import (
    TextLine,
    cut_text_line,
    find_text_lines,
    find_word_gaps,
)

if TYPE_CHECKING:
    from trimtab.model import Model

__all__ = ["FILES", "JOBS", "Answer", "Job", "Sight", "Worker", "magika_features"]

Array = npt.NDArray[np.float32]

_RAPIDOCR = ("rapidocr-onnxruntime", "1.4.4")
_MAGIKA = ("magika", "1.0.3")

# name -> (package, version, member, SHA-256)
FILES: dict[str, tuple[str, str, str, str]] = {
    "ppocr4_det": (
        *_RAPIDOCR,
        "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx",
        "d2a7720d45a54257208b1e13e36a8479894cb74155a5efe29462512d42f49da9",
    ),
    "ppocr4_rec": (
        *_RAPIDOCR,
        "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx",
        "48fc40f24f6d2a207a2b1091d3437eb3cc3eb6b676dc3ef9c37384005483683b",
    ),
    "page.png": (
        "scikit-image",
        "0.26.0",
        "skimage/data/page.png",
        "341a6f0a61557662b02734a9b6e56ec33a915b2c41886b97509dedf2a43b47a3",
    ),
    "silero_vad": (
        "silero-vad",
        "6.2.3",
        "silero_vad/data/silero_vad.onnx",
        "1a153a22f4509e292a94e67d6f9b85e8deb25b4988682b7e174c65279d8788e3",
    ),
    "beckett.wav": (
        "useful-moonshine-onnx",
        "20251121",
        "moonshine_onnx/assets/beckett.wav",
        "e5a26b3d29e5b0bc8dbd72c11d16a3808a4ec0ac45b21f12a27d2a2fe5c5ae61",
    ),
    "magika": (
        *_MAGIKA,
        "magika/models/standard_v3_3/model.onnx",
        "fe2d2eb49c5f88a9e0a6c048e15d6ffdf86235519c2afc535044de433169ec8c",
    ),
    "magika_config.json": (
        *_MAGIKA,
        "magika/models/standard_v3_3/config.min.json",
        "ae24c742205358f6ff6dfd5facb6743fb69743dbba8373e73da58ff0cbd695db",
    ),
}


@dataclass(frozen=True)
class Sight:
    """One thing that was seen, and how sure the model is of it."""

    label: str
    probability: float
    detail: str = ""


@dataclass(frozen=True)
class Worker:
    """A loaded model and one of the inputs that it was given, to be profiled."""

    role: str
    model: Model
    inputs: dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Answer:
    """What a job tells: what it looked at, what it saw, who did the work."""

    title: str
    sights: list[Sight]
    workers: list[Worker]
    picture: list[str] = field(default_factory=list)


def fetch_file(name: str) -> Path:
    """A file of `FILES`, from the cache or the package index."""
    return fetch_package_file(*FILES[name])


def read_page(source: Path | None = None) -> Answer:
    """Find the lines of text on a photo and read them.

    PP-OCRv4 (Du et al. 2020, and PaddleOCR's later versions): one net marks the
    text, another reads each line.
    """
    from trimtab import deploy_model, load_model

    photo = read_image(source or fetch_file("page.png"))
    finder = load_model(fetch_file("ppocr4_det"))
    reader = load_model(fetch_file("ppocr4_rec"))
    letters = reader_letters(fetch_file("ppocr4_rec"))

    height, width = finder_size(*photo.shape[:2])
    find = deploy_model(
        finder,
        preprocess_input=finder_input,
        postprocess_output=lambda text: find_text_lines(text[0, 0]),
    )
    read = deploy_model(
        reader,
        preprocess_input=reader_input,
        postprocess_output=lambda steps: decode_ctc(steps[0], letters),
    )
    scale = photo.shape[0] / height, photo.shape[1] / width
    lines: list[TextLine] = [line.scaled(*scale) for line in find(photo)]
    strips = [cut_text_line(photo, line) for line in lines]
    texts: list[DecodedText] = [read(strip) for strip in strips]
    workers = [_worker("text finder", finder, finder_input(photo))]
    if strips:
        widest = max(strips, key=lambda strip: strip.shape[1])
        workers.append(_worker("line reader", reader, reader_input(widest)))
    name = source.name if source else "page.png of scikit-image"
    return Answer(
        f"Reading a photo: {name}, {photo.shape[1]} x {photo.shape[0]} pixels",
        [
            Sight(with_spaces(text, strip), text.probability, f"line {i + 1}")
            for i, (text, strip) in enumerate(zip(texts, strips, strict=True))
        ],
        workers,
        [least_sure_letter(texts)] if any(text.characters for text in texts) else [],
    )


def least_sure_letter(texts: list[DecodedText]) -> str:
    """The character that the reader doubted most, with its two best classes."""
    pairs = [
        (letter, other, i + 1)
        for i, text in enumerate(texts)
        for letter, other in zip(text.characters, text.runners_up, strict=True)
        if letter.label != " "
    ]
    letter, other, line = min(pairs, key=lambda pair: pair[0].probability)
    second = repr(other.label) if other.label else "no letter"
    return (
        f"least sure in line {line}: {letter.label!r} with probability"
        f" {letter.probability:.3f}, then {second} with {other.probability:.3f}"
    )


def finder_size(height: int, width: int, *, short: int = 576) -> tuple[int, int]:
    """The size at which the finder sees a photo: the shorter side at least `short`.

    Examples
    --------
    >>> finder_size(191, 384)
    (576, 1152)
    """
    scale = max(1.0, short / min(height, width))
    return max(32, round(height * scale / 32) * 32), max(
        32, round(width * scale / 32) * 32
    )


def finder_input(photo: npt.NDArray[np.uint8]) -> Array:
    """RGB to what the text finder takes: BGR, normalised, NCHW."""
    resized = resize_image(photo, *finder_size(*photo.shape[:2]))
    return np.ascontiguousarray(
        normalize_image(resized[..., ::-1]).transpose(2, 0, 1)[None]
    )


def reader_input(strip: Array) -> Array:
    """A strip of 48 rows to what the line reader takes: BGR in [-1, 1], NCHW."""
    scaled = normalize_image(strip[..., ::-1], mean=0.5, std=0.5)
    return np.ascontiguousarray(scaled.transpose(2, 0, 1)[None])


def reader_letters(model: Path) -> list[str]:
    """The reader's classes: blank, the letters in the file's metadata, space."""
    import onnx

    for entry in onnx.load_model(model, load_external_data=False).metadata_props:
        if entry.key == "character":
            return ["", *entry.value.split("\n"), " "]
    raise ValueError(f"{model}: no 'character' in the metadata")


def with_spaces(text: DecodedText, strip: Array) -> str:
    """The text with spaces where the strip is empty (the reader drops most)."""
    gaps = find_word_gaps(strip)
    step = strip.shape[1] / max(1, round(strip.shape[1] / 8))
    words, before = "", None
    for letter, at in zip(text.characters, text.steps, strict=True):
        x = (at + 0.5) * step
        if letter.label == " ":
            continue
        if before is not None and np.any((gaps > before) & (gaps <= x)):
            words += " "
        words, before = words + letter.label, x
    return unicodedata.normalize("NFKC", words)


def hear_speech(source: Path | None = None) -> Answer:
    """Tell speech from silence in a recording, frame by frame.

    Silero VAD: 32 ms of sound after the 4 ms before them, and a state carried on.
    """
    from trimtab import load_model

    samples, rate = read_wav(source or fetch_file("beckett.wav"))
    sound = resample(samples, rate, 16000)
    model = load_model(fetch_file("silero_vad"))
    padded = np.concatenate([np.zeros(64, np.float32), sound])
    frames = np.ascontiguousarray(frame_audio(padded, 576, 512))
    inputs: dict[str, npt.NDArray[Any]] = {
        "input": frames[:1],
        "state": np.zeros((2, 1, 128), np.float32),
        "sr": np.array(16000, np.int64),
    }
    probability = np.empty(len(frames), np.float32)
    for i in range(len(frames)):
        inputs["input"] = frames[i : i + 1]
        outputs = model.run(inputs)
        inputs["state"] = outputs["stateN"]
        probability[i] = outputs["output"][0, 0]
    name = source.name if source else "beckett.wav of useful-moonshine-onnx"
    return Answer(
        f"Hearing speech: {name}, {sound.size / 16000:.1f} s",
        speech_parts(probability),
        [Worker("voice detector", model, inputs)],
        [sparkline(probability, 72)],
    )


def speech_parts(probability: Array, *, frame_s: float = 0.032) -> list[Sight]:
    """Stretches of speech: from above 0.5 until 0.1 s stays under 0.35.

    Examples
    --------
    >>> speech_parts(np.array([0.1, 0.9, 0.9, 0.1, 0.1, 0.1, 0.1], np.float32))
    [Sight(label='speech', probability=0.8999999761581421, detail='0.0 to 0.1 s')]
    """
    parts: list[Sight] = []
    start, quiet = -1, 0
    for i, p in enumerate([*probability.tolist(), 0.0, 0.0, 0.0, 0.0]):
        quiet = quiet + 1 if p < 0.35 else 0
        if start < 0 and p >= 0.5:
            start = i
        elif start >= 0 and quiet * frame_s > 0.1:
            end = i + 1 - quiet
            seconds = f"{start * frame_s:.1f} to {end * frame_s:.1f} s"
            parts.append(Sight("speech", float(probability[start:end].mean()), seconds))
            start = -1
    return parts


def sparkline(values: Array, width: int) -> str:
    """Values in [0, 1] as a row of bars.

    Examples
    --------
    >>> sparkline(np.array([0.0, 0.5, 1.0]), 3)
    ' ▄█'
    """
    bars = " ▁▂▃▄▅▆▇█"
    groups = np.array_split(values, min(width, len(values)))
    return "".join(bars[round(float(group.mean()) * 8)] for group in groups)


def tell_files(source: Path | None = None) -> Answer:
    """Tell what files are by their bytes alone (Magika, Fratantonio et al. 2024)."""
    from trimtab import deploy_model, load_model

    config = json.loads(fetch_file("magika_config.json").read_text())
    model = load_model(fetch_file("magika"))
    tell = deploy_model(
        model,
        preprocess_input=lambda data: magika_features(data)[None],
        postprocess_output=lambda scores: decode_class(
            scores, labels=config["target_labels_space"], top=3
        ),
    )
    own = (Path(__file__), fetch_file("page.png"), fetch_file("beckett.wav"))
    files = [source] if source else [*own, fetch_file("magika")]
    sights = [
        Sight(seen.label, seen.probability, path.name)
        for path in files
        for seen in tell(path.read_bytes())
    ]
    first = magika_features(files[0].read_bytes())[None]
    return Answer(
        f"Telling {len(files)} files apart by their bytes",
        sights,
        [_worker("file type detector", model, first)],
    )


def magika_features(data: bytes) -> npt.NDArray[np.int32]:
    """The first and last 1,024 bytes of a file, stripped, padded with 256.

    Parameters
    ----------
    data : bytes
        The whole file.

    Returns
    -------
    features : ndarray of int32, shape (2048,)

    Examples
    --------
    >>> magika_features(b"  hi")[[0, 1, 2, -1]].tolist()
    [104, 105, 256, 105]
    """
    block = 4096
    features = np.full(2048, 256, np.int32)
    head = np.frombuffer(data[:block].lstrip()[:1024], np.uint8)
    tail = np.frombuffer(data[-block:].rstrip()[-1024:], np.uint8)
    features[: head.size] = head
    features[2048 - tail.size :] = tail
    return features


def _worker(role: str, model: Model, array: npt.NDArray[Any]) -> Worker:
    return Worker(role, model, {model.inputs[0].name: array})


@dataclass(frozen=True)
class Job:
    """What to run on a file (or on the sample), and the `FILES` that it takes."""

    run: Callable[[Path | None], Answer]
    files: tuple[str, ...]


JOBS: dict[str, Job] = {
    "page": Job(read_page, ("ppocr4_det", "ppocr4_rec", "page.png")),
    "speech": Job(hear_speech, ("silero_vad", "beckett.wav")),
    "files": Job(
        tell_files, ("magika", "magika_config.json", "page.png", "beckett.wav")
    ),
}
