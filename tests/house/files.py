"""What the rules read: the files of the core and of the package, and their code."""

from __future__ import annotations

import ast
import functools
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CSRC = ROOT / "csrc"
PYTHON = ROOT / "python" / "trimtab"

C_SUFFIXES = {".c", ".h", ".cpp", ".hpp"}
C_FILES = sorted(p for p in CSRC.rglob("*") if p.suffix in C_SUFFIXES)
PY_FILES = sorted(PYTHON.rglob("*.py"))


def relative(path: Path) -> str:
    """Path below the repository."""
    return str(path.relative_to(ROOT))


def includes(path: Path) -> list[str]:
    """Headers that a file includes, as it writes them."""
    return re.findall(r'^#\s*include\s+[<"]([^">]+)[">]', path.read_text(), re.M)


@functools.cache
def code_of(path: Path) -> str:
    """The text with comments and the insides of string literals blanked out.

    Newlines stay, so that positions still tell the line.
    """

    def blank(match: re.Match[str]) -> str:
        text = match.group()
        if text.startswith('"'):
            return '"' + " " * (len(text) - 2) + '"'
        if text.startswith("'"):
            return text
        return re.sub(r"[^\n]", " ", text)

    token = r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\''
    return re.sub(token, blank, path.read_text(), flags=re.S)


def line_of(text: str, position: int) -> int:
    """Number of the line that holds a position."""
    return text.count("\n", 0, position) + 1


@functools.cache
def tree_of(path: Path) -> ast.Module:
    """A Python file, parsed."""
    return ast.parse(path.read_text())


@functools.cache
def tracked() -> tuple[Path, ...]:
    """Every file under version control; every file there is where there is no git."""
    out = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if out.returncode != 0:
        return tuple(sorted(p for p in ROOT.rglob("*") if p.is_file()))
    paths = (ROOT / line for line in out.stdout.splitlines())
    return tuple(path for path in paths if path.is_file())
