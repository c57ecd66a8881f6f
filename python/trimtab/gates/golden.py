"""Does the candidate load, and does it give what its file says? In another process.

Enters: a file that nobody trusts, or a model. Leaves: a `Gate`. A loader that crashes,
hangs or eats memory ends with its process; the reason says how.
"""

from __future__ import annotations

import os
import tempfile
from typing import Any

from trimtab.errors import ModelFormatError, ModelLimitError, TrimtabError
from trimtab.formats.isolate import run_isolated
from trimtab.gates.evidence import Evidence
from trimtab.gates.gate import Gate

__all__ = ["check", "check_file"]

_TASK = "trimtab.gates.golden_child:load"


def check(evidence: Evidence) -> Gate:
    """Load the candidate in a process with limits and replay its golden pairs.

    A model of this process is saved first, with the answer to a guard row as its
    pair: what will be read from the registry is what was proven here.

    Parameters
    ----------
    evidence : Evidence

    Returns
    -------
    gate : Gate

    Examples
    --------
    >>> check(evidence).evidence["n_replayed"]             # doctest: +SKIP
    1
    """
    if evidence.is_file:
        return check_file(os.fspath(evidence.candidate))  # type: ignore[arg-type]
    model = evidence.model("candidate")
    with tempfile.TemporaryDirectory(prefix="trimtab-") as folder:
        path = os.path.join(folder, "candidate.safetensors")
        try:
            rows = evidence.one_call("candidate")
            model.save(path, golden=[(rows, model.run(rows))])
        except (TrimtabError, OSError) as error:
            kind = type(error).__name__
            return Gate("golden", "failed", f"cannot be saved: {kind}: {error}")
        return check_file(path)


def check_file(
    path: str | os.PathLike[str],
    *,
    memory_bytes: int = 4 << 30,
    seconds: float = 120.0,
    task: str = _TASK,
) -> Gate:
    """Load a file in a process with limits, replay its golden pairs and run it once.

    Parameters
    ----------
    path : path
        Of any format that `load_model` reads.
    memory_bytes : int, default=4 GiB
        Address space of the process.
    seconds : float, default=120
        Until it is stopped.
    task : str
        What the process runs.

    Returns
    -------
    gate : Gate

    Examples
    --------
    >>> check_file("nothing.onnx").state
    'failed'
    """
    path = os.path.abspath(os.fspath(path))
    arguments = {"path": path}
    limits: dict[str, Any] = {"memory_bytes": memory_bytes, "seconds": seconds}
    told = {"path": path, **limits}
    try:
        with run_isolated(
            task, arguments, what=repr(os.path.basename(path)), **limits
        ) as child:
            told.update(_checked(child.result))
    except ModelLimitError as error:
        return Gate("golden", "failed", f"limit: {error}", told)
    except (ModelFormatError, TrimtabError, ImportError, OSError) as error:
        return Gate("golden", "failed", f"{type(error).__name__}: {error}", told)
    n = told["n_replayed"]
    pairs = f"{n} golden pairs replayed" if n else "no golden pairs in it"
    return Gate("golden", "passed", f"loads and runs in a process apart, {pairs}", told)


def _checked(result: dict[str, Any]) -> dict[str, Any]:
    """What the process should have answered: it may not have been itself any more."""
    kinds = {"n_pairs": int, "n_replayed": int, "difference": float}
    kinds |= {"inputs": list, "outputs": list}
    for name, kind in kinds.items():
        if not isinstance(result.get(name), kind):
            raise ModelFormatError(
                f"its process gave no {name!r}: it is not to be trusted"
            )
    return {name: result[name] for name in kinds}
