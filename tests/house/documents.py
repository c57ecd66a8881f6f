"""The rules of the documents: what they draw and list is what is there."""

from __future__ import annotations

import fnmatch
import re
from pathlib import Path

import pytest

from .files import C_FILES, CSRC, PY_FILES, ROOT, relative, tracked
from .generated import PARTS, part_of

DOCUMENTS = [path for path in tracked() if path.suffix == ".md"]
ROOMS = sorted(path.name for path in CSRC.iterdir() if path.is_dir())
#: Top folders whose second level the tree of CONTRIBUTING.md draws in full.
DRAWN = ["csrc", "python/trimtab", "tests", "buildtools", "examples", "licenses"]


def drawn_tree() -> set[str]:
    """Paths that CONTRIBUTING.md draws; folders end with a slash."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    block = re.search(r"## The tree\n.*?```\n(.*?)```", text, re.S)
    assert block, "CONTRIBUTING.md shows no tree"
    paths, folder = set(), []
    for line in block[1].splitlines():
        if not line.strip():
            continue
        depth = (len(line) - len(line.lstrip())) // 2
        name = line.split()[0]
        folder[depth:] = [name]
        paths.add("".join(folder))
    return paths


def on_disk(folder: str) -> set[str]:
    """What a folder holds under version control; folders end with a slash."""
    found = set()
    for path in tracked():
        if path.is_relative_to(ROOT / folder):
            first, *rest = path.relative_to(ROOT / folder).parts
            found.add(f"{folder}/{first}" + ("/" if rest else ""))
    return found


def test_the_tree_names_what_exists() -> None:
    for name in drawn_tree():
        assert (ROOT / name).exists(), f"CONTRIBUTING.md draws {name}"


@pytest.mark.parametrize("folder", DRAWN)
def test_the_tree_draws_all_there_is(folder: str) -> None:
    there = {
        p for p in on_disk(folder) if not p.endswith(("__init__.py", ".gitignore"))
    }
    assert sorted(there - drawn_tree()) == []


def test_the_tree_draws_every_folder_of_the_top() -> None:
    top = {f"{p.relative_to(ROOT).parts[0]}/" for p in tracked() if p.parent != ROOT}
    assert sorted(top - drawn_tree()) == []


def listed(document: Path) -> list[str]:
    """File names and patterns in the first column of a document's tables."""
    cells = re.findall(r"^\| *(`[^|]*`) *\|", document.read_text(), re.M)
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_has_a_readme_that_lists_its_files(room: str) -> None:
    """Both ways; a pattern stands for a family. In ops/, each other file is an operator
    and named by what it holds."""
    readme = CSRC / room / "README.md"
    patterns = listed(readme)
    files = {p.name for p in C_FILES if p.parent == CSRC / room}
    for pattern in patterns:
        if re.search(r"\.[ch]", pattern) or "*" in pattern:
            assert fnmatch.filter(files, pattern), f"{relative(readme)}: {pattern}"
    left = {f for f in files if not any(fnmatch.fnmatch(f, p) for p in patterns)}
    if room == "ops":
        define = re.compile(r"tt_op tt_op_|TT_ELEMENTWISE_OP\(")
        left = {f for f in left if not define.search((CSRC / room / f).read_text())}
    assert sorted(left) == [], f"{relative(readme)} does not list them"


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_says_what_enters_and_leaves(room: str) -> None:
    text = (CSRC / room / "README.md").read_text()
    for word in ("**Enters**", "**Leaves**", "**May include**"):
        assert word in text, f"csrc/{room}/README.md: {word}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=relative)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text()):
        made = target.endswith("RESULTS.md")  # by the benchmarks
        assert made or (document.parent / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=relative)
def test_paths_in_documents_exist(document: Path) -> None:
    """`plan/lower.h` and `tests/zoo` are somewhere below the document or the top."""
    bases = [document.parent, ROOT, CSRC, ROOT / "python" / "trimtab", ROOT / "tests"]
    for name in re.findall(r"`([\w.-]+(?:/[\w.-]+)+/?)`", document.read_text()):
        if re.search(r"\.(c|h|cpp|hpp|py|md|txt|toml)$|/$", name):
            assert any((base / name).exists() for base in bases), name


def test_variables_in_the_code_and_in_the_readme_are_the_same() -> None:
    quoted = re.compile(r'"(TRIMTAB_[A-Z0-9_]+)"')
    readers = [*C_FILES, *PY_FILES, ROOT / "setup.py"]
    readers += sorted((ROOT / "buildtools").glob("*.py"))
    used = {name for path in readers for name in quoted.findall(path.read_text())}
    table = re.findall(r"^\| `(\w+)`", (ROOT / "README.md").read_text(), re.M)
    assert sorted(used) == sorted(n for n in table if n.startswith("TRIMTAB_"))


TEXTS = {".c", ".h", ".cpp", ".hpp", ".py", ".pyi", ".md", ".toml", ".yaml", ".sh"}


def test_nothing_is_left_unfinished_and_no_machine_is_named() -> None:
    unfinished = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b(?!.*#\d+)")
    machine = re.compile(r"(?<![\w.])/(work|farm|root|home/\w+)/")
    for path in tracked():
        if path.suffix not in TEXTS or path == Path(__file__).resolve():
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            where = f"{relative(path)}:{number}"
            assert not machine.search(line), where
            assert not unfinished.search(line), where


def test_the_readme_keeps_its_two_commands() -> None:
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert blocks == [
        "pip install . && trimtab demo\n",
        "pip install '.[test]' && pytest -n auto --maxprocesses 4\n",
    ]


@pytest.mark.parametrize("part", PARTS, ids=" ".join)
def test_generated_parts_are_as_the_code_is(part: tuple[str, str]) -> None:
    document, name = part
    written = part_of((ROOT / document).read_text(), name)[2]
    assert written == PARTS[part](), "run: python -m tests.house.generated"


def test_the_guide_of_formats_has_every_format() -> None:
    from trimtab.formats import FORMATS, OBJECTS

    text = (ROOT / "docs/formats.md").read_text()
    listed = re.findall(r"^\| `(\w+)` \|", text.split("##")[0], re.M)
    assert sorted(listed) == sorted({*FORMATS, *OBJECTS})


def test_every_step_can_be_taken_from_the_top() -> None:
    from trimtab import steps
    from trimtab.processing import STEPS

    classes = {home.partition(":")[2] for home in STEPS.values()}
    assert classes <= set(steps.__all__), sorted(classes - set(steps.__all__))
    assert all(hasattr(steps, name) for name in steps.__all__)
