"""What docs/operators.md says of every operator, from the tables of the code.

The table of the core gives opsets and how a node runs; its C functions, who computes;
the ledger of tests/conformance, which of onnx's cases pass; dtypes.csv beside it, the
element types; quoted names in the tests, where it is tested.
"""

from __future__ import annotations

import functools
import re
from collections import Counter, defaultdict

from tests.conformance.dtypes import read_dtypes
from tests.conformance.judge import COLUMNS
from tests.conformance.ledger import Ledger, read_ledger

from trimtab import _core

from .core import CSRC, calls, functions, records
from .files import ROOT, code_of, relative

#: What the record of an operator tells -> what becomes of a node.
_BY_RECORD = {
    "control flow": "control flow",
    "view": "view",
    "compiling": "while compiling",
    "data": "own kernel, shape by data",
    "elementwise": "elementwise kernel",
}
#: Function that an operator's `lower` comes to -> who computes; all are named.
_BY_CALL = {
    "tt_lower_prim": "oneDNN",
    "tt_lower_kernel": "own kernel",
    "tt_lower_elementwise": "elementwise kernel",
    "tt_lower_copy": "copy",
    "tt_lower_view": "view",
}
_HEAD = (
    "| operator | opsets | runs as | dtypes of its first input | tested in | cases |",
    "|---|---|---|---|---|---|",
)
_SHORT = {"float": "f", "bfloat": "bf", "uint": "u", "int": "i"}


def name_of(domain: str, op_type: str) -> str:
    """As the ledger writes it."""
    return f"{domain}.{op_type}" if domain else op_type


@functools.cache
def table() -> dict[str, list[dict[str, object]]]:
    """Operator -> its records, oldest first."""
    found: dict[str, list[dict[str, object]]] = defaultdict(list)
    for record, op in zip(records(), _core.operators(), strict=True):
        found[name_of(op["domain"], op["name"])].append({**op, "record": record})
    for versions in found.values():
        versions.sort(key=lambda op: int(str(op["since"])))
    return dict(found)


def opsets(versions: list[dict[str, object]]) -> str:
    """ "1-6, 9+": what records serve, those that follow each other as one."""
    spans: list[list[int]] = []
    for op in versions:
        since, until = int(str(op["since"])), int(str(op["until"]))
        if spans and spans[-1][1] == since - 1:
            spans[-1][1] = until
        else:
            spans.append([since, until])
    return ", ".join(f"{a}-{b}" if b else f"{a}+" for a, b in spans)


# ---- who computes --------------------------------------------------------------------


@functools.cache
def _file_of() -> dict[str, str]:
    """Record -> file that defines it."""
    found = {}
    for path in sorted((CSRC / "ops").glob("*.c")):
        text = path.read_text()
        plain = re.findall(r"\bconst tt_op tt_op_(\w+)\s*=", text)
        by_macro = re.findall(r"\b[A-Z_]+\(\s*([a-z]\w*),", text)
        found.update(dict.fromkeys(plain + by_macro, relative(path)))
    return found


@functools.cache
def _reach() -> dict[str, set[str]]:
    """File of an operator -> functions of plan/lower.h that its `lower` comes to."""
    graph = calls()
    inside = {
        (f"{relative(path)}:{name}" if static else name)
        for path in (CSRC / "ops").glob("*.c")
        for name, _, static in functions(path)
    }
    reach = {}
    for path in (CSRC / "ops").glob("*.c"):
        here = relative(path)
        named = set(re.findall(r"\.lower = (\w+)", code_of(path)))
        waiting = [k for n in named for k in (f"{here}:{n}", n) if k in graph]
        named |= set(waiting)
        seen: set[str] = set()
        while waiting:
            for called in graph.get(waiting.pop(), set()) - seen:
                seen.add(called)
                if called in inside:
                    waiting.append(called)
        reach[here] = {f for f in (*seen, *named) if f in _BY_CALL}
    return reach


def runs_as(op: dict[str, object]) -> str:
    """Who computes a node of this record."""
    kind = str(op["runs"])
    if kind in _BY_RECORD:
        return _BY_RECORD[kind]
    reached = _reach()[_file_of()[str(op["record"])]]
    who = [text for call, text in _BY_CALL.items() if call in reached]
    # a copy is what brings an input into the order that a kernel wants
    real = [w for w in who if w not in ("copy", "view")]
    return " or ".join(real or who) or "while compiling"


# ---- tests ---------------------------------------------------------------------------


@functools.cache
def _tested_in() -> dict[str, list[str]]:
    """Quoted word -> tests that hold it: of operators, of plans, the fuzzer."""
    found: dict[str, list[str]] = defaultdict(list)
    paths = [p for f in ("ops", "plan") for p in (ROOT / "tests" / f).glob("test_*.py")]
    for path in [*sorted(paths), *(ROOT / "tests" / "fuzz").glob("*.py")]:
        folder = path.parent.name
        name = "fuzz" if folder == "fuzz" else f"{folder}/{path.stem[5:]}"
        for word in set(re.findall(r'"(?:[\w.]+::)?(\w+)"', path.read_text())):
            if name not in found[word]:
                found[word].append(name)
    return found


def tested_in(op_type: str) -> str:
    """The file of its name if there is one, else at most two; and the fuzzer."""
    files = [f for f in _tested_in().get(op_type, []) if f != "ops/onnx_node"]
    own = [f for f in files if f[4:].replace("_", "") == op_type.lower()]
    rest = [f for f in files if f != "fuzz"][:2]
    return ", ".join([*(own or rest), *(f for f in files if f == "fuzz")])


def case_counts(ledger: Ledger) -> dict[str, Counter[str]]:
    """Operator -> its cases by column: it stands alone in them, or in their name."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for case_id, row in ledger.rows.items():
        if not case_id.startswith("node/") or "_expanded" in case_id:
            continue
        letters = case_id.replace("_", "")
        for operator in row.operators:
            named = operator.rpartition(".")[2].lower() in letters
            if named or len(row.operators) == 1:
                counts[operator][row.column] += 1
    return counts


# ---- the page ------------------------------------------------------------------------


def _cases(counts: Counter[str]) -> str:
    right, by_fallback = counts["core"], counts["fallback"]
    more = f" + {by_fallback} by fallback" if by_fallback else ""
    return f"{right}{more} of {counts.total()}" if counts else ""


def _beyond(counts: Counter[str]) -> str:
    """Of an operator that the table of the core has not."""
    if counts["core"]:
        return "rewritten when the file is read"
    return "fallback" if counts["fallback"] else "refused"


def _dtypes(names: list[str]) -> str:
    return " ".join(
        re.sub(r"^(float|bfloat|uint|int)(?=\d)", _abbreviate, n) for n in names
    )


def _abbreviate(match: re.Match[str]) -> str:
    return _SHORT[match[1]]


def _row(operator: str, counts: Counter[str], dtypes: list[str]) -> str:
    op_type = operator.rpartition(".")[2]
    versions = table().get(operator)
    cells = [
        f"`{op_type}`",
        opsets(versions) if versions else "",
        runs_as(versions[-1]) if versions else _beyond(counts),
        _dtypes(dtypes),
        tested_in(op_type),
        _cases(counts),
    ]
    return f"| {' | '.join(cells)} |"


def operators() -> str:
    """A table for each domain, and totals."""
    ledger, dtypes = read_ledger(), read_dtypes()
    counts = case_counts(ledger)
    names = sorted({*table(), *counts})
    domains = sorted({name.rpartition(".")[0] for name in names})
    parts = [_totals(ledger)]
    for domain in domains:
        rows = [
            _row(name, counts.get(name, Counter()), dtypes.get(name, []))
            for name in names
            if name.rpartition(".")[0] == domain
        ]
        parts.append("\n".join([f"## {domain or 'ai.onnx'}", "", *_HEAD, *rows]))
    return "\n\n".join(parts)


def _totals(ledger: Ledger) -> str:
    lines = [f"| cases of onnx {ledger.version} | {' | '.join(COLUMNS)} | all |"]
    lines.append("|---" * (len(COLUMNS) + 2) + "|")
    kinds = sorted({case.partition("/")[0] for case in ledger.rows})
    for kind in [*kinds, ""]:
        columns = Counter(
            r.column for c, r in ledger.rows.items() if c.startswith(kind)
        )
        numbers = " | ".join(str(columns[column]) for column in COLUMNS)
        lines.append(f"| {kind or 'all'} | {numbers} | {columns.total()} |")
    return "\n".join(lines)
