"""The command ``trimtab optimize``: a model and data in, a faster artefact out."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from trimtab.cli.report_file import write_report_file
from trimtab.npz import LABELS, inputs_of, read_npz, read_rows

if TYPE_CHECKING:
    pass

__all__ = ["add_options", "optimize"]

# Names that labels usually have in an .npz file.


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
        "--labels", metavar="NAME", help=f"of labels in --data ({', '.join(LABELS)})"
    )
    parser.add_argument(
        "--metric",
        help="accuracy, cross_entropy, mse; top_1_agreement, top_1_probability, "
        "cosine, sqnr",
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
        "--precisions",
        metavar="P,P",
        help="of f32, bf16, int8, int8_winograd (default: what pays)",
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

    data, labels = read_rows(model, arguments.data, "--data", arguments.labels)
    calibration = None
    if arguments.calibration:
        given = read_npz(arguments.calibration, "--calibration")
        calibration = inputs_of(model, given, "--calibration")
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
        write_report_file(report, arguments.report, dpi=120, bbox_inches="tight")
        lines.append(f"report  -> {arguments.report}")
    return report.to_dict(), "\n".join(lines)
