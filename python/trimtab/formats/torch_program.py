"""What the JSON of a ``.pt2`` file may say.

torch.export.load trusts its file: it evaluates the text of symbolic sizes, runs guards
as Python code, looks operators up by dotted names and imports modules that containers
name. So before torch sees a program, each text in it is held against what
torch.export.save writes; what is only there for debugging is dropped.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable
from typing import Any

from trimtab.errors import ModelFormatError, ModelLimitError, UnsafeModelError
from trimtab.limits import Limits

__all__ = ["check_program"]

_MAX_DEPTH = 64
_MAX_EXPRESSION = 2000
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_PATH = re.compile(r"[\w\- ]*(\.[\w\- ]+)*", re.ASCII)
_OPERATOR = re.compile(
    r"torch\.ops\.(aten|prims|quantized_decomposed)\.[A-Za-z_]\w*(\.[A-Za-z_]\w*)?"
    r"|torch\.ops\.higher_order\.(cond|while_loop|scan|map_impl"
    r"|wrap_with_set_grad_enabled|wrap_with_autocast)"
    r"|torch\.(sym_[a-z]+|_sym_[a-z]+)"
    r"|math\.(ceil|floor|trunc|sqrt|pow)"
    r"|_operator\.(add|sub|mul|floordiv|truediv|mod|pow|neg|pos|eq|ne|lt|le|gt|ge"
    r"|and_|or_|not_|getitem)",
    re.ASCII,
)
# Operators of aten that reach beyond their tensors.
_FORBIDDEN = re.compile(r"torch\.ops\.aten\.(from_file|_?save|load)\b", re.ASCII)
_CALLS = frozenset(
    "Symbol Integer Float Rational Max Min Mod Abs FloorDiv CeilDiv CleanDiv PythonMod "
    "ModularIndexing Where LShift RShift PowByNatural FloatPow FloatTrueDiv IntTrueDiv "
    "TruncToInt TruncToFloat CeilToInt FloorToInt RoundToInt RoundDecimal ToFloat "
    "Identity IsNonOverlappingAndDenseIndicator Eq Ne Lt Le Gt Ge And Or Not Add Mul "
    "Pow floor ceiling".split()
)
_WORDS = frozenset("oo int_oo true false True False".split())
_SYMBOL = re.compile(r"[a-z]{1,8}_?\d{1,9}", re.ASCII)
_CONTAINERS = frozenset(
    ("builtins.list", "builtins.tuple", "builtins.dict", "collections.OrderedDict")
)


def check_program(content: bytes, limits: Limits) -> bytes:
    """Check a serialised ExportedProgram.

    Parameters
    ----------
    content : bytes
        JSON text of a file.
    limits : Limits
        ``max_nodes`` and ``max_values`` are applied.

    Returns
    -------
    content : bytes
        The same program without guards, stack traces and other metadata.

    Raises
    ------
    UnsafeModelError
        It holds text that would be run as code, or names of objects outside of
        PyTorch's operators.
    ModelFormatError, ModelLimitError
        It is no such program, or asks for too much.

    Examples
    --------
    >>> check_program(b'{"graph_module": {"graph": {"nodes": "x"}}}', Limits())
    Traceback (most recent call last):
        ...
    trimtab.errors.ModelFormatError: the program is no JSON of torch.export: \
graph_module.graph.nodes: expected a list
    """
    try:
        program = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ModelFormatError(f"the program is no JSON: {error}") from None
    graph = _part(_part(program, "graph_module", dict), "graph", dict, "graph_module.")
    nodes = _part(graph, "nodes", list, "graph_module.graph.")
    if len(nodes) > limits.max_nodes:
        raise ModelLimitError(f"{len(nodes)} nodes, max_nodes is {limits.max_nodes}")
    program["guards_code"] = []
    _walk(program, limits)
    return json.dumps(program).encode()


def _part(value: Any, key: str, kind: type, where: str = "") -> Any:
    part = value.get(key) if isinstance(value, dict) else None
    if not isinstance(part, kind):
        raise ModelFormatError(
            f"the program is no JSON of torch.export: {where}{key}: expected a "
            f"{kind.__name__}"
        )
    return part


def _refuse(what: str, text: object) -> UnsafeModelError:
    return UnsafeModelError(
        f"the program's {what} {str(text)[:120]!r} is nothing that torch.export writes "
        "for a plain model: loading it could run code. Load the program with torch if "
        "you trust it, and pass it to load_model"
    )


def _walk(program: Any, limits: Limits) -> None:
    """Check every text by the key it stands under."""
    waiting: list[tuple[Any, str, int]] = [(program, "", 0)]
    for value, key, depth in waiting:  # grows while it is walked
        if depth > _MAX_DEPTH or len(waiting) > 16 * limits.max_values:
            raise ModelLimitError("the program's JSON is nested too deep or too large")
        if isinstance(value, dict):
            for name in [name for name in value if name in _DROPPED]:
                value[name] = {}
            for name, item in value.items():
                if key in _NAMED_TABLES and not _NAME.fullmatch(name):
                    raise _refuse("tensor", name)
                if name in _ABSENT and item:
                    raise _refuse("custom object", name)
                waiting.append((item, name, depth + 1))
        elif isinstance(value, list):
            waiting.extend((item, key, depth + 1) for item in value)
        elif isinstance(value, str):
            _CHECKS.get(key, _check_other)(value)


def _check_name(text: str) -> None:
    if text and not _NAME.fullmatch(text):
        raise _refuse("name", text)


def _check_path(text: str) -> None:
    if not _PATH.fullmatch(text):
        raise _refuse("name", text)


def _check_operator(text: str) -> None:
    if not _OPERATOR.fullmatch(text) or _FORBIDDEN.match(text):
        raise _refuse("operator", text)


def _check_free(text: str) -> None:
    """Text that torch takes as a value."""


def _check_other(text: str) -> None:
    """Text under a key that is not known: words only."""
    if not _PATH.fullmatch(text):
        raise _refuse("text", text)


# ---- sizes -------------------------------------------------------------------------


def _check_expression(text: str) -> None:
    """Arithmetic of symbols; torch evaluates it."""
    if len(text) > _MAX_EXPRESSION:
        raise ModelLimitError(f"the size {text[:60]!r}... is too long")
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise _refuse("size", text) from None
    calls = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if not _is_arithmetic(node, is_called=id(node) in calls):
            raise _refuse("size", text)


def _is_arithmetic(node: ast.AST, *, is_called: bool) -> bool:
    if isinstance(node, ast.Name):
        if is_called:
            return node.id in _CALLS
        return node.id in _WORDS or _SYMBOL.fullmatch(node.id) is not None
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str):
            return _SYMBOL.fullmatch(node.value) is not None
        return type(node.value) in (int, float, bool)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
        return isinstance(node.right, (ast.Constant, ast.UnaryOp))
    return not is_called and isinstance(node, _ARITHMETIC)


_ARITHMETIC = (
    ast.Expression,
    ast.Call,
    ast.keyword,
    ast.BinOp,
    ast.UnaryOp,
    ast.Compare,
    ast.BoolOp,
    ast.operator,
    ast.unaryop,
    ast.cmpop,
    ast.boolop,
    ast.expr_context,
)


# ---- containers --------------------------------------------------------------------


def _check_tree(text: str) -> None:
    """Structure of arguments or results: plain containers only."""
    if not text:
        return
    try:
        spec = json.loads(text)
    except (ValueError, RecursionError):
        raise _refuse("structure", text) from None
    waiting = [(item, 0) for item in (spec[1:] if isinstance(spec, list) else [None])]
    for node, depth in waiting:  # grows while it is walked
        if not isinstance(node, dict) or depth > _MAX_DEPTH:
            raise _refuse("structure", text)
        kind, context = node.get("type"), node.get("context")
        if kind is not None and kind not in _CONTAINERS:
            raise UnsafeModelError(
                f"the program takes or returns a {str(kind)[:80]!r}: only lists, "
                "tuples and dicts are read from files. Return one of them, or load "
                "the program with torch and pass it to load_model"
            )
        if not _is_plain_context(context):
            raise _refuse("structure", text)
        children = node.get("children_spec", [])
        if not isinstance(children, list):
            raise _refuse("structure", text)
        waiting.extend((child, depth + 1) for child in children)


def _is_plain_context(context: Any) -> bool:
    """Nothing, or the keys of a dict."""
    if isinstance(context, str):
        try:
            context = json.loads(context)
        except (ValueError, RecursionError):
            return False
    if context is None:
        return True
    return isinstance(context, list) and all(
        isinstance(key, (str, int)) for key in context
    )


#: What is under a key -> its check.
_CHECKS: dict[str, Callable[[str], None]] = {
    "name": _check_name,
    "target": _check_operator,
    "as_operator": _check_operator,
    "expr_str": _check_expression,
    "in_spec": _check_tree,
    "out_spec": _check_tree,
    "forward_arg_names": _check_name,
    "as_string": _check_free,
    "as_strings": _check_free,
    "fqn": _check_path,
    "parameter_name": _check_path,
    "buffer_name": _check_path,
    "tensor_constant_name": _check_path,
    "torch_version": _check_free,
}
_DROPPED = frozenset(("metadata",))
_NAMED_TABLES = frozenset(
    ("tensor_values", "sym_int_values", "sym_bool_values", "sym_float_values")
)
_ABSENT = frozenset(
    ("as_custom_obj", "custom_obj_values", "custom_obj", "treespec_namedtuple_fields")
)
