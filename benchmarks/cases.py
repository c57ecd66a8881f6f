"""What is measured: the zoo's models, and one-node models for the call overhead.

A case is a model file plus its input arrays, saved once as ``.npz`` so that all
engines read the same bytes.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.torch_twins import has_twin

# Input sets that are measured besides each model's first: the sizes that people
# ask for (a full sentence window; one step of decoding with a past).
EXTRA = ("minilm_dynamo:128_tokens", "whisper_decoder_step:1_token_past_30")


@dataclass(frozen=True)
class Case:
    """A model on disk and the inputs it is called with.

    Attributes
    ----------
    name : str
        Name in tables.
    path : str
        The ONNX file.
    feeds_path : str
        The inputs by name, ``.npz``.
    """

    name: str
    path: str
    feeds_path: str

    def path_for(self, engine: str) -> str | None:
        """What `engine` loads: the file, or torch the module of that name.

        None if the engine cannot have this model.
        """
        if engine == "torch":
            return self.name if has_twin(self.name) else None
        return self.artefact() if engine == "trimtab_artefact" else self.path

    def artefact(self) -> str:
        """The model as an artefact, with these inputs as its golden pair."""
        import trimtab

        path = Path(self.feeds_path).with_suffix(".safetensors")
        if not path.exists():
            with np.load(self.feeds_path) as arrays:
                feeds = {name: arrays[name] for name in arrays.files}
            # some nets of the zoo amplify rounding: see tests/test_zoo.py
            tolerance = {"float32": 1e-2}
            trimtab.load_model(self.path).save(
                path, golden=[feeds], tolerance=tolerance
            )
        return str(path)


def save_case(
    folder: Path,
    name: str,
    path: Path,
    feeds: dict[str, np.ndarray],
) -> Case:
    """Save the inputs of a model and return its case."""
    feeds_path = folder / f"{name.replace(':', '__')}.npz"
    np.savez(feeds_path, **dict[str, Any](feeds))
    return Case(name, str(path), str(feeds_path))


def select(models: Iterable[str], wanted: str | None) -> list[str]:
    """Names from a comma-separated wish, all models and `EXTRA` for None.

    A name is a model's, or ``model:variant`` for another of its input sets.

    Examples
    --------
    >>> select(["magika", "mnist_cnn"], "mnist_cnn:batch7, magika")
    ['mnist_cnn:batch7', 'magika']
    """
    known = list(models)
    if not wanted:
        return known + [name for name in EXTRA if model_of(name) in known]
    chosen = [name.strip() for name in wanted.split(",") if name.strip()]
    unknown = [name for name in chosen if model_of(name) not in known]
    if unknown:
        raise ValueError(
            f"unknown model {', '.join(unknown)}; known: {', '.join(sorted(known))}"
        )
    return chosen


def model_of(name: str) -> str:
    """The model of a case's name.

    Examples
    --------
    >>> model_of("minilm_dynamo:128_tokens")
    'minilm_dynamo'
    """
    return name.partition(":")[0]


def zoo_cases(
    folder: Path, wanted: str | None = None
) -> tuple[list[Case], dict[str, str]]:
    """The test suite's real models, as far as they can be had here.

    Parameters
    ----------
    folder : Path
        Where the inputs are written.
    wanted : str, optional
        Comma-separated names as in `select`; all models when None.

    Returns
    -------
    cases : list of Case
    missing : dict of str to str
        Name to reason for every model that could not be fetched or made.
    """
    zoo = importlib.import_module("tests.zoo")
    models: dict[str, Any] = zoo.MODELS
    cases, missing = [], {}
    for name in select(models, wanted):
        model = models[model_of(name)]
        try:
            path = Path(model.path())
            feeds = _inputs(model, name.partition(":")[2])
        except zoo.ZooUnavailable as error:
            missing[name] = " ".join(str(error).split())[:300]
            continue
        cases.append(save_case(folder, name, path, feeds))
    return cases, missing


def _inputs(model: Any, variant: str) -> dict[str, np.ndarray]:
    if not variant:
        feeds: dict[str, np.ndarray] = model.inputs()
        return feeds
    more: dict[str, dict[str, np.ndarray]] = model.more_inputs()
    if variant not in more:
        raise ValueError(
            f"{model.name} has no inputs {variant!r}; known: {', '.join(more)}"
        )
    return more[variant]


def one_node_cases(folder: Path) -> list[Case]:
    """Models of a single elementwise node on 16 floats: nothing but overhead."""
    from onnx import TensorProto, checker, helper, save

    cases = []
    for op_type, names in (("Relu", ["x"]), ("Add", ["x", "z"])):
        shape = [1, 16]
        graph = helper.make_graph(
            [helper.make_node(op_type, names, ["y"])],
            op_type.lower(),
            [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n in names],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        )
        opset = [helper.make_opsetid("", 17)]
        model = helper.make_model(graph, opset_imports=opset, ir_version=8)
        checker.check_model(model)
        path = folder / f"one_{op_type.lower()}.onnx"
        save(model, str(path))
        rng = np.random.default_rng(0)
        feeds = {n: rng.standard_normal(shape).astype(np.float32) for n in names}
        cases.append(save_case(folder, f"one_{op_type.lower()}", path, feeds))
    return cases
