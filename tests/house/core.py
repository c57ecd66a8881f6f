"""The rules of the C core: who includes whom, where foreign interfaces are spoken."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from .files import C_FILES, CSRC, PY_FILES, code_of, includes, line_of, relative

#: What each room may include, besides itself.
ROOMS: dict[str, set[str]] = {
    "base": set(),
    "kernels": {"base"},
    "dnnl": {"base"},
    "watch": {"base"},
    "graph": {"base", "ops", "kernels", "dnnl"},
    "ops": {"base", "graph", "kernels", "dnnl", "plan"},
    "plan": {"base", "graph", "kernels", "dnnl", "ops"},
    "bind": {"base", "graph", "kernels", "dnnl", "ops", "plan", "watch"},
}
#: The only headers of a higher room that a lower one may see.
DOORS = {
    ("graph", "ops"): {
        "ops/op.h",
        "ops/masked_softmax.h",
        "ops/fused_attention.h",
        "ops/mean_linear.h",
        "ops/quantized.h",
    },
    ("ops", "plan"): {"plan/lower.h"},
}
#: Functions on a path back to themselves, with what bounds the depth.
RECURSIVE = {
    **dict.fromkeys(
        [
            "tt_control_eval",
            "tt_program_run",
            "tt_body_run",
            "tt_loop_run",
            "tt_scan_run",
            "tt_sequence_map_run",
            "csrc/plan/control.c:run",
            "csrc/plan/loop.c:iterate",
            "csrc/plan/scan.c:iterate",
            "csrc/plan/scan.c:scan_tensors",
            "csrc/plan/flight.c:eval_node",
            "csrc/plan/flight.c:hop",
            "csrc/plan/flight.c:run_eval",
        ],
        "bodies of Loop, Scan and SequenceMap: Limits.max_depth",
    ),
    **dict.fromkeys(
        [
            "tt_array_read",
            "tt_object_read",
            "csrc/bind/array_objects.c:read_item",
            "csrc/bind/array_objects.c:read_list",
        ],
        "an item of a sequence is no sequence: two levels",
    ),
    **dict.fromkeys(
        ["tt_program_free", "tt_plan_free", "tt_plan_unref"],
        "a plan owns the program of its tail; tails are taken off before: two levels",
    ),
}


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
        if header.startswith(("dnnl", "oneapi/dnnl")) and not header.startswith(
            "dnnl/dnnl_"
        ):
            assert path.parent.name == "dnnl", where
        if header == "Python.h":
            assert path.parent.name == "bind", where
        if header.startswith("numpy/"):
            assert path.parent.name == "bind", where
            assert path.name.startswith("array"), where
        if header.startswith(("tbb/", "oneapi/tbb")) or header == "omp.h":
            assert where.startswith("csrc/base/threads"), where


def test_cpp_is_confined_to_what_throws() -> None:
    for path in C_FILES:
        if path.suffix in {".cpp", ".hpp"}:
            assert path.parent.name == "dnnl" or path.name.startswith("threads")


@pytest.mark.parametrize("path", C_FILES, ids=relative)
def test_memory_comes_from_the_one_allocator(path: Path) -> None:
    code = code_of(path)
    if path.name in {"alloc.c", "alloc.h"}:
        return
    taken = re.search(r"\b(malloc|calloc|realloc|strdup|alloca)\s*\(", code)
    assert not taken, f"{relative(path)}:{line_of(code, taken.start())}"
    for call in re.finditer(r"\btt_alloc\(([^;]*);", code):
        assert not re.search(r"[\w)\]] \* ", call[1]), (
            f"{relative(path)}:{line_of(code, call.start())}: use tt_calloc, "
            "which checks the product"
        )


@pytest.mark.parametrize("path", C_FILES, ids=relative)
def test_locks_are_taken_where_a_fork_sees_it(path: Path) -> None:
    """By base/fork.h; a watcher's lock lies in a page that a fork wipes."""
    if path.name in {"fork.h", "fork.c", "watcher.c", "watched.c"}:
        return
    code = code_of(path)
    taken = re.search(r"\bpthread_(mutex_(try|timed)?lock|rwlock|spin)", code)
    assert not taken, f"{relative(path)}:{line_of(code, taken.start())}"


@pytest.mark.parametrize("path", C_FILES, ids=relative)
def test_arrays_have_constant_lengths(path: Path) -> None:
    """No VLA: a length in brackets is a number, a constant, or nothing.

    The build's -Wvla says the same; this says it without building.
    """
    code = code_of(path)
    local = re.compile(
        r"^ {4,}(?!return)(?:const )?\w+ \**\w+\[([a-z]\w*)\](?: = .*)?;", re.M
    )
    for match in local.finditer(code):
        constant = re.search(rf"\b(enum|define)\b[^;]*\b{match[1]}\b", code)
        assert constant, f"{relative(path)}:{line_of(code, match.start())}: {match[0]}"


def functions(path: Path) -> Iterator[tuple[str, str, bool]]:
    """Name, body and being static of each function that a file defines."""
    code = code_of(path)
    head = re.compile(
        r"^(?!typedef|#|struct \w+ \{|enum)([^\n;{}=]*\([^;{}]*\))\n\{", re.M
    )
    for match in head.finditer(code):
        end = code.find("\n}", match.end())
        name = re.search(r"(\w+)\(", match[1])
        if name is not None and not name[1].isupper():  # a macro makes the name
            yield name[1], code[match.end() : end], "static" in match[1].split()


def calls() -> dict[str, set[str]]:
    """Function -> functions it calls; static ones are qualified by their file."""
    found = [
        (path, name, body, static)
        for path in C_FILES
        for name, body, static in functions(path)
    ]
    known: dict[tuple[str, str], str] = {}
    for path, name, _, static in found:
        where = relative(path) if static else ""
        known[where, name] = f"{where}:{name}" if static else name
    graph: dict[str, set[str]] = {}
    for path, name, body, static in found:
        here = relative(path)
        caller = known[here if static else "", name]
        called = set(re.findall(r"\b(\w+)\(", body))
        targets = (known.get((here, c)) or known.get(("", c)) for c in called)
        graph.setdefault(caller, set()).update(t for t in targets if t)
    return graph


def in_cycles(graph: dict[str, set[str]]) -> set[str]:
    """Nodes from which a path leads back to themselves."""
    cyclic = set()
    for start in graph:
        seen: set[str] = set()
        waiting = list(graph[start])
        while waiting:
            node = waiting.pop()
            if node not in seen:
                seen.add(node)
                waiting += graph.get(node, ())
        if start in seen:
            cyclic.add(start)
    return cyclic


def test_nothing_recurses_but_what_is_listed() -> None:
    graph = calls()
    assert len(graph) > 1000, "the reader of functions has gone blind"
    assert in_cycles({"a": {"b"}, "b": {"a"}, "c": {"a"}}) == {"a", "b"}
    assert sorted(in_cycles(graph)) == sorted(RECURSIVE)


@pytest.mark.parametrize("path", C_FILES + PY_FILES, ids=relative)
def test_no_file_has_outgrown_its_room(path: Path) -> None:
    n_lines = len(path.read_text().splitlines())
    assert n_lines <= 620, f"{relative(path)} has {n_lines} lines: split it"


@pytest.mark.parametrize("path", C_FILES, ids=relative)
def test_a_file_opens_with_what_it_is_for(path: Path) -> None:
    assert path.read_text().startswith("/* "), relative(path)


#: What a user can bring about; the rest names what could not be had, or a defect.
CAUSED_BY_USERS = (
    "TT_BAD_MODEL|TT_LIMIT|TT_UNSUPPORTED|TT_BAD_INPUT|TT_BAD_INPUT_TYPE|TT_NO_DEVICE"
)


@pytest.mark.parametrize("path", C_FILES, ids=relative)
def test_messages_hold_a_name_or_a_value(path: Path) -> None:
    text = path.read_text()
    call = re.compile(
        rf"\btt_fail\(\w+,\s*(?:{CAUSED_BY_USERS}),\s*((?:\"(?:\\.|[^\"\\])*\"\s*)+)"
    )
    for match in call.finditer(text):
        assert "%" in match[1], f"{relative(path)}:{line_of(text, match.start())}"


@pytest.mark.parametrize("path", C_FILES, ids=relative)
def test_texts_of_enums_come_from_their_list(path: Path) -> None:
    """A switch that turns our enums into texts repeats what an X-macro holds."""
    text = path.read_text()
    match = re.search(r"case\s+TT_\w+:\s*return\s+\"", text)
    assert not match, f"{relative(path)}:{line_of(text, match.start())}"


def test_every_list_makes_its_enum_or_table() -> None:
    """An X-macro that is expanded once only is a table typed in a strange way."""
    text = "\n".join(code_of(path) for path in C_FILES)
    for name in re.findall(r"#define (TT_\w+_LIST)\(X\)", text):
        assert len(re.findall(rf"\b{name}\(", text)) >= 2, name


def test_a_vector_kernel_has_its_plain_form() -> None:
    """What `_avx2.c` and `_avx512.c` compute, plain C computes too: the oracle, and
    the kernel of every other processor."""
    for path in sorted(CSRC.glob("*/*_avx*.c")):
        name = re.sub(r"_avx(2|512)(_\w+)?$", "", path.stem)
        plain = [path.parent / f"{name}{end}.c" for end in ("_scalar", "_ref", "")]
        assert any(p.exists() for p in plain), f"{relative(path)} has no plain form"


def records() -> list[str]:
    return re.findall(r"^OP\((\w+)\)$", (CSRC / "ops/op_list.h").read_text(), re.M)


def test_operator_list_is_sorted() -> None:
    listed = records()
    assert len(listed) > 100
    assert listed == sorted(set(listed))


#: Records that passes make; no file can name them.
MADE = {
    "chain",
    "fused_attention",
    "masked_softmax",
    "mean_linear",
    "quantized_conv",
    "quantized_conv_transpose",
    "quantized_gemm",
    "quantized_matmul",
}


def test_what_is_defined_is_listed() -> None:
    named = re.compile(r'\bconst tt_op tt_op_(\w+)\s*=|\b[A-Z_]+\((\w+), "[A-Z]\w+",')
    text = "\n".join(p.read_text() for p in sorted((CSRC / "ops").glob("*.c")))
    defined = {a or b for a, b in named.findall(text)}
    assert len(defined) > 100, "the reader of records has gone blind"
    assert sorted(defined - MADE - set(records())) == []


def test_an_operator_is_defined_once() -> None:
    """By its own name, or as the first word of a line of its file's table."""
    text = "\n".join(p.read_text() for p in sorted((CSRC / "ops").glob("*.c")))
    plain = re.findall(r"\bconst tt_op tt_op_(\w+)\s*=", text)
    by_macro = re.findall(r"\b[A-Z_]+\(\s*([a-z]\w*),", text)
    n_defined = Counter(plain + by_macro)
    for record in records():
        assert n_defined[record] == 1, f"tt_op_{record} has {n_defined[record]}"


def test_status_codes_are_each_mapped_to_an_exception() -> None:
    header = (CSRC / "base/status.h").read_text()
    codes = re.findall(r"X\((TT_\w+),", header)
    mapping = (CSRC / "bind/error.c").read_text()
    internal = {"TT_OK", "TT_NEEDS_VALUE", "TT_NEEDS_RUN", "TT_INTERNAL"}
    for code in codes:
        assert code in mapping or code in internal, f"{code} has no exception"
