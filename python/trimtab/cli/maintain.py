"""The command ``trimtab maintain``: keep a model of a registry well."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from trimtab.cli.folder import add_registry, registry_folder

if TYPE_CHECKING:
    from trimtab.deploy.deployment import Deployment
    from trimtab.monitor.monitor import Monitor

__all__ = ["add_options", "maintain"]

FAILED = 1


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``trimtab maintain``.

    Parameters
    ----------
    parser : argparse.ArgumentParser

    Examples
    --------
    >>> parser = argparse.ArgumentParser()
    >>> add_options(parser)
    >>> parser.parse_args(["digits", "--registry", "models", "--once"]).once
    True
    """
    parser.add_argument("name", help="of the model in the registry")
    add_registry(parser)
    parser.add_argument(
        "--new-data",
        metavar="FILE.npz",
        help="labelled rows to learn from; the file may come later, and grow",
    )
    parser.add_argument(
        "--reference",
        metavar="FILE.npz",
        help="labelled rows that must not be forgotten",
    )
    parser.add_argument(
        "--traffic",
        metavar="FILE.npz",
        help="what came lately, with labels where there are some: is there drift, and "
        "how good are the answers?",
    )
    parser.add_argument(
        "--policy", metavar="FILE.json", help="what to do and when (default: the usual)"
    )
    parser.add_argument("--log", metavar="FILE", help="(default: in the registry)")
    parser.add_argument(
        "--once", action="store_true", help="look once and end, such as for cron"
    )
    parser.add_argument(
        "--show", action="store_true", help="tell what the log says, and do nothing"
    )
    parser.add_argument("--report", metavar="FILE", help="to write: .html or .json")


def maintain(arguments: argparse.Namespace) -> tuple[dict[str, Any], str, int]:
    """Look after a model, once or until it is stopped.

    Parameters
    ----------
    arguments : argparse.Namespace
        Of `add_options`.

    Returns
    -------
    values : dict
        For JSON.
    text : str
        For people.
    status : int
        1 where something that was tried failed.

    Raises
    ------
    InputError
        It is not said which registry, or a file does not fit.

    Examples
    --------
    >>> maintain(arguments)                                # doctest: +SKIP
    ({'name': 'digits', ...}, 'digits, version 2 is served...', 0)
    """
    from trimtab.deploy import deploy_model
    from trimtab.maintain import MaintenanceReport, maintain_model
    from trimtab.maintain.log import log_path

    folder = registry_folder(arguments)
    if arguments.show:
        log = arguments.log or log_path(folder, arguments.name)
        return _told(MaintenanceReport.read(log, arguments.name), arguments)
    with deploy_model(arguments.name, registry=folder) as deployment:
        monitor = _monitor(deployment, arguments.traffic)
        try:
            report = maintain_model(
                deployment,
                arguments.policy,
                monitor=monitor,
                new_data=arguments.new_data,
                reference=_labelled(deployment, arguments.reference),
                log=arguments.log,
                once=arguments.once,
            )
        finally:
            if monitor is not None:
                monitor.close()
    return _told(report, arguments)


def _told(report: Any, arguments: argparse.Namespace) -> tuple[Any, str, int]:
    lines = [str(report)]
    if arguments.report:
        report.save(arguments.report)
        lines.append(f"report  -> {arguments.report}")
    return report.to_dict(), "\n".join(lines), 0 if report.ok else FAILED


def _labelled(deployment: Deployment, path: str | None) -> Any:
    from trimtab.npz import read_labelled

    if path is None:
        return None
    return read_labelled(deployment.model, path, "--reference")


def _monitor(deployment: Deployment, path: str | None) -> Monitor | None:
    """What came lately, as if it came now."""
    from trimtab.monitor.runs import observe_batches
    from trimtab.monitor.start import monitor_model
    from trimtab.npz import read_rows

    if path is None:
        return None
    model = deployment.model
    data, labels = read_rows(model, path, "--traffic")
    n_rows = len(next(iter(data.values())))
    watching = monitor_model(model, window=max(n_rows, 1), min_rows=1, background=False)
    observe_batches(watching, model, data, labels)
    return watching
