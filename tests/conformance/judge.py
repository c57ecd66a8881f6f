"""What becomes of a case: the column of the ledger it belongs to.

The comparison is that of onnx's own runner: shapes, dtypes, rtol and atol of the case.
It is given what the runner leaves to each backend: values of dtypes that NumPy cannot
promote, absent optionals, and operators whose results are random.
"""

from __future__ import annotations

import re
import warnings
from typing import Any

import numpy as np
from onnx.backend.test.runner import Runner

import trimtab
from trimtab.fallback import FallbackWarning

from .cases import Case
from .random_cases import RANDOM, check_random

#: In the C core; by onnx.reference for some nodes; with other results; not at all.
COLUMNS = ("core", "fallback", "differs", "refused")
#: No column of the ledger: an exception that is none of trimtab's.
CRASHED = "crashed"
_N_REASON = 160


def judge(case: Case) -> tuple[str, str]:
    """Run a case; its column, and for all but the first the reason."""
    failure = _attempt(case, fallback=False)
    if failure is None:
        return "core", ""
    later = _attempt(case, fallback=True)
    return later or ("fallback", failure[1])


def _attempt(case: Case, *, fallback: bool) -> tuple[str, str] | None:
    """None, or column and reason."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FallbackWarning)
            results = _results(case, fallback=fallback)
    except trimtab.TrimtabError as error:
        return "refused", _one_line(error)
    except Exception as error:  # of any other class: no model may cause it
        return CRASHED, f"{type(error).__name__}: {_one_line(error)}"
    try:
        for got, inputs, want in results:
            _compare(case, got, inputs, want)
    except AssertionError as error:
        return "differs", _one_line(error)
    return None


def _results(case: Case, *, fallback: bool) -> list[tuple[list[Any], Any, Any]]:
    model = trimtab.load_model(case.model.SerializeToString(), fallback=fallback)
    names = [x.name for x in case.model.graph.input]
    results = []
    for inputs, want in case.load():
        got = model.run(dict(zip(names, inputs, strict=False)))
        results.append(([got[x.name] for x in case.model.graph.output], inputs, want))
    return results


def _compare(case: Case, got: list[Any], inputs: list[Any], want: list[Any]) -> None:
    if case.id in RANDOM:
        check_random(case.id, got, inputs, want)
        return
    assert len(got) == len(want), f"{len(got)} outputs, expected {len(want)}"
    for ours, theirs in zip(got, want, strict=True):
        compare_value(ours, theirs, case.rtol, case.atol)


def compare_value(got: Any, want: Any, rtol: float, atol: float) -> None:
    """Compare tensors, sequences and absent values."""
    if want is None:
        assert got is None, "a value where none was expected"
        return
    if isinstance(want, (list, tuple)):
        assert isinstance(got, (list, tuple)), f"{type(got)}, expected a sequence"
        assert len(got) == len(want), f"{len(got)} elements, expected {len(want)}"
        for ours, theirs in zip(got, want, strict=True):
            compare_value(ours, theirs, rtol, atol)
        return
    ours, theirs = np.asarray(got), np.asarray(want)
    # A string is a string: NumPy has three dtypes for it.
    if theirs.dtype.kind in "OUT":
        assert ours.dtype.kind in "OUT", f"dtype {ours.dtype}, expected strings"
        ours, theirs = ours.astype(object), theirs.astype(object)
    assert ours.dtype == theirs.dtype, f"dtype {ours.dtype}, expected {theirs.dtype}"
    if theirs.dtype.kind == "V" and theirs.dtype.name != "bfloat16":
        ours, theirs = ours.astype(np.float32), theirs.astype(np.float32)
        np.testing.assert_array_equal(ours, theirs)
    Runner.assert_similar_outputs([theirs], [ours], rtol, atol)


def _one_line(error: BaseException) -> str:
    """The message without what changes from run to run, bounded."""
    text = str(error)
    if isinstance(error, AssertionError):  # NumPy's has a header and a table
        text = ", ".join(
            re.findall(r"[^\n]*(?:dtype|shape|expected|Mismatch)[^\n]*", text)
        )
    text = re.sub(r"0x[0-9a-f]+", "0x", text)
    text = re.sub(r"^\d+ nodes cannot be run:\n", "", text)
    text = re.sub(r"\n?load_model\(fallback=True\).*", "", text)
    text = " ".join(text.split()) or type(error).__name__
    return text if len(text) <= _N_REASON else text[: _N_REASON - 3] + "..."
