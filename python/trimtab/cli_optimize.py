"""The command ``trimtab optimize``: a model and data in, a faster artefact out."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from trimtab.errors import InputError

if TYPE_CHECKING:
    from trimtab.types import Array

__all__ = ["add_options", "optimize"]

# Names that labels usually have in an .npz file.
_LABELS = ("y", "y_true", "label", "labels", "target", "targets")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``trimtab optimize``.

    Parameters
    ----------
    parser : argparse.ArgumentParser

    Examples
    --------
    >>> parser = argparse.ArgumentParser()
    >>> add_options(parser)
    >>> parser.parse_args(["--data", "d.npz", "--max-drop", "0.005"]).max_drop
    0.005
    """
    parser.add_argument(
        "--data",
        required=True,
        metavar="FILE.npz",
        help="samples by input, and labels as y where there are some; a part is used "
        "for calibration where --calibration is not given",
    )
    parser.add_argument(
        "--calibration", metavar="FILE.npz", help="samples to take ranges from"
    )
    parser.add_argument(
        "--labels", metavar="NAME", help=f"of labels in --data ({', '.join(_LABELS)})"
    )
    parser.add_argument(
        "--metric", help="accuracy, top_1_agreement, cosine, sqnr, mse, cross_entropy"
    )
    parser.add_argument(
        "--max-drop",
        type=float,
        default=0.01,
        help="largest drop of the metric (default: 0.01)",
    )
    parser.add_argument(
        "--goal", default="latency", choices=["latency", "throughput", "memory"]
    )
    parser.add_argument(
        "--precisions", metavar="P,P", help="of f32, bf16, int8 (default: what pays)"
    )
    parser.add_argument(
        "--time-budget", type=float, metavar="SECONDS", help="of the search"
    )
    parser.add_argument("--seed", type=int, default=0, help="of splits (default: 0)")
    parser.add_argument("--journal", metavar="FILE", help="to go on from another time")
    parser.add_argument(
        "--output", metavar="DST.safetensors", help="file to write the model to"
    )
    parser.add_argument(
        "--report", metavar="FILE", help="report to write: .json, .html or .png"
    )


def _read(path: str, option: str) -> dict[str, Array]:
    from zipfile import BadZipFile

    import numpy as np

    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {"": loaded}
        with loaded as archive:
            return {name: archive[name] for name in archive.files}
    except FileNotFoundError as error:
        raise InputError(f"{option}: there is no file {path!r}") from error
    except (ValueError, EOFError, TypeError, OSError, BadZipFile) as error:
        raise InputError(
            f"{option} {path}: no .npz file of arrays ({error})"
        ) from error


def _inputs(model: Any, arrays: dict[str, Array], option: str) -> dict[str, Array]:
    """Arrays by input; the only one of a model may have any name."""
    names = [spec.name for spec in model.inputs]
    if set(names) <= set(arrays):
        return {name: arrays[name] for name in names}
    if len(names) == 1 and len(arrays) == 1:
        return {names[0]: next(iter(arrays.values()))}
    raise InputError(f"{option}: expected arrays {names}, got {sorted(arrays)}")


def _take_labels(
    model: Any, arrays: dict[str, Array], name: str | None
) -> Array | None:
    """Take the labels out of the arrays."""
    inputs = {spec.name for spec in model.inputs}
    if name is not None:
        if name not in arrays:
            raise InputError(f"--labels {name}: --data has {sorted(arrays)}")
        return arrays.pop(name)
    found = [key for key in _LABELS if key in arrays and key not in inputs]
    return arrays.pop(found[0]) if found else None


def optimize(model: Any, arguments: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """Optimise a model, and write what was asked for.

    Parameters
    ----------
    model : Model
    arguments : argparse.Namespace
        Of `add_options`.

    Returns
    -------
    values : dict
        For JSON.
    text : str
        For people.

    Raises
    ------
    InputError
        The files do not fit the model.

    Examples
    --------
    >>> optimize(model, arguments)                         # doctest: +SKIP
    ({'reason': ...}, 'OptimizationReport...')
    """
    from trimtab.optimize import optimize_model

    arrays = _read(arguments.data, "--data")
    labels = _take_labels(model, arrays, arguments.labels)
    data = _inputs(model, arrays, "--data")
    calibration = None
    if arguments.calibration:
        given = _read(arguments.calibration, "--calibration")
        calibration = _inputs(model, given, "--calibration")
    report = optimize_model(
        model,
        calibration=calibration,
        validation=(data, labels),
        metric=arguments.metric,
        max_drop=arguments.max_drop,
        goal=arguments.goal,
        precisions=arguments.precisions and arguments.precisions.split(","),
        time_budget_s=arguments.time_budget,
        seed=arguments.seed,
        journal=arguments.journal,
    )
    lines = [str(report)]
    if arguments.output:
        report.model.save(arguments.output)
        lines.append(f"model   -> {arguments.output}")
    if arguments.report:
        _write(report, arguments.report)
        lines.append(f"report  -> {arguments.report}")
    return report.to_dict(), "\n".join(lines)


def _write(report: Any, path: str) -> None:
    """As a picture, or as the report itself writes it."""
    if not path.endswith((".png", ".svg", ".pdf")):
        report.save(path)
        return
    ax = report.plot()
    ax.figure.savefig(path, dpi=120, bbox_inches="tight")
