"""What the export scripts share: the command line and both of torch's exporters."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

Dynamic = Mapping[str, Mapping[int, str]]  # input -> axis -> name of the dim

EXPORTERS = ("dynamo", "torchscript")


def arguments(doc: str, *, parts: Sequence[str] = ()) -> argparse.Namespace:
    """Parse ``SCRIPT OUT [--exporter E] [--opset N] [--part P]``."""
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("out", type=Path, help="the ONNX file to write")
    parser.add_argument("--exporter", choices=EXPORTERS, default="dynamo")
    parser.add_argument("--opset", type=int, default=18)
    if parts:
        parser.add_argument("--part", choices=parts, default=parts[0])
    return parser.parse_args()


def export(
    module: torch.nn.Module,
    example: Sequence[torch.Tensor],
    out: Path,
    *,
    inputs: Sequence[str],
    outputs: Sequence[str],
    dynamic: Dynamic,
    exporter: str = "dynamo",
    opset: int = 18,
) -> None:
    """Write a module as one ONNX file, weights inside.

    Parameters
    ----------
    example : sequence of Tensor
        Arguments to trace with; dynamic dims must not be 0 or 1 there.
    inputs, outputs : sequence of str
        Names in the file. An output must not be called like a value inside.
    dynamic : mapping
        Which axes may change, by input (and output, for "torchscript").
    """
    module.eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside torch's exporters
        if exporter == "dynamo":
            dims = {n: torch.export.Dim(n) for n in _dim_names(inputs, dynamic)}
            shapes = tuple(
                {axis: dims[dim] for axis, dim in dynamic.get(name, {}).items()}
                for name in inputs
            )
            program = torch.onnx.export(
                module,
                tuple(example),
                dynamo=True,
                input_names=list(inputs),
                output_names=list(outputs),
                dynamic_shapes=shapes,
                opset_version=opset,
                verbose=False,
            )
            assert program is not None
            program.save(out, external_data=False)
        else:
            torch.onnx.export(
                module,
                tuple(example),
                out,
                dynamo=False,
                input_names=list(inputs),
                output_names=list(outputs),
                dynamic_axes={name: dict(axes) for name, axes in dynamic.items()},
                opset_version=opset,
            )
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB, opset {opset}, {exporter}")


def _dim_names(inputs: Sequence[str], dynamic: Dynamic) -> list[str]:
    return list(
        dict.fromkeys(dim for name in inputs for dim in dynamic.get(name, {}).values())
    )
