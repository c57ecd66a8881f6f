"""What the process of the gate "golden" does: load, replay, run once."""

from __future__ import annotations

from typing import Any

__all__ = ["load"]


def load(arguments: dict[str, Any], folder: str) -> dict[str, Any]:
    """Load a file, which replays its golden pairs, and run it on probe inputs.

    Parameters
    ----------
    arguments : dict
        ``path`` of the file.
    folder : str
        Where it may write.

    Returns
    -------
    result : dict
        ``n_pairs``, ``n_replayed`` and ``difference`` of the replay, ``inputs`` and
        ``outputs`` as texts.

    Examples
    --------
    >>> load({"path": "m.safetensors"}, ".")               # doctest: +SKIP
    {'n_pairs': 1, 'n_replayed': 1, ...}
    """
    from trimtab.load import load_model
    from trimtab.signature import probe_inputs
    from trimtab.verify import find_probe

    model = load_model(arguments["path"], verify="error", cache=False)
    replay = model.verification
    if replay is None:
        model.run(probe_inputs(model.inputs, size=find_probe(model)))
    return {
        "n_pairs": 0 if replay is None else replay.n_pairs,
        "n_replayed": 0 if replay is None else replay.n_replayed,
        "difference": 0.0 if replay is None else replay.difference,
        "inputs": [str(spec) for spec in model.inputs],
        "outputs": [str(spec) for spec in model.outputs],
    }
