"""The command ``trimtab update``: a model and new rows in, a proven model out."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from typing import Any

from trimtab.cli.report_file import check_report, write_report_file
from trimtab.errors import InputError

__all__ = ["NOT_PROVEN", "add_options", "update"]

#: Exit status where nothing better is proven.
NOT_PROVEN = 3


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``trimtab update``.

    Parameters
    ----------
    parser : argparse.ArgumentParser

    Examples
    --------
    >>> parser = argparse.ArgumentParser()
    >>> add_options(parser)
    >>> parser.parse_args(["--data", "new.npz", "--forget", "0.02"]).forget
    0.02
    """
    parser.add_argument(
        "--data",
        required=True,
        metavar="FILE.npz",
        help="new rows by input, with labels as y",
    )
    parser.add_argument(
        "--reference",
        metavar="FILE.npz",
        help="old rows that must not be forgotten: half are replayed, half prove it",
    )
    parser.add_argument(
        "--old-statistics",
        metavar="FILE.npz",
        help="of an earlier update, in place of old rows",
    )
    parser.add_argument(
        "--save-statistics", metavar="FILE.npz", help="of the rows, for the next update"
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE.safetensors",
        help="where the model goes, if it is proven",
    )
    parser.add_argument(
        "--registry",
        metavar="FOLDER",
        help="register it there; the model is a reference then: digits@champion",
    )
    parser.add_argument("--method", default="auto", help="default: all of them")
    parser.add_argument("--metric", default="auto", help="what decides")
    for name, value, told in (
        ("margin", 0.0, "how much worse it may be on new rows"),
        ("forget", 0.01, "how much worse it may be on old rows"),
        ("alpha", 0.05, "1 - confidence"),
    ):
        parser.add_argument(
            f"--{name}", type=float, default=value, help=f"{told} (default: {value:g})"
        )
    parser.add_argument(
        "--time-budget",
        type=float,
        metavar="SECONDS",
        help="no method is begun after that",
    )
    parser.add_argument(
        "--new-classes", choices=("refuse", "add"), default="refuse", help="of labels"
    )
    parser.add_argument("--folds", type=int, default=5, help="default: 5")
    parser.add_argument("--reason", metavar="TEXT", help="stored with the version")
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    parser.add_argument(
        "--report", metavar="FILE", help="report to write: .html, .json or .png"
    )


def update(
    load: Callable[[], Any], arguments: argparse.Namespace
) -> tuple[dict[str, Any], str, int]:
    """Update a model, and write what was asked for.

    Parameters
    ----------
    load : callable
        () -> Model: the one that was named, where no registry is.
    arguments : argparse.Namespace
        Of `add_options`, and ``model``.

    Returns
    -------
    values : dict
        For JSON.
    text : str
        For people.
    status : int

    Raises
    ------
    InputError
        The files do not fit the model.

    Examples
    --------
    >>> update(load, arguments)                            # doctest: +SKIP
    ({'format': 1, 'state': 'READY', ...}, 'UpdateResult...', 0)
    """
    from trimtab.update.statistics import HeadStatistics
    from trimtab.update.update import update_model

    _check_names(arguments)
    reference: Any = arguments.reference
    if arguments.old_statistics:
        reference = HeadStatistics.load(arguments.old_statistics)
    result = update_model(
        arguments.model if arguments.registry else load(),
        arguments.data,
        reference=reference,
        method=arguments.method,
        metric=arguments.metric,
        margin=arguments.margin,
        forget=arguments.forget,
        alpha=arguments.alpha,
        time_budget_s=arguments.time_budget,
        new_classes=arguments.new_classes,
        folds=arguments.folds,
        registry=arguments.registry,
        reason=arguments.reason,
        seed=arguments.seed,
        progress=None,
    )
    lines = [str(result)]
    if arguments.report:
        write_report_file(result, arguments.report, dpi=110, bbox_inches="tight")
        lines.append(f"report  -> {arguments.report}")
    if result.ok and result.model is not None and arguments.output:
        result.model.save(arguments.output)
        lines.append(f"model   -> {arguments.output}")
    if arguments.save_statistics and result.ok and result.statistics is not None:
        result.statistics.save(arguments.save_statistics)
        lines.append(f"sums    -> {arguments.save_statistics}")
    return result.to_dict(), "\n".join(lines), 0 if result.ok else NOT_PROVEN


def _check_names(arguments: argparse.Namespace) -> None:
    """Refuse names before the work, not after it."""
    if arguments.reference and arguments.old_statistics:
        raise InputError("--reference and --old-statistics: expected one of them")
    check_report(arguments.report)
    for name in (arguments.output, arguments.save_statistics, arguments.report):
        folder = os.path.dirname(os.path.abspath(name)) if name else "."
        if not os.path.isdir(folder):
            raise InputError(f"{name}: there is no folder {folder!r}")
