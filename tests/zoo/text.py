"""Bytes and sentences: file types, sentence meanings, speech to text."""

from __future__ import annotations

import json
import re
import wave
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from trimtab.demo_jobs import magika_features
from trimtab.processing.mel import log_mel_whisper

from .exports import export
from .files import fetch, speech
from .model import Run, Tensors, ZooModel, run_onnxruntime

_ROOT = Path(__file__).parents[2]


def _file_types() -> list[str]:
    config = json.loads(fetch("magika_config.json").read_text())
    labels: list[str] = config["target_labels_space"]
    return labels


def _sample_files() -> dict[str, bytes]:
    """Real files of known type."""
    return {
        "python": Path(wave.__file__).read_bytes(),
        "c": sorted(_ROOT.glob("csrc/base/*.c"))[0].read_bytes(),
        "wav": fetch("beckett.wav").read_bytes(),
        "png": fetch("page.png").read_bytes(),
        "json": fetch("magika_config.json").read_bytes(),
    }


def _magika_inputs(*kinds: str) -> Tensors:
    files = _sample_files()
    rows: list[npt.NDArray[np.int32]] = [magika_features(files[k]) for k in kinds]
    return {"bytes": np.stack(rows)}


def _check_magika(outputs: Tensors) -> None:
    (scores,) = outputs.values()
    labels = _file_types()
    assert scores.shape == (1, len(labels)), scores.shape
    assert labels[int(scores.argmax())] == "python", labels[int(scores.argmax())]
    assert scores.max() > 0.6, scores.max()


def _file_types_are_told_apart(run: Run) -> None:
    kinds = list(_sample_files())
    (scores,) = run("magika", _magika_inputs(*kinds)).values()
    labels = _file_types()
    assert [labels[i] for i in scores.argmax(axis=1)] == kinds


QUESTION = "How do I reset my password?"
SAME = "I forgot my login credentials, how can I recover them?"
OTHER = "The harvest festival takes place on the first Sunday of October."


def tokenize(*sentences: str, n_tokens: int | None = None) -> Tensors:
    """Ids and mask of sentences, padded to the longest or to `n_tokens`."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(fetch("minilm_tokenizer.json")))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    rows = [encoding.ids for encoding in tokenizer.encode_batch(list(sentences))]
    width = n_tokens or max(map(len, rows))
    ids = np.zeros((len(rows), width), np.int64)
    mask = np.zeros_like(ids)
    for i, row in enumerate(rows):
        row = row[:width]
        ids[i, : len(row)], mask[i, : len(row)] = row, 1
    return {"input_ids": ids, "attention_mask": mask}


def _minilm_inputs() -> Tensors:
    return tokenize(f"{QUESTION} {QUESTION[:-1]} please", n_tokens=17)


def _minilm_more() -> dict[str, Tensors]:
    prose = Path(wave.__file__).read_text()[:2000]
    return {
        "1_token": tokenize(QUESTION, n_tokens=1),
        "9_tokens": tokenize(QUESTION),
        "128_tokens": tokenize(prose, n_tokens=128),
        "batch3": tokenize(QUESTION, SAME, OTHER),
        "batch8_32_tokens": tokenize(*[QUESTION, SAME, OTHER, prose] * 2, n_tokens=32),
    }


def _check_minilm(outputs: Tensors) -> None:
    embedding = outputs["sentence_embedding"]
    assert embedding.shape == (1, 384), embedding.shape
    assert abs(np.linalg.norm(embedding) - 1) < 1e-4, np.linalg.norm(embedding)


def _minilm(name: str, *options: str) -> ZooModel:
    def like_questions_are_near(run: Run) -> None:
        rows = [
            run(name, tokenize(s))["sentence_embedding"][0]
            for s in (QUESTION, SAME, OTHER)
        ]
        near, far = rows[0] @ rows[1], rows[0] @ rows[2]
        assert near > 0.6, near
        assert far < 0.2, far
        batch = run(name, tokenize(QUESTION, SAME, OTHER))["sentence_embedding"]
        assert np.abs(batch - rows).max() < 1e-4, "padding changes an embedding"

    return ZooModel(
        name,
        lambda: export("minilm", *options),
        _minilm_inputs,
        _check_minilm,
        _minilm_more,
        like_questions_are_near,
    )


START = (50257, 50362)  # startoftranscript, notimestamps
END = 50256
SPOKEN = "ever tried ever failed no matter try again fail again fail better"


@cache
def whisper_mel() -> npt.NDArray[np.float32]:
    return log_mel_whisper(speech())[None]


@cache
def whisper_features() -> npt.NDArray[np.generic]:
    encoder = export("whisper_tiny", "--part", "encoder")
    return run_onnxruntime(encoder, {"mel": whisper_mel()})["features"]


def words(tokens: list[int]) -> str:
    """Lower-case words of a transcript (the vocabulary writes a space as G-dot)."""
    lines = fetch("whisper_vocabulary.txt").read_text("utf-8").splitlines()
    text = "".join(lines[token] for token in tokens).replace("\u0120", " ")
    return " ".join(re.findall(r"[a-z']+", text.lower()))


def _tokens(*tokens: int) -> npt.NDArray[np.int64]:
    return np.array([tokens], np.int64)


def _decoder_inputs() -> Tensors:
    return {"tokens": _tokens(*START), "features": whisper_features()}


def _decoder_more() -> dict[str, Tensors]:
    features = whisper_features()
    row = np.array([*START, *range(1000, 1018)], np.int64)
    return {
        "1_token": {"tokens": _tokens(START[0]), "features": features},
        "20_tokens": {"tokens": row[None], "features": features},
        "batch2": {"tokens": np.stack([row, row]), "features": features.repeat(2, 0)},
    }


def _check_first_word(outputs: Tensors) -> None:
    """The first word heard is "ever"."""
    best = int(outputs["logits"][0, -1].argmax())
    assert words([best]) == "ever", best


def _check_features(outputs: Tensors) -> None:
    features = outputs["features"]
    assert features.shape == (1, 1500, 384), features.shape
    assert 0.1 < features.std() < 10, features.std()


def _a_recording_is_transcribed(run: Run) -> None:
    features = run("whisper_encoder", {"mel": whisper_mel()})["features"]
    tokens = list(START)
    while len(tokens) < 40 and tokens[-1] != END:
        step = {"tokens": _tokens(*tokens), "features": features}
        tokens.append(int(run("whisper_decoder", step)["logits"][0, -1].argmax()))
    assert words(tokens[2:-1]) == SPOKEN, words(tokens[2:])


def _past(n: int, batch: int = 1) -> npt.NDArray[np.float32]:
    rng = np.random.default_rng(3)
    return rng.standard_normal((4, 2, batch, 6, n, 64)).astype(np.float32)


def _step_inputs(n_tokens: int, n_past: int, batch: int = 1) -> Tensors:
    row = np.array([*START, *range(1000, 1018)], np.int64)[:n_tokens]
    return {
        "tokens": np.repeat(row[None], batch, axis=0),
        "features": whisper_features().repeat(batch, 0),
        "past": _past(n_past, batch),
    }


def _transcribed_step_by_step(run: Run) -> None:
    features = run("whisper_encoder", {"mel": whisper_mel()})["features"]
    new, heard, past = list(START), [], _past(0)
    while len(heard) < 40 and new != [END]:
        step = {"tokens": _tokens(*new), "features": features, "past": past}
        outputs = run("whisper_decoder_step", step)
        past = outputs["present"]
        new = [int(outputs["logits"][0, -1].argmax())]
        heard += new
    assert words(heard[:-1]) == SPOKEN, words(heard)


TEXT = [
    _minilm("minilm_dynamo", "--exporter", "dynamo"),
    _minilm("minilm_torchscript", "--exporter", "torchscript"),
    _minilm("minilm_opset23", "--exporter", "dynamo", "--opset", "23"),
    ZooModel(
        "whisper_encoder",
        lambda: export("whisper_tiny", "--part", "encoder"),
        lambda: {"mel": whisper_mel()},
        _check_features,
    ),
    ZooModel(
        "whisper_decoder",
        lambda: export("whisper_tiny", "--part", "decoder"),
        _decoder_inputs,
        _check_first_word,
        _decoder_more,
        _a_recording_is_transcribed,
    ),
    ZooModel(
        "whisper_decoder_step",
        lambda: export(
            "whisper_tiny", "--part", "decoder_step", "--exporter", "torchscript"
        ),
        lambda: _step_inputs(2, 0),
        _check_first_word,
        lambda: {
            "1_token_past_30": _step_inputs(1, 30),
            "batch2_past_7": _step_inputs(3, 7, batch=2),
        },
        _transcribed_step_by_step,
    ),
    ZooModel(
        "magika",
        lambda: fetch("magika"),
        lambda: _magika_inputs("python"),
        _check_magika,
        lambda: {"batch5": _magika_inputs(*_sample_files())},
        _file_types_are_told_apart,
    ),
]
