"""The rules of the house, executed.

What is enforced is architecture: who includes whom, where foreign APIs are spoken, that
tables and files agree.  Sizes are taste; the bound here only catches a room that has
outgrown itself.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CSRC = ROOT / "csrc"
PYTHON = ROOT / "python" / "trimtab"

#: What each room may include, besides itself.
ROOMS = {
    "base": set(),
    "kernels": {"base"},
    "dnnl": {"base"},
    "graph": {"base", "ops", "kernels", "dnnl"},
    "ops": {"base", "graph", "kernels", "dnnl", "plan"},
    "plan": {"base", "graph", "kernels", "dnnl", "ops"},
    "bind": {"base", "graph", "kernels", "dnnl", "ops", "plan"},
}
#: The only headers of a higher room that a lower one may see.
DOORS = {
    ("graph", "ops"): {"ops/op.h", "ops/masked_softmax.h", "ops/fused_attention.h"},
    ("ops", "plan"): {"plan/lower.h"},
}

C_FILES = sorted(p for p in CSRC.rglob("*") if p.suffix in {".c", ".h", ".cpp"})
PY_FILES = sorted(PYTHON.rglob("*.py"))


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def includes(path: Path) -> list[str]:
    return re.findall(r'^#\s*include\s+[<"]([^">]+)[">]', path.read_text(), re.M)


@pytest.mark.parametrize("path", C_FILES, ids=relative)
def test_includes_only_go_down_the_house(path: Path) -> None:
    room = path.relative_to(CSRC).parts[0]
    if room not in ROOMS:
        return
    for header in includes(path):
        target = header.split("/")[0]
        if "/" not in header or target not in ROOMS or target == room:
            continue
        assert target in ROOMS[room], f"{relative(path)} includes {header}"
        door = DOORS.get((room, target))
        assert door is None or header in door, f"{relative(path)} includes {header}"


@pytest.mark.parametrize("path", C_FILES, ids=relative)
def test_foreign_interfaces_are_spoken_in_their_room_alone(path: Path) -> None:
    where = relative(path)
    for header in includes(path):
        if header.startswith("dnnl") and not header.startswith("dnnl/"):
            assert path.parent.name == "dnnl", where
        if header == "Python.h":
            assert path.parent.name == "bind", where
        if header.startswith("numpy/"):
            assert path.name.startswith("array"), where
        if header.startswith(("tbb/", "oneapi/tbb")) or header == "omp.h":
            assert where == "csrc/base/threads.cpp", where


def test_cpp_is_confined_to_what_throws() -> None:
    for path in CSRC.rglob("*.cpp"):
        assert path.parent.name == "dnnl" or path.name == "threads.cpp", relative(path)


def code_of(path: Path) -> str:
    """The text without comments and string literals."""
    text = re.sub(r"/\*.*?\*/", " ", path.read_text(), flags=re.S)
    text = re.sub(r"//[^\n]*", " ", text)
    return re.sub(r'"(\\.|[^"\\])*"', '""', text)


@pytest.mark.parametrize("path", C_FILES, ids=relative)
def test_memory_comes_from_the_one_allocator(path: Path) -> None:
    code = code_of(path)
    if path.name in {"alloc.c", "alloc.h"} or path.suffix == ".cpp":
        return
    assert not re.search(r"\b(malloc|calloc|realloc|strdup|alloca)\s*\(", code)
    assert not re.search(r"\btt_alloc\s*\([^()]*\*[^()]*\*", code), "use tt_calloc"


@pytest.mark.parametrize("path", C_FILES + PY_FILES, ids=relative)
def test_no_file_has_outgrown_its_room(path: Path) -> None:
    n_lines = len(path.read_text().splitlines())
    assert n_lines <= 620, f"{relative(path)} has {n_lines} lines: split it"


def records() -> list[str]:
    return re.findall(r"^OP\((\w+)\)$", (CSRC / "ops/op_list.h").read_text(), re.M)


def test_operator_list_is_sorted_and_every_record_exists_once() -> None:
    listed = records()
    assert listed == sorted(set(listed))
    text = "\n".join(code_of(p) for p in sorted((CSRC / "ops").glob("*.c")))
    defined = re.findall(r"const tt_op tt_op_(\w+)\s*=", text)
    macros = text.count("const tt_op tt_op_##")
    for record in listed:
        assert record in defined or macros, f"no file defines tt_op_{record}"


def test_every_operator_has_a_summary() -> None:
    core = pytest.importorskip("trimtab._core")
    missing = [op["name"] for op in core.operators() if not op["summary"]]
    assert not missing


def test_limits_mirror_the_header() -> None:
    limits = pytest.importorskip("trimtab.limits")
    header = (CSRC / "base/limits.h").read_text()
    fields = re.findall(r"^\s+X\((\w+),", header, re.M)
    assert fields == list(limits.Limits.__dataclass_fields__)


def test_status_codes_are_each_mapped_to_an_exception() -> None:
    header = (CSRC / "base/status.h").read_text()
    codes = re.findall(r"X\((TT_\w+),", header)
    mapping = (CSRC / "bind/error.c").read_text()
    internal = {"TT_OK", "TT_NEEDS_VALUE", "TT_NEEDS_RUN", "TT_INTERNAL"}
    for code in codes:
        assert code in mapping or code in internal, f"{code} has no exception"


def public_functions() -> list[tuple[Path, ast.FunctionDef | ast.ClassDef]]:
    out = []
    for path in PY_FILES:
        for node in ast.parse(path.read_text()).body:
            if isinstance(
                node, ast.FunctionDef | ast.ClassDef
            ) and not node.name.startswith("_"):
                out.append((path, node))
    return out


@pytest.mark.parametrize(
    ("path", "node"),
    public_functions(),
    ids=lambda x: x.name if isinstance(x, ast.AST) else relative(x),
)
def test_public_names_are_documented_and_typed(path: Path, node: ast.AST) -> None:
    assert ast.get_docstring(node), f"{relative(path)}: {node.name} has no docstring"
    if isinstance(node, ast.FunctionDef):
        arguments = node.args.args + node.args.kwonlyargs + node.args.posonlyargs
        for argument in arguments:
            assert argument.annotation or argument.arg in {"self", "cls"}, (
                f"{relative(path)}: {node.name}({argument.arg}) has no type"
            )
        assert node.returns is not None, f"{relative(path)}: {node.name} -> ?"


def test_variables_read_in_the_code_are_in_the_readme() -> None:
    pattern = re.compile(r'"(TRIMTAB_[A-Z_]+)"')
    used = {name for p in C_FILES + PY_FILES for name in pattern.findall(p.read_text())}
    readme = (ROOT / "README.md").read_text()
    assert not {name for name in used if name not in readme}


def test_importing_trimtab_imports_nothing_heavy() -> None:
    code = (
        "import sys, numpy; before = set(sys.modules); import trimtab;"
        "print(' '.join(sorted({m.split('.')[0] for m in set(sys.modules) - before})))"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    loaded = set(out.stdout.split())
    heavy = {"onnx", "safetensors", "scipy", "sklearn", "matplotlib", "torch", "google"}
    assert not loaded & heavy


def tracked() -> list[Path]:
    out = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return [ROOT / line for line in out.stdout.splitlines()]


def test_nothing_is_left_unfinished_and_no_machine_is_named() -> None:
    unfinished = re.compile(r"\b(TODO|FIXME|XXX)\b(?!.*#\d+)")
    machine = re.compile(r"(?<![\w.])/(work|farm|root|home/\w+)/")
    text_suffixes = {".c", ".h", ".cpp", ".py", ".pyi", ".md", ".toml", ".yaml", ".sh"}
    for path in tracked():
        if path.suffix not in text_suffixes or path == Path(__file__).resolve():
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            where = f"{relative(path)}:{number}"
            assert not machine.search(line), where
            assert not unfinished.search(line), where


def test_readme_tree_names_what_exists() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    tree = re.search(r"```\n(csrc/.*?)```", text, re.S)
    assert tree, "CONTRIBUTING.md shows no tree"
    folder: list[str] = []
    for line in tree.group(1).splitlines():
        if not line.strip():
            continue
        depth = (len(line) - len(line.lstrip())) // 2
        name = line.split()[0]
        folder[depth:] = [name]
        path = ROOT / "".join(folder)
        assert path.exists(), f"the tree names {path.relative_to(ROOT)}"
