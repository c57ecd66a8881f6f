"""What the zoo knows of one model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from trimtab.errors import FetchError

Tensors = dict[str, npt.NDArray[np.generic]]
Run = Callable[[str, Tensors], Tensors]  # model name, inputs -> outputs


class ZooUnavailable(Exception):
    """A model or its data cannot be had here; the message says why."""


def _no_more() -> dict[str, Tensors]:
    return {}


@dataclass(frozen=True)
class ZooModel:
    """A real model, real inputs, and what its answers must mean.

    Attributes
    ----------
    get : callable
        Fetches or exports the ONNX file.
    make_inputs, make_more : callable
        The main input set, and others of other shapes by name.
    check_outputs : callable
        Asserts the meaning of the outputs for the main input set.
    scenario : callable, optional
        Asserts a meaning that takes several calls, or several models, through
        ``run(name, inputs)``.
    """

    name: str
    get: Callable[[], Path]
    make_inputs: Callable[[], Tensors]
    check_outputs: Callable[[Tensors], None]
    make_more: Callable[[], dict[str, Tensors]] = _no_more
    scenario: Callable[[Run], None] | None = None

    def path(self) -> Path:
        """The ONNX file; `ZooUnavailable` where it cannot be had."""
        return _guard(self.get)

    def inputs(self) -> Tensors:
        """Real inputs by name."""
        return _guard(self.make_inputs)

    def more_inputs(self) -> dict[str, Tensors]:
        """Further input sets: other sizes, batches, rates."""
        return _guard(self.make_more)

    def check(self, outputs: Tensors) -> None:
        """Assert that the outputs for `inputs` mean what they must."""
        self.check_outputs(outputs)

    def check_scenario(self, run: Run) -> None:
        """Assert the meaning that takes more than one call, if there is one."""
        if self.scenario is not None:
            self.scenario(run)


def _guard(action):  # type: ignore[no-untyped-def]
    try:
        return action()
    except (FetchError, ImportError) as error:
        raise ZooUnavailable(str(error)) from error


@cache
def _session(path: Path):  # type: ignore[no-untyped-def]
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        path, options, providers=["CPUExecutionProvider"]
    )


def run_onnxruntime(path: Path, inputs: Tensors) -> Tensors:
    """The independent oracle: outputs by name."""
    session = _session(path)
    names = [value.name for value in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))
