"""The ledger: what becomes of each case, in a file that is checked in.

    python -m tests.conformance.ledger

prints its totals; `tests.conformance.update` writes it.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from trimtab.report import text_table

from .judge import COLUMNS

PATH = Path(__file__).with_name("ledger.csv")
UPDATE = "python -m tests.conformance.update"
_FIELDS = ("case", "column", "operators", "reason")
#: Begins a reason that a person wrote; it stays for as long as the column does.
EXPLAINED = "explained: "


@dataclass(frozen=True)
class Row:
    """What becomes of a case, and why it is not run by the core."""

    column: str
    operators: tuple[str, ...]
    reason: str

    @property
    def domain(self) -> str:
        """The first that is not ai.onnx, if there is one."""
        domains = {name.rpartition(".")[0] for name in self.operators}
        return min(domains - {""}, default="ai.onnx")


@dataclass(frozen=True)
class Ledger:
    """Version of onnx that the cases are from, and a row for each."""

    version: str
    rows: dict[str, Row]


def read_ledger(path: Path = PATH) -> Ledger:
    head, _, table = path.read_text("utf-8").partition("\n")
    rows = {
        row["case"]: Row(row["column"], tuple(row["operators"].split()), row["reason"])
        for row in csv.DictReader(io.StringIO(table))
    }
    return Ledger(head.removeprefix("# onnx "), rows)


def write_ledger(ledger: Ledger, path: Path = PATH) -> None:
    text = io.StringIO()
    text.write(f"# onnx {ledger.version}\n")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_FIELDS)
    for case, row in sorted(ledger.rows.items()):
        writer.writerow([case, row.column, " ".join(row.operators), row.reason])
    path.write_text(text.getvalue(), "utf-8")


def totals(ledger: Ledger) -> str:
    """Cases by column, for each kind and domain."""
    counts: Counter[tuple[str, str]] = Counter()
    for case, row in ledger.rows.items():
        kind = case.partition("/")[0]
        for group in (f"{kind}: {row.domain}", kind, "all"):
            counts[group, row.column] += 1
    groups = sorted({group for group, _ in counts}, key=lambda g: (g == "all", g))
    table = []
    for group in groups:
        numbers = [counts[group, column] for column in COLUMNS]
        n_right = numbers[0] + numbers[1]
        table.append([group, *numbers, n_right, sum(numbers)])
    return text_table(["cases", *COLUMNS, "right", "all"], table)


def main() -> None:
    print(totals(read_ledger()))


if __name__ == "__main__":
    main()
