"""Every case of onnx.backend.test that is made or shipped with the package.

Enters: nothing. Leaves: a `Case` by its id: `node/...` are made by the package's
generators, the other kinds lie in its data folders.
"""

from __future__ import annotations

import functools
import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from onnx import ModelProto, TypeProto, numpy_helper

#: Folders of models and data that the package ships whole (the others are fetched).
FOLDERS = ("simple", "pytorch-converted", "pytorch-operator")
_DATA = Path(onnx.__file__).parent / "backend" / "test" / "data"

#: Inputs and outputs of one run, in the order of the graph.
DataSet = tuple[list[Any], list[Any]]


@dataclass(frozen=True)
class Case:
    """A model, what goes in and what must come out."""

    id: str
    model: ModelProto
    rtol: float
    atol: float
    load: Callable[[], list[DataSet]]

    @functools.cached_property
    def operators(self) -> tuple[str, ...]:
        """Of its nodes, those in bodies included, as ``Conv`` or ``ai.onnx.ml.Scaler``.

        What the model's own functions are made of is not looked at.
        """
        functions = {(f.domain, f.name) for f in self.model.functions}
        found = set()
        nodes = list(self.model.graph.node)
        for node in nodes:  # grows while it is walked
            if (node.domain, node.op_type) not in functions:
                found.add(operator_name(node.domain, node.op_type))
            for attribute in node.attribute:
                nodes.extend(attribute.g.node)
        return tuple(sorted(found - {"Constant"} or found))


def operator_name(domain: str, op_type: str) -> str:
    """The plain name for ai.onnx, else with the domain before it."""
    return op_type if domain in ("", "ai.onnx") else f"{domain}.{op_type}"


def version() -> str:
    """Of the package that has the cases, as far as they depend on it."""
    return ".".join(onnx.__version__.split(".")[:2])


@functools.cache
def all_cases() -> dict[str, Case]:
    """Make and list them; takes some seconds."""
    cases = [*_made()]
    for kind in FOLDERS:
        cases += [_stored(path) for path in sorted((_DATA / kind).glob("*/model.onnx"))]
    assert len({case.id for case in cases}) == len(cases)
    return {case.id: case for case in cases}


def _made() -> list[Case]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case.node import collect_testcases

        made = collect_testcases(None)
    return [
        Case(
            f"node/{case.name}",
            case.model,
            case.rtol,
            case.atol,
            functools.partial(_data_sets, case.data_sets),
        )
        for case in made
    ]


def _data_sets(stored: list[Any]) -> list[DataSet]:
    return [
        ([array(x) for x in inputs], [array(x) for x in outputs])
        for inputs, outputs in stored
    ]


def array(value: Any) -> Any:
    """Types that NumPy lacks come as messages."""
    is_message = isinstance(value, onnx.TensorProto)
    return numpy_helper.to_array(value) if is_message else value


def _stored(path: Path) -> Case:
    folder = path.parent
    model = onnx.load(path)
    options = folder / "data.json"
    more = json.loads(options.read_text()) if options.exists() else {}
    return Case(
        f"{folder.parent.name}/{folder.name}",
        model,
        more.get("rtol", 1e-3),
        more.get("atol", 1e-7),
        functools.partial(_read_sets, folder, model),
    )


def _read_sets(folder: Path, model: ModelProto) -> list[DataSet]:
    found = []
    for place in sorted(folder.glob("test_data_set*")):
        inputs = _read(place, "input", [x.type for x in model.graph.input])
        outputs = _read(place, "output", [x.type for x in model.graph.output])
        found.append((inputs, outputs))
    assert found, f"{folder} has no data"
    return found


def _read(place: Path, stem: str, types: list[TypeProto]) -> list[Any]:
    n_files = len(list(place.glob(f"{stem}_*.pb")))
    return [
        _value((place / f"{stem}_{i}.pb").read_bytes(), types[i])
        for i in range(n_files)
    ]


def _value(data: bytes, kind: TypeProto) -> Any:
    if kind.HasField("sequence_type"):
        return numpy_helper.to_list(onnx.SequenceProto.FromString(data))
    if kind.HasField("optional_type"):
        return numpy_helper.to_optional(onnx.OptionalProto.FromString(data))
    return numpy_helper.to_array(onnx.TensorProto.FromString(data))
