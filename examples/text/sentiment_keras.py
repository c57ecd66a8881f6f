"""Judge sentences with a Keras LSTM as it was published: three classes.

    pip install 'trimtab[keras]'
    python examples/text/sentiment_keras.py
    python examples/text/sentiment_keras.py "I would not buy it again."

The package SentiToolKit ships a .keras archive and a pickled tokenizer. `load_model`
reads the first without Keras. Of the second only attributes are wanted: it is read by
an unpickler that imports nothing, makes plain dicts of the four classes that the file
names, and refuses every other name. The artefact that is saved holds no pickle.
"""

from __future__ import annotations

import argparse
import json
import pickle
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import trimtab
from trimtab.errors import UnsafeModelError
from trimtab.fetch import cache_folder, fetch_package_file
from trimtab.pipeline import Pipeline
from trimtab.processing.steps_text import IndexWords
from trimtab.processing.steps_vector import BestLabel

PACKAGE = ("SentiToolKit", "0.1.8")
MODEL = (
    *PACKAGE,
    "SentiAnalyzer/SentiToolKit.keras",
    "d5e07f2fcbba374cfac0cdf4b2d91a362c201ceb00b0d6e1ae339140c1cb4033",
)
TOKENIZER = (
    *PACKAGE,
    "SentiAnalyzer/tokenizer.pkl",
    "d9903820c86c0445542d24fca4a696c81d69c2c428838ba825a522a81ce8766c",
)
LABELS = ("negative", "neutral", "positive")
N_TOKENS = 100
SENTENCES = (
    "This is the best phone I have ever had, I love it.",
    "Terrible quality, it broke and I want my money back.",
    "The package arrived on Tuesday.",
)


class InertDict(dict[Any, Any]):
    """What every object of the pickle becomes: its attributes or items, no code."""

    def __init__(self, *arguments: object) -> None:
        super().__init__()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.update(state)


class InertUnpickler(pickle.Unpickler):
    """Reads dicts, lists, texts and numbers; imports and calls nothing else."""

    NAMES = frozenset(
        {
            ("builtins", "int"),
            ("collections", "OrderedDict"),
            ("collections", "defaultdict"),
            ("keras.src.legacy.preprocessing.text", "Tokenizer"),
        }
    )

    def find_class(self, module: str, name: str) -> type[InertDict]:
        if (module, name) not in self.NAMES:
            raise UnsafeModelError(f"the pickle asks for {module}.{name}")
        return InertDict


def read_tokenizer(path: Path) -> IndexWords:
    """A pickled Keras tokenizer as a step, by its attributes as plain data."""
    with path.open("rb") as file:
        tokenizer = InertUnpickler(file).load()
    word_index = {str(w): int(i) for w, i in tokenizer["word_index"].items()}
    return IndexWords(
        json.dumps(word_index).encode(),
        N_TOKENS,
        n_words=int(tokenizer["num_words"] or 0),
        lower=bool(tokenizer["lower"]),
        filters=str(tokenizer["filters"]),
        split=str(tokenizer["split"]),
        unknown=str(tokenizer["oov_token"] or ""),
        dtype="float32",
    )


def make_pipeline() -> Pipeline:
    """Text, or several -> label and probability of each."""
    model = trimtab.load_model(fetch_package_file(*MODEL))
    words = read_tokenizer(fetch_package_file(*TOKENIZER))
    return Pipeline([words], model, [BestLabel(LABELS)])


def main(arguments: Sequence[str] | None = None) -> None:
    """Load, save, load again and judge sentences."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("text", nargs="*", default=SENTENCES)
    parser.add_argument("--out", type=Path, help="where to save the artefact")
    args = parser.parse_args(arguments)
    out = args.out or cache_folder() / "examples" / "sentiment_keras.safetensors"
    out.parent.mkdir(parents=True, exist_ok=True)
    pipeline = make_pipeline()
    indices = pipeline.preprocess[0](SENTENCES[0], {})
    pipeline.model.save(out, pipeline=pipeline, golden=indices)
    loaded = trimtab.load_model(out).pipeline
    for text in args.text:
        loaded(text)
        started = time.perf_counter()
        (best,) = loaded(text)
        took = (time.perf_counter() - started) * 1e3
        print(f"  {best.label} ({best.probability:.2f}, {took:.1f} ms): {text}")


if __name__ == "__main__":
    main()
