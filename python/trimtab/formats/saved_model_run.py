"""The child that has TensorFlow run a SavedModel, for reference outputs.

Enters: what `saved_model_child` gets, and inputs in files of the child's folder.
Leaves: outputs in files beside them. TensorFlow restores the copy that was looked at,
after every operator of it has been.
"""

from __future__ import annotations

from typing import Any

from trimtab.errors import ModelFormatError
from trimtab.formats.exchange import read_arrays, write_arrays
from trimtab.formats.saved_model_child import TAG, import_tensorflow, prepare, stage

__all__ = ["run"]


def run(arguments: dict[str, Any], folder: str) -> dict[str, Any]:
    """Run the signature on the inputs of each call.

    Parameters
    ----------
    arguments : dict
        As for `saved_model_child.convert`; calls: for each the inputs, as
        `trimtab.formats.exchange` describes them.
    folder : str
        Where they lie, and where to write.

    Returns
    -------
    result : dict
        calls: for each the outputs.

    Examples
    --------
    >>> run({"path": p, "files": f, "signature": None, "calls": c}, work)
    ... # doctest: +SKIP
    {'calls': [[{'name': 'y', ...}]]}
    """
    copied, described = prepare(arguments, folder)
    tensorflow = import_tensorflow()
    name = described["signature"]
    calls = []
    with (
        stage(f"running signature {name!r}", ModelFormatError),
        tensorflow.device("/cpu:0"),
    ):
        loaded = tensorflow.saved_model.load(copied, tags=[TAG])
        function = loaded.signatures[name]
        for number, entries in enumerate(arguments["calls"]):
            inputs = read_arrays(folder, entries)
            found = function(**{k: tensorflow.constant(v) for k, v in inputs.items()})
            outputs = {key: value.numpy() for key, value in found.items()}
            calls.append(write_arrays(folder, outputs, f"out-{number}"))
    return {"calls": calls}
