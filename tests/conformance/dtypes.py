"""Which element types an operator takes in the core, found by trying.

    python -m tests.conformance.dtypes

writes the list anew. A case of one node that passes is given its first input in every
type that onnx's schema of the operator allows; inputs of the same type follow. What
runs counts, and so do the types that a passing case has by itself.
"""

from __future__ import annotations

import csv
import warnings
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper

import trimtab

from .cases import Case, all_cases
from .ledger import Ledger, read_ledger

PATH = Path(__file__).with_name("dtypes.csv")
UPDATE = "python -m tests.conformance.dtypes"
_N_CASES = 3
# TensorProto.DataType -> name; the order of the list in the documents
_NAMES = {
    code: name.lower()
    for name, code in onnx.TensorProto.DataType.items()
    if name not in ("UNDEFINED", "FLOAT", "DOUBLE")
} | {1: "float32", 11: "float64"}
_TRIED = (1, 11, 10, 16, 6, 7, 3, 2, 5, 4, 12, 13, 9)


def probed_operators(ledger: Ledger) -> dict[str, list[str]]:
    """Operator -> ids of its passing cases of one node."""
    found: dict[str, list[str]] = defaultdict(list)
    for case_id, row in sorted(ledger.rows.items()):
        if row.column == "core" and len(row.operators) == 1 and case_id[:5] == "node/":
            found[row.operators[0]].append(case_id)
    return dict(found)


def probe(case_ids: list[str]) -> list[str]:
    """Names of the types, in a fixed order."""
    cases = [all_cases()[case_id] for case_id in case_ids]
    codes = {code for case in cases for code in _own_type(case)}
    for case in [c for c in cases if len(c.model.graph.node) == 1][:_N_CASES]:
        for code in _TRIED:
            if code not in codes and _runs(case, code):
                codes.add(code)
    order = [*_TRIED, *sorted(_NAMES)]
    return [_NAMES[code] for code in sorted(codes, key=order.index)]


def _own_type(case: Case) -> set[int]:
    inputs = case.model.graph.input
    return {inputs[0].type.tensor_type.elem_type} - {0} if inputs else set()


def _runs(case: Case, code: int) -> bool:
    """Does the case run when its first input has this type?"""
    (node,) = case.model.graph.node
    alike = _alike(case, node, code)
    if not alike:
        return False
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    for value in model.graph.input:
        if value.name in alike:
            value.type.tensor_type.elem_type = code
    for value in model.graph.output:
        value.ClearField("type")
    inputs, _ = case.load()[0]
    feeds: dict[str, Any] = {}
    for value, array in zip(model.graph.input, inputs, strict=False):
        feeds[value.name] = _cast(array, code) if value.name in alike else array
    try:
        trimtab.load_model(model.SerializeToString(), fallback=False).run(feeds)
    except trimtab.TrimtabError:
        return False
    return True


def _alike(case: Case, node: onnx.NodeProto, code: int) -> set[str]:
    """Names of inputs of the type of the first; none where it cannot be `code`."""
    versions = {
        "" if o.domain == "ai.onnx" else o.domain: o.version
        for o in case.model.opset_import
    }
    domain = "" if node.domain == "ai.onnx" else node.domain
    schema = onnx.defs.get_schema(node.op_type, versions[domain], domain)
    formal = list(schema.inputs)
    if not formal or not node.input:
        return set()
    allowed = {c.type_param_str: c.allowed_type_strs for c in schema.type_constraints}
    kind = formal[0].type_str
    name = {1: "float", 11: "double"}.get(code, _NAMES[code])
    if f"tensor({name})" not in allowed.get(kind, ()):
        return set()
    kinds = [formal[min(i, len(formal) - 1)].type_str for i in range(len(node.input))]
    return {n for n, k in zip(node.input, kinds, strict=True) if n and k == kind}


def _cast(array: Any, code: int) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(array).astype(helper.tensor_dtype_to_np_dtype(code))


def read_dtypes() -> dict[str, list[str]]:
    """Operator -> names of types, from the file."""
    with PATH.open(encoding="utf-8", newline="") as file:
        return {r["operator"]: r["dtypes"].split() for r in csv.DictReader(file)}


def main() -> None:
    found = probed_operators(read_ledger())
    with PATH.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["operator", "dtypes"])
        for operator, case_ids in sorted(found.items()):
            writer.writerow([operator, " ".join(probe(case_ids))])


if __name__ == "__main__":
    main()
