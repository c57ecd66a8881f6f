"""Which pixels of a photo, and which words of a sentence, does the answer rest on?

    pip install 'trimtab[image,plot,text,torch]' torchvision
    python examples/vision/classify.py --out efficientnet.safetensors
    python examples/text/sentiment.py --out sentiment.safetensors
    python examples/explain/why.py --image efficientnet.safetensors photo.jpg
    python examples/explain/why.py --text sentiment.safetensors "It is not bad at all."

What is explained is the file that is served, with its own steps: the photo in its own
pixels, the sentence in its own words. Each patch, or word, is left out in turn.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import trimtab
from trimtab import steps
from trimtab.fetch import fetch_package_file

CUP = (
    "scikit-image",
    "0.26.0",
    "skimage/data/coffee.png",
    "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
)
SENTENCE = "The plot is thin, but the actors are a joy to watch."


def explain_photo(
    path: Path, photo: Path | None = None, *, side: int = 9
) -> trimtab.Explanation:
    """Occlusion of the best class, over patches of the photo."""
    model = trimtab.load_model(path)
    steps_before = list(model.pipeline.preprocess)
    pixels = steps_before[0](photo or fetch_package_file(*CUP), {})
    scores = trimtab.deploy_model(
        model,
        preprocess_input=steps_before[1:],
        postprocess_output=[steps.Softmax()],
    )
    return trimtab.explain_model(scores, np.asarray(pixels), n_parts=side)


def explain_sentence(path: Path, sentence: str = SENTENCE) -> trimtab.Explanation:
    """Occlusion of the better label, word by word."""
    model = trimtab.load_model(path)
    steps_after = list(model.pipeline.postprocess)[:-1]  # shares, not the best label
    scores = trimtab.deploy_model(model, postprocess_output=steps_after)
    found = trimtab.explain_model(scores, sentence)
    labels = model.pipeline.postprocess[-1].labels
    return dataclasses.replace(found, target_name=labels[found.target[0]])


def main(arguments: Sequence[str] | None = None) -> list[trimtab.Explanation]:
    """Explain what is given; print and draw it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--image", type=Path, help="file of examples/vision")
    parser.add_argument("--text", type=Path, help="file of examples/text")
    parser.add_argument("given", nargs="?", help="photo, or sentence")
    parser.add_argument("--out", type=Path, help="folder for why_*.png and .html")
    args = parser.parse_args(arguments)
    found = {}
    if args.image:
        photo = Path(args.given) if args.given else None
        found["photo"] = explain_photo(args.image, photo)
    if args.text:
        found["sentence"] = explain_sentence(args.text, args.given or SENTENCE)
    for name, explanation in found.items():
        print(explanation, end="\n\n")
        if args.out:
            explanation.save(args.out / f"why_{name}.png")
            explanation.save(args.out / f"why_{name}.html")
    return list(found.values())


if __name__ == "__main__":
    main()
