"""Control flow and variables: WHILE, IF, CALL, and resources that outlive a call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from trimtab.errors import ModelFormatError, UnsupportedOpError
from trimtab.formats.builder import GraphBuilder
from trimtab.formats.tflite.constants import Constants
from trimtab.formats.tflite.contents import SubgraphRecord, TensorRecord
from trimtab.formats.tflite.operation import Operation
from trimtab.formats.tflite.scope import Scope
from trimtab.graph import DTYPES
from trimtab.types import Array

__all__ = ["CONTROL"]

_Key = tuple[str, str]


def _inline(
    op: Operation, index: int, builder: GraphBuilder, arguments: Sequence[str]
) -> list[str]:
    """Convert a subgraph into a graph; its outputs as the file has them.

    Subgraphs nest at most `Limits.max_depth` deep, which `Scope` checks.
    """
    scope = Scope(op.scope.work, index, builder, op.scope.path)
    record = scope.record
    if len(record.inputs) != len(arguments):
        raise ModelFormatError(
            f"{op.title}: subgraph {index} takes {len(record.inputs)} inputs, it is "
            f"given {len(arguments)}"
        )
    for tensor, name in zip(record.inputs, arguments, strict=True):
        scope.set_raw(tensor, name)
    scope.work.convert(scope)
    return [scope.raw(tensor) for tensor in record.outputs]


def _values(op: Operation, first: int = 0) -> list[str]:
    """Inputs from one on, as the file has them."""
    places = range(first, len(op.record.inputs))
    for place in places:
        if op.tensor(place).dtype not in DTYPES:
            raise UnsupportedOpError(
                f"{op.title}: a {op.tensor(place).dtype} goes into a subgraph"
            )
    return [op.scope.raw(op.index(place)) for place in places]


def _results(op: Operation, names: Sequence[str]) -> None:
    if len(names) != len(op.record.outputs):
        raise ModelFormatError(
            f"{op.title}: its subgraph gives {len(names)} results, the operator has "
            f"{len(op.record.outputs)}"
        )
    for place, name in enumerate(names):
        op.scope.set_raw(op.result_index(place), name)


def _condition(op: Operation, names: Sequence[str], builder: GraphBuilder) -> str:
    """The one result of a condition, as a scalar."""
    if len(names) != 1:
        raise ModelFormatError(f"{op.title}: its condition has {len(names)} results")
    return builder.op("Squeeze", [names[0]])


def _while(op: Operation) -> None:
    condition, body = (
        int(op.option(f"{name}_subgraph_index")) for name in ("cond", "body")
    )
    values = _values(op)
    start = _condition(op, _inline(op, condition, op.builder, values), op.builder)
    inner = GraphBuilder(op.result().name if values else "while", op.builder)
    inner.input("iteration", "int64", ())
    inner.input("condition", "bool", ())
    carried = [
        inner.input(op.tensor(place).name, op.tensor(place).dtype, None)
        for place in range(len(values))
    ]
    after = _inline(op, body, inner, carried)
    inner.output(_condition(op, _inline(op, condition, inner, after), inner))
    for name in after:
        inner.output(name)
    names = [op.result(place).name for place in range(len(op.record.outputs))]
    found = op.builder.ops(
        "Loop",
        ["", start, *values],
        n_outputs=len(values),
        outputs=names if len(names) == len(values) else None,
        body=inner.body(),
    )
    _results(op, found)


def _if(op: Operation) -> None:
    condition = _condition(op, [op.scope.raw(op.index(0))], op.builder)
    values = _values(op, 1)
    branches: dict[str, Any] = {}
    for name in ("then", "else"):
        inner = GraphBuilder(f"{op.result().name}_{name}", op.builder)
        index = int(op.option(f"{name}_subgraph_index"))
        for result in _inline(op, index, inner, values):
            inner.output(result)
        branches[f"{name}_branch"] = inner.body()
    names = [op.result(place).name for place in range(len(op.record.outputs))]
    found = op.builder.ops(
        "If", [condition], n_outputs=len(names), outputs=names, **branches
    )
    _results(op, found)


def _call(op: Operation) -> None:
    _results(op, _inline(op, int(op.option("subgraph")), op.builder, _values(op)))


# ---- variables -----------------------------------------------------------------


def _key(record: Mapping[str, object]) -> _Key:
    return str(record["container"]), str(record["shared_name"])


def _handles(record: SubgraphRecord) -> dict[int, _Key]:
    """Variables by the tensor that names them."""
    return {
        operator.outputs[0]: _key(operator.options)
        for operator in record.operators
        if operator.kind == "VAR_HANDLE" and operator.outputs
    }


def _variable(op: Operation) -> _Key:
    found = op.scope.handles.get(op.index(0))
    if found is None:
        raise UnsupportedOpError(
            f"{op.title}: its variable is handed over from another subgraph"
        )
    return found


def _var_handle(op: Operation) -> None:
    op.scope.handles[op.result_index()] = _key(op.record.options)


def _call_once(op: Operation) -> None:
    """Take the first values of variables from the subgraph that assigns them."""
    work, index = op.scope.work, int(op.option("init_subgraph_index"))
    if not 0 <= index < len(work.contents.subgraphs):
        raise ModelFormatError(f"CALL_ONCE: there is no subgraph {index}")
    record = work.contents.subgraphs[index]
    handles = _handles(record)
    for operator in record.operators:
        work.count()
        if operator.kind == "VAR_HANDLE":
            continue
        if operator.kind != "ASSIGN_VARIABLE" or len(operator.inputs) != 2:
            raise UnsupportedOpError(
                f"CALL_ONCE: {operator.title} in subgraph {record.name!r}, which may "
                "only assign constants to variables"
            )
        handle, value = operator.inputs
        initial = _constant(work.constants, record.tensors[value])
        if handle not in handles or initial is None:
            raise UnsupportedOpError(
                f"CALL_ONCE: subgraph {record.name!r} computes what it assigns"
            )
        work.initial[handles[handle]] = initial


def _constant(constants: Constants, tensor: TensorRecord) -> Array | None:
    return constants.stored(tensor) if constants.has(tensor) else None


def _is_assigned(scope: Scope, key: _Key) -> bool:
    """Does a call change the variable?"""
    handles = _handles(scope.record)
    return any(
        operator.kind == "ASSIGN_VARIABLE"
        and operator.inputs
        and handles.get(operator.inputs[0]) == key
        for operator in scope.record.operators
    )


def _in_main(op: Operation) -> None:
    if not op.scope.is_main:
        raise UnsupportedOpError(f"{op.title}: variables inside of WHILE and IF")


def _read_variable(op: Operation) -> None:
    _in_main(op)
    key, states, name = _variable(op), op.scope.work.states, _variable(op)[1]
    state = states.get(key)
    if state is not None:
        op.scope.set_raw(op.result_index(), state.value)
        return
    initial = op.scope.work.initial.get(key)
    if initial is None:
        raise ModelFormatError(f"{op.title}: variable {name!r} has no first value")
    if initial.dtype.name != op.result().dtype:
        raise ModelFormatError(
            f"{op.title}: variable {name!r} is {initial.dtype}, it is read as "
            f"{op.result().dtype}"
        )
    if _is_assigned(op.scope, key):
        value = states.add(key, name or "state", initial).value
    else:
        value = op.builder.constant(initial, name or "variable")
    op.scope.set_raw(op.result_index(), value)


def _assign_variable(op: Operation) -> None:
    _in_main(op)
    key, states = _variable(op), op.scope.work.states
    state = states.get(key)
    if state is None:  # written before it is read: nothing outlives the call
        initial = op.scope.work.initial.get(key)
        if initial is None:
            raise UnsupportedOpError(
                f"{op.title}: variable {key[1]!r} has no first value"
            )
        state = states.add(key, key[1] or "state", initial)
    if op.tensor(1).dtype != state.initial.dtype.name:
        raise ModelFormatError(
            f"{op.title}: variable {key[1]!r} is {state.initial.dtype}, it is given "
            f"{op.tensor(1).dtype}"
        )
    state.value = op.scope.raw(op.index(1))


CONTROL: Mapping[str, Callable[[Operation], None]] = {
    "ASSIGN_VARIABLE": _assign_variable,
    "CALL": _call,
    "CALL_ONCE": _call_once,
    "IF": _if,
    "READ_VARIABLE": _read_variable,
    "VAR_HANDLE": _var_handle,
    "WHILE": _while,
}
