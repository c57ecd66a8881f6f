"""Write the ledger anew: run the cases and say what moved.

    python -m tests.conformance.update [PATTERN ...]

With patterns (of ids, as the shell has them) only those cases are run.
"""

from __future__ import annotations

import fnmatch
import sys

from .cases import all_cases, version
from .judge import judge
from .ledger import EXPLAINED, PATH, Ledger, Row, read_ledger, totals, write_ledger


def _row(case_id: str, old: Row | None) -> Row:
    case = all_cases()[case_id]
    column, reason = judge(case)
    if old and old.column == column and old.reason.startswith(EXPLAINED):
        reason = old.reason
    if old is None or old.column != column:
        print(f"{case_id}: {old.column if old else 'new'} -> {column} {reason}")
    return Row(column, case.operators, reason)


def main(patterns: list[str]) -> None:
    old = read_ledger().rows if PATH.exists() else {}
    rows = {}
    for case_id in all_cases():
        is_asked = any(fnmatch.fnmatchcase(case_id, p) for p in patterns or ["*"])
        if is_asked or case_id not in old:
            rows[case_id] = _row(case_id, old.get(case_id))
        else:
            rows[case_id] = old[case_id]
    for case_id in sorted(old.keys() - rows.keys()):
        print(f"{case_id}: gone")
    ledger = Ledger(version(), rows)
    write_ledger(ledger)
    print(totals(ledger))


if __name__ == "__main__":
    main(sys.argv[1:])
