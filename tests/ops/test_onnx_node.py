"""ONNX's own tests of operators, for every operator of the table.

A case runs when the table has all operators of its model. What is known not to pass
is listed with its reason in onnx_node_expected.txt, one case or pattern per line; a
listed case that passes is a failure too, so the list stays exact.
"""

import fnmatch
import warnings
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, numpy_helper
from tests.ops.check import compare

import trimtab
from trimtab import _core

TOLERANCE = 2e-4  # some expected values are typed in with four decimals


def operator_cases():
    """Cases whose nodes are all in the table."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case.node import collect_testcases

        cases = collect_testcases(None)
    return {case.name: case for case in cases if is_covered(case.model)}


def is_covered(model):
    """Does the table have every operator, those of the bodies included?"""
    versions = {o.domain: o.version for o in model.opset_import}
    graphs = [model.graph]
    while graphs:
        for node in graphs.pop().node:
            version = versions.get(node.domain, 1)
            if node.op_type != "Constant" and not _core.has_operator(
                node.domain, node.op_type, version
            ):
                return False
            graphs += [a.g for a in node.attribute if a.HasField("g")]
    return True


def expected_failures():
    """Pattern -> reason."""
    text = Path(__file__).with_name("onnx_node_expected.txt").read_text("utf-8")
    lines = [line.split(None, 1) for line in text.splitlines()]
    return {line[0]: line[1] for line in lines if line and line[0] != "#"}


CASES = operator_cases()
EXPECTED = expected_failures()


def marked(name):
    """The case's name, marked when it is listed."""
    for pattern, reason in EXPECTED.items():
        if fnmatch.fnmatchcase(name, pattern):
            return pytest.param(name, marks=pytest.mark.xfail(reason=reason))
    return name


def array(value):
    """Types that NumPy lacks come as protos."""
    return numpy_helper.to_array(value) if isinstance(value, TensorProto) else value


def same(got, want):
    """Compare tensors and sequences of tensors."""
    want = array(want)
    if isinstance(want, list):
        assert len(got) == len(want)
        for g, w in zip(got, want, strict=True):
            same(g, w)
    elif want is not None:
        compare(np.asarray(got), np.asarray(want), max(TOLERANCE, by_dtype(want)))


def by_dtype(want):
    """Half precision and eighth precision get their own tolerance."""
    return {"float16": 2e-3, "bfloat16": 2e-2}.get(np.asarray(want).dtype.name, 0.0)


@pytest.mark.parametrize("name", [marked(name) for name in CASES])
def test_case(name):
    case = CASES[name]
    model = trimtab.load_model(case.model.SerializeToString(), fallback=False)
    for inputs, outputs in case.data_sets:
        names = [i.name for i in model.inputs]
        feeds = dict(zip(names, map(array, inputs), strict=True))
        result = model.run(feeds)
        for output, want in zip(model.outputs, outputs, strict=True):
            same(result[output.name], want)


def test_every_pattern_of_the_list_names_a_case():
    for pattern in EXPECTED:
        assert fnmatch.filter(CASES, pattern), f"{pattern} matches no case"
