"""Say what is on a photo: a net with its steps, names and proof in one file.

    python examples/vision/classify.py --out efficientnet.safetensors photo.jpg

The net is a torch module with the weights that a package ships. It is converted, and
saved with the steps from a picture file to named classes and with golden pairs that
torch computed. Then only that file is loaded: neither torch nor onnx is needed for it.
"""

from __future__ import annotations

import argparse
import ast
import sys
from pathlib import Path
from typing import Any

import numpy as np

import trimtab
from trimtab import steps
from trimtab.fetch import fetch_package_file

SKIMAGE = ("scikit-image", "0.26.0")
PHOTOS = {
    "chelsea": (
        *SKIMAGE,
        "skimage/data/chelsea.png",
        "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
    ),
    "coffee": (
        *SKIMAGE,
        "skimage/data/coffee.png",
        "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
    ),
}
# A file of Python that is read as text: the names stand in it as a literal.
NAMES = (
    "torchvision",
    "0.28.0",
    "torchvision/models/_meta.py",
    "7eaa5e401b1ff441186e602943c4342cac8cf7f505c238ab7882399b00dbc096",
)


def class_names() -> list[str]:
    """The thousand classes of ImageNet, in the usual order."""
    tree = ast.parse(fetch_package_file(*NAMES).read_text())
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]).startswith(
            "_IMAGENET"
        ):
            return list(ast.literal_eval(node.value))
    raise ValueError("torchvision lists no classes of ImageNet")


def trained_net() -> Any:
    """The torch module, with its trained weights."""
    sys.path.append(str(Path(__file__).parents[1] / "export"))
    import efficientnet_lite0

    net = efficientnet_lite0.build()
    efficientnet_lite0.load(net)
    return net.eval()


def build(path: Path) -> None:
    """Convert the net and save it with its steps, names and golden pairs."""
    names = class_names()
    model = trimtab.load_model(
        trained_net(), example_inputs=[np.zeros((2, 3, 224, 224), np.float32)]
    )
    pipeline = trimtab.Pipeline(
        [steps.DecodeImage(), *steps.imagenet(224, method="pillow-bicubic")],
        model,
        [steps.Softmax(), steps.TopK(3, labels=tuple(names))],
    )
    golden = []
    for photo in PHOTOS.values():
        picture = fetch_package_file(*photo)
        context: dict[str, Any] = {}
        value: Any = picture
        for step in pipeline.preprocess:
            value = step(value, context)
        golden.append(value)
    model.save(path, pipeline=pipeline, class_names=names, golden=golden)


def main(arguments: list[str] | None = None) -> dict[str, list[Any]]:
    """Build the file if it is not there, and classify photos; gives the answers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", nargs="*", type=Path)
    parser.add_argument("--out", type=Path, default=Path("efficientnet.safetensors"))
    options = parser.parse_args(arguments)
    if not options.out.exists():
        build(options.out)
    model = trimtab.load_model(options.out)
    print(f"{options.out}: {model.verification}")
    classify = trimtab.deploy_model(model)
    photos = options.photos or [fetch_package_file(*p) for p in PHOTOS.values()]
    answers = {photo.name: classify(photo) for photo in photos}
    for name, found in answers.items():
        print(name)
        for one in found:
            print(f"  {one.probability:.3f}  {one.label}")
    return answers


if __name__ == "__main__":
    main()
