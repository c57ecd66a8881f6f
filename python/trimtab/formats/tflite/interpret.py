"""The child that has a TFLite interpreter run a file, for reference outputs.

Enters: a file, and inputs in files of the child's folder. Leaves: outputs in files
beside them. The interpreter is a native library that trusts its file.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from trimtab.errors import ModelFormatError, UnsupportedOpError
from trimtab.formats.exchange import read_arrays, write_arrays
from trimtab.types import Array

__all__ = ["run_in_child"]


def run_in_child(arguments: dict[str, Any], folder: str) -> dict[str, Any]:
    """Run a file on the inputs of each call.

    Parameters
    ----------
    arguments : dict
        path. module: that has the interpreter. signature: key, or "" for the main
        subgraph. inputs, outputs: names, in the order of the subgraph. calls: for
        each the inputs, as `trimtab.formats.exchange` describes them.
    folder : str
        Where they lie, and where to write.

    Returns
    -------
    result : dict
        calls: for each the outputs.

    Raises
    ------
    UnsupportedOpError
        The interpreter lacks an operator, or names inputs and outputs otherwise.
    ModelFormatError
        It refuses the inputs.

    Examples
    --------
    >>> run_in_child({"path": "m.tflite", ...}, work)      # doctest: +SKIP
    {'calls': [[{'name': 'y', ...}]]}
    """
    module = importlib.import_module(arguments["module"])
    try:
        # Delegates compile code and round in their own ways.
        kernels = module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        interpreter = module.Interpreter(
            model_path=arguments["path"],
            experimental_op_resolver_type=kernels,
            num_threads=1,
        )
        runner = _Runner(interpreter, arguments)
    except (ValueError, RuntimeError) as error:
        raise UnsupportedOpError(
            f"the interpreter takes no such file: {error}"
        ) from None
    calls = []
    for number, entries in enumerate(arguments["calls"]):
        inputs = read_arrays(folder, entries)
        try:
            outputs = runner.run(inputs)
        except (ValueError, RuntimeError) as error:
            raise ModelFormatError(f"the interpreter failed: {error}") from None
        calls.append(write_arrays(folder, outputs, f"out-{number}"))
    return {"calls": calls}


class _Runner:
    """A signature by its names, or the main subgraph by its order."""

    def __init__(self, interpreter: Any, arguments: Mapping[str, Any]) -> None:
        self._interpreter = interpreter
        self._inputs: list[str] = arguments["inputs"]
        self._outputs: list[str] = arguments["outputs"]
        self._signature: Any = None
        if arguments["signature"]:
            self._signature = interpreter.get_signature_runner(arguments["signature"])
            names = (
                {*self._signature.get_input_details()},
                {*self._signature.get_output_details()},
            )
            is_same = names == ({*self._inputs}, {*self._outputs})
        else:
            is_same = (len(self._indices("input")), len(self._indices("output"))) == (
                len(self._inputs),
                len(self._outputs),
            )
        if not is_same:
            raise UnsupportedOpError("the interpreter has other inputs and outputs")

    def _indices(self, side: str) -> list[int]:
        """Tensors in the order of the subgraph, each once."""
        details = getattr(self._interpreter, f"get_{side}_details")()
        indices = [detail["index"] for detail in details]
        return [*dict.fromkeys(indices)] if side == "input" else indices

    def run(self, inputs: dict[str, Array]) -> dict[str, Array]:
        if self._signature is not None:
            found = self._signature(**inputs)
            return {name: found[name] for name in self._outputs}
        interpreter = self._interpreter
        places = dict(zip(self._inputs, self._indices("input"), strict=True))
        for name, index in places.items():
            interpreter.resize_tensor_input(index, inputs[name].shape)
        interpreter.allocate_tensors()
        for name, index in places.items():
            interpreter.set_tensor(index, inputs[name])
        interpreter.invoke()
        results = [interpreter.get_tensor(i) for i in self._indices("output")]
        return dict(zip(self._outputs, results, strict=True))
