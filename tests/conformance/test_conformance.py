"""Every case of onnx's own suite is in the column that the ledger says."""

import pytest

from .cases import all_cases, version
from .judge import COLUMNS, judge
from .ledger import EXPLAINED, UPDATE, read_ledger

LEDGER = read_ledger()
# What `python -m tests.conformance.ledger` counts must not fall: right in the core,
# and right in all, of the cases that the package generates.
LEAST_CORE, LEAST_RIGHT = 1845, 1880

needs_version = pytest.mark.skipif(
    version() != LEDGER.version,
    reason=f"the ledger is of onnx {LEDGER.version}, installed is {version()}",
)


@needs_version
def test_the_ledger_has_every_case():
    cases, listed = set(all_cases()), set(LEDGER.rows)
    difference = sorted(cases ^ listed)
    assert not difference, f"new or gone; run: {UPDATE}"


@needs_version
@pytest.mark.parametrize("case_id", LEDGER.rows)
def test_a_case_is_in_its_column(case_id):
    row = LEDGER.rows[case_id]
    if case_id not in all_cases():
        pytest.fail(f"there is no such case any more; run: {UPDATE}")
    column, reason = judge(all_cases()[case_id])
    assert column == row.column, (
        f"{case_id} was {row.column!r}, is {column!r} ({reason}). If that is meant: "
        f"{UPDATE} '{case_id}'"
    )


def test_what_differs_is_explained():
    """A wrong result without a reason why it is not wrong is a bug."""
    differing = {k: r for k, r in LEDGER.rows.items() if r.column == "differs"}
    assert not [k for k, r in differing.items() if not r.reason.startswith(EXPLAINED)]


def test_every_row_is_in_a_column_and_says_why():
    for case_id, row in LEDGER.rows.items():
        assert row.column in COLUMNS, case_id
        assert bool(row.reason) == (row.column != "core"), case_id


def test_the_figures_do_not_fall():
    rows = [row for case_id, row in LEDGER.rows.items() if case_id.startswith("node/")]
    columns = [row.column for row in rows]
    assert columns.count("core") >= LEAST_CORE
    assert columns.count("core") + columns.count("fallback") >= LEAST_RIGHT
