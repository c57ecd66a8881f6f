"""The command ``trimtab monitor``: has what comes to a model changed?"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from trimtab.errors import InputError

if TYPE_CHECKING:
    pass

__all__ = ["add_options", "monitor"]

DRIFT = 4


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``trimtab monitor``.

    Parameters
    ----------
    parser : argparse.ArgumentParser

    Examples
    --------
    >>> parser = argparse.ArgumentParser()
    >>> add_options(parser)
    >>> parser.parse_args(["--data", "now.npz", "--alpha", "0.01"]).alpha
    0.01
    """
    parser.add_argument(
        "--data",
        required=True,
        metavar="FILE.npz",
        help="current inputs, by their names; labels as y where there are some",
    )
    parser.add_argument(
        "--reference",
        metavar="FILE.npz",
        help="inputs to compare with (default: the reference in the artefact)",
    )
    parser.add_argument(
        "--window",
        type=int,
        metavar="ROWS",
        help="rows of a window (default: all of --data)",
    )
    parser.add_argument(
        "--methods", metavar="M,M", help="of comparing (default: by kind of feature)"
    )
    parser.add_argument(
        "--alpha", type=float, default=0.05, help="false discovery rate (default: 0.05)"
    )
    parser.add_argument("--report", metavar="FILE", help="to write: .html or .json")


def monitor(
    model: Any, arguments: argparse.Namespace
) -> tuple[dict[str, Any], str, int]:
    """Compare data with the reference, and write what was asked for.

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
    status : int
        4 where there is drift, else 0.

    Raises
    ------
    InputError
        The files do not fit the model, or there is no reference.

    Examples
    --------
    >>> monitor(model, arguments)                          # doctest: +SKIP
    ({'ok': False, ...}, 'MonitorReport...', 4)
    """
    from trimtab.monitor.runs import observe_batches
    from trimtab.monitor.start import monitor_model
    from trimtab.npz import read_rows

    data, labels = read_rows(model, arguments.data, "--data")
    before = None
    if arguments.reference:
        before, _ = read_rows(model, arguments.reference, "--reference")
    elif model.reference is None:
        raise InputError(
            f"{model.name} holds no reference: give one with --reference FILE.npz, or "
            "save the model with Model.save(path, reference=...)"
        )
    n_rows = len(next(iter(data.values())))
    with monitor_model(
        model,
        reference=before,
        window=arguments.window or max(n_rows, 1),
        methods=arguments.methods.split(",") if arguments.methods else "auto",
        alpha=arguments.alpha,
        min_rows=1,
        background=False,
    ) as watching:
        observe_batches(watching, model, data, labels)
        report = watching.report()
    lines = [str(report)]
    if arguments.report:
        report.save(arguments.report)
        lines.append(f"report  -> {arguments.report}")
    return report.to_dict(), "\n".join(lines), 0 if report.ok else DRIFT
