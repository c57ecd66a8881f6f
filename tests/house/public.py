"""The rules of public Python names: documented, typed, with examples that run."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import trimtab
from trimtab.limits import Limits

from .files import CSRC, PY_FILES, PYTHON, relative, tree_of

Definition = ast.FunctionDef | ast.ClassDef

#: What `import trimtab` may load besides NumPy and what NumPy loads. Everything else
#: waits for its first use.
IMPORT_BUDGET = {"trimtab"}


def exported(path: Path) -> list[str]:
    """The module's `__all__`."""
    for node in tree_of(path).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    return []


def public_names() -> Iterator[tuple[Path, str, Definition]]:
    """Functions and classes of every `__all__`, and the methods of those classes."""
    for path in PY_FILES:
        names = exported(path)
        for node in tree_of(path).body:
            if not isinstance(node, Definition) or node.name not in names:
                continue
            yield path, node.name, node
            if isinstance(node, ast.ClassDef):
                for method in node.body:
                    is_public = not getattr(method, "name", "_").startswith("_")
                    if isinstance(method, ast.FunctionDef) and is_public:
                        yield path, f"{node.name}.{method.name}", method


NAMES = list(public_names())
FUNCTIONS = [name for name in NAMES if isinstance(name[2], ast.FunctionDef)]


def where(value: object) -> str:
    """Test id: a file's or an object's name."""
    return relative(value) if isinstance(value, Path) else getattr(value, "name", "")


def sections(node: Definition) -> dict[str, str]:
    """Sections of a numpydoc docstring, by title; the summary is ''."""
    parts = re.split(r"(?m)^(\w+)\n-+$\n?", ast.get_docstring(node) or "")
    return {"": parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}


def documented(section: str) -> list[str]:
    """Names of a section's entries: "height, width : int" are two."""
    heads = [line.split(" : ")[0] for line in section.splitlines() if line[:1].strip()]
    return [name.strip() for head in heads for name in head.split(",")]


def parameters(node: ast.FunctionDef) -> list[str]:
    """Parameters as a docstring lists them."""
    found = [a.arg for a in node.args.posonlyargs + node.args.args]
    found += [f"*{node.args.vararg.arg}"] if node.args.vararg else []
    found += [a.arg for a in node.args.kwonlyargs]
    found += [f"**{node.args.kwarg.arg}"] if node.args.kwarg else []
    return [name for name in found if name not in {"self", "cls"}]


def is_property(node: ast.FunctionDef) -> bool:
    return any("property" in ast.unparse(d) for d in node.decorator_list)


def raises(node: ast.FunctionDef) -> bool:
    """Does the body raise something of its own?  Re-raising does not count."""
    return any(isinstance(part, ast.Raise) and part.exc for part in ast.walk(node))


@pytest.mark.parametrize(("path", "name", "node"), NAMES, ids=where)
def test_public_names_have_a_summary(path: Path, name: str, node: Definition) -> None:
    summary = sections(node)[""].strip()
    assert summary, f"{relative(path)}: {name}"
    first = summary.split("\n\n")[0]
    assert first.endswith((".", "?", "`")), f"{relative(path)}: {name}: {first!r}"


@pytest.mark.parametrize(("path", "name", "node"), FUNCTIONS, ids=where)
def test_parameters_equal_the_signature(
    path: Path, name: str, node: ast.FunctionDef
) -> None:
    listed = documented(sections(node).get("Parameters", ""))
    assert listed == parameters(node), f"{relative(path)}: {name}"


@pytest.mark.parametrize(("path", "name", "node"), FUNCTIONS, ids=where)
def test_returns_and_raises_are_told(
    path: Path, name: str, node: ast.FunctionDef
) -> None:
    told = sections(node)
    gives = ast.unparse(node.returns) if node.returns else "?"
    if parameters(node) and gives != "None":
        assert "Returns" in told, f"{relative(path)}: {name} -> {gives}"
    if raises(node) and not is_property(node):
        assert "Raises" in told, f"{relative(path)}: {name}"


@pytest.mark.parametrize(("path", "name", "node"), NAMES, ids=where)
def test_functions_show_an_example(path: Path, name: str, node: Definition) -> None:
    is_function = isinstance(node, ast.FunctionDef) and "." not in name
    is_ours = name in trimtab.__all__ and not name.endswith("Error")
    if is_function or is_ours:
        assert ">>>" in sections(node).get("Examples", ""), f"{relative(path)}: {name}"


@pytest.mark.parametrize(("path", "name", "node"), FUNCTIONS, ids=where)
def test_public_names_are_typed(path: Path, name: str, node: ast.FunctionDef) -> None:
    arguments = node.args.posonlyargs + node.args.args + node.args.kwonlyargs
    for argument in arguments:
        assert argument.annotation or argument.arg in {"self", "cls"}, (
            f"{relative(path)}: {name}({argument.arg}) has no type"
        )
    assert node.returns is not None, f"{relative(path)}: {name} -> ?"


@pytest.mark.parametrize("path", PY_FILES, ids=relative)
def test_examples_run(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    name = ".".join(path.relative_to(PYTHON.parent).with_suffix("").parts)
    if name.endswith("__main__"):
        return
    monkeypatch.chdir(tmp_path)
    results = doctest.testmod(importlib.import_module(name.removesuffix(".__init__")))
    assert results.failed == 0


@pytest.mark.parametrize("path", PY_FILES, ids=relative)
def test_a_module_says_what_it_is_for_and_what_is_public(path: Path) -> None:
    assert ast.get_docstring(tree_of(path)), relative(path)
    if path.name not in {"__main__.py"} and "processing/__init__" not in str(path):
        assert exported(path), f"{relative(path)} has no __all__"


def test_every_public_name_can_be_imported_from_the_top() -> None:
    for name in trimtab.__all__:
        assert inspect.getmodule(getattr(trimtab, name)), name


def test_importing_trimtab_loads_itself_and_numpy() -> None:
    code = (
        "import sys, numpy; before = set(sys.modules); import trimtab;"
        "print(*sorted({m.split('.')[0] for m in set(sys.modules) - before}"
        " - set(sys.stdlib_module_names)))"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert set(out.stdout.split()) <= IMPORT_BUDGET


def test_limits_mirror_the_header() -> None:
    header = (CSRC / "base/limits.h").read_text()
    fields = re.findall(r"^\s+X\((\w+),", header, re.M)
    assert fields == list(Limits.__slots__)
