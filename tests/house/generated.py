"""Parts of the documents that are made from tables of the code.

    python -m tests.house.generated

writes them anew; the test of the house compares.
"""

from __future__ import annotations

import importlib
import inspect
import re
import textwrap
from collections.abc import Callable

from .files import ROOT
from .operators import operators


def wrapped(names: list[str]) -> str:
    return textwrap.fill(
        ", ".join(f"`{name}`" for name in names), 100, break_on_hyphens=False
    )


def keras_layers() -> str:
    from trimtab.formats.keras.table import LAYERS

    return wrapped(sorted(LAYERS))


def tflite_operators() -> str:
    from trimtab.formats.tflite.operators import OPERATORS

    return wrapped(sorted(str(name) for name in OPERATORS))


def steps() -> str:
    """A row for each step: its class and the first line of its docstring."""
    from trimtab.processing import STEPS

    rows = ["| step | what |", "|---|---|"]
    for home in sorted(STEPS.values(), key=lambda x: x.partition(":")[2]):
        module, _, name = home.partition(":")
        step = getattr(importlib.import_module(f"trimtab.processing.{module}"), name)
        summary = (inspect.getdoc(step) or "").split("\n\n")[0].replace("\n", " ")
        rows.append(f"| `{name}` | {summary.replace('|', '/')} |")
    return "\n".join(rows)


def resize_methods() -> str:
    from trimtab.processing.resample import METHODS

    return wrapped(list(METHODS))


#: (document, name of the part) -> what makes it
PARTS: dict[tuple[str, str], Callable[[], str]] = {
    ("docs/formats.md", "keras_layers"): keras_layers,
    ("docs/formats.md", "tflite_operators"): tflite_operators,
    ("docs/operators.md", "operators"): operators,
    ("docs/pipelines.md", "steps"): steps,
    ("docs/pipelines.md", "resize_methods"): resize_methods,
}


def part_of(text: str, name: str) -> re.Match[str]:
    """Where a part stands: between two comments."""
    pattern = rf"(<!-- begin {name} -->\n)(.*?)(\n<!-- end {name} -->)"
    found = re.search(pattern, text, re.S)
    assert found, f"there is no part {name}"
    return found


def main() -> None:
    for (document, name), make in PARTS.items():
        path = ROOT / document
        text = path.read_text()
        found = part_of(text, name)
        new = found[1] + make() + found[3]
        path.write_text(text[: found.start()] + new + text[found.end() :])


if __name__ == "__main__":
    main()
