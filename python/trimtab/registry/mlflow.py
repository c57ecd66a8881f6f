"""Export as a model of MLflow, and what MLflow calls to load one.

``MLmodel`` names this module as the loader of the flavour python_function; no pickle is
written, and none is read.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trimtab.errors import InputError
from trimtab.registry.manifest import ARTEFACT
from trimtab.registry.oci import fill_folder
from trimtab.registry.publish import file_pieces
from trimtab.registry.store import Store
from trimtab.registry.typed import typed_signature
from trimtab.registry.version import ModelVersion

if TYPE_CHECKING:
    from trimtab.model import Model

__all__ = ["PyFunc", "export_mlflow"]


class PyFunc:
    """A model as MLflow's python_function calls it.

    Parameters
    ----------
    model : Model
    """

    def __init__(self, model: Model) -> None:
        self._model = model

    def unwrap(self) -> Model:
        """Give the model, whose calls cost less."""
        return self._model

    def predict(self, data: Any, params: Mapping[str, Any] | None = None) -> Any:
        """Run the model.

        Parameters
        ----------
        data : array, DataFrame or mapping of str to array
            The input, or inputs by name.
        params : mapping, optional
            There are none.

        Returns
        -------
        outputs : ndarray or dict of str to ndarray
            A dict where there are several.

        Raises
        ------
        InputError
            There are params, or the data do not fit the signature.
        """
        if params:
            raise InputError(f"params: the model takes none, got {sorted(params)}")
        inputs = self._model.inputs
        if not isinstance(data, Mapping):
            values = data.to_numpy() if hasattr(data, "to_numpy") else data
            if hasattr(data, "to_numpy") and inputs[0].dtype is not None:
                values = values.astype(inputs[0].dtype)
            data = {inputs[0].name: values}
        outputs = self._model.run(dict(data))
        return next(iter(outputs.values())) if len(outputs) == 1 else outputs


def _load_pyfunc(path: str, model_config: Any = None) -> PyFunc:
    """MLflow calls this, with the path of the artefact."""
    from trimtab.load import load_model

    return PyFunc(load_model(path))


def _schema(specs: Sequence[Mapping[str, Any]]) -> str:
    return json.dumps(
        [
            {
                "name": spec["name"],
                "type": "tensor",
                "tensor-spec": {"dtype": spec["dtype"], "shape": spec["shape"]},
            }
            for spec in specs
        ]
    )


def _mlmodel(version: ModelVersion) -> bytes:
    """Every line is a key of YAML with a value of JSON."""
    from trimtab import __version__

    flavor = {
        "data": f"data/{ARTEFACT}",
        "name": version.name,
        "version": version.version,
        "digest": version.digest,
    }
    fields: dict[str, Any] = {
        "flavors": {
            "python_function": {
                "loader_module": "trimtab.registry.mlflow",
                "data": f"data/{ARTEFACT}",
                "python_version": platform.python_version(),
                "env": {"virtualenv": "python_env.yaml"},
            },
            "trimtab": {**flavor, "trimtab_version": __version__},
        },
        "model_size_bytes": version.layer.n_bytes,
        "utc_time_created": version.created.replace("T", " ").rstrip("Z"),
    }
    signature = typed_signature(version)
    fields["signature"] = {
        "inputs": _schema(signature["inputs"]),
        "outputs": _schema(signature["outputs"]),
        "params": None,
    }
    return "".join(f"{k}: {json.dumps(v)}\n" for k, v in fields.items()).encode()


def export_mlflow(registry: Any, target: str, versions: Sequence[ModelVersion]) -> None:
    """Write a version as a model of MLflow.

    Parameters
    ----------
    registry : Registry
    target : str
        A folder that is empty or not there.
    versions : sequence of ModelVersion
        One.

    Raises
    ------
    InputError
        There is not just one.

    Examples
    --------
    >>> export_mlflow(registry, "model", [version])        # doctest: +SKIP
    """
    if len(versions) != 1:
        raise InputError(
            f"mlflow: a model of MLflow is one version, got {len(versions)}; name one, "
            "as digits@champion"
        )
    version = versions[0]
    store: Store = registry.store
    store.check_blob(version.layer.digest, version.layer.n_bytes)
    trimtab_version = version.engine.get("trimtab", "")
    requirements = f"trimtab=={trimtab_version}\n".encode()
    python = f"python: {json.dumps(platform.python_version())}\n"
    environment = f"{python}dependencies: [-r requirements.txt]\n".encode()
    small = {
        "MLmodel": _mlmodel(version),
        "requirements.txt": requirements,
        "python_env.yaml": environment,
    }
    files = [(name, len(data), iter([data])) for name, data in small.items()]
    artefact = (
        os.path.join("data", ARTEFACT),
        version.layer.n_bytes,
        file_pieces(version.path),
    )
    fill_folder(target, iter([*files, artefact]))
