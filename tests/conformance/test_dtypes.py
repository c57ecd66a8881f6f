"""The list of element types that docs/operators.md shows is what trying gives."""

import pytest

from .cases import version
from .dtypes import UPDATE, probe, probed_operators, read_dtypes
from .ledger import read_ledger

LEDGER = read_ledger()
OPERATORS = probed_operators(LEDGER)

needs_version = pytest.mark.skipif(
    version() != LEDGER.version,
    reason=f"the ledger is of onnx {LEDGER.version}, installed is {version()}",
)


def test_the_list_has_every_operator():
    assert sorted(read_dtypes()) == sorted(OPERATORS), f"run: {UPDATE}"


@needs_version
@pytest.mark.parametrize("operator", OPERATORS)
def test_the_types_of_an_operator_are_those_that_run(operator):
    listed = read_dtypes().get(operator, [])
    assert probe(OPERATORS[operator]) == listed, f"run: {UPDATE}"
