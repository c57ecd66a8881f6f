"""The command ``trimtab deploy``: a model into a registry, and into service there."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, Any

from trimtab.cli.folder import add_registry, open_registry

if TYPE_CHECKING:
    from trimtab.model import Model
    from trimtab.registry.registry import Registry

__all__ = ["add_options", "deploy"]

GATE_FAILED = 3


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``trimtab deploy``.

    Parameters
    ----------
    parser : argparse.ArgumentParser

    Examples
    --------
    >>> parser = argparse.ArgumentParser()
    >>> add_options(parser)
    >>> parser.parse_args(["--registry", "models", "--name", "digits"]).name
    'digits'
    """
    add_registry(parser, ", made if there is none")
    parser.add_argument(
        "--name", help="under which it serves (default: that of the model)"
    )
    parser.add_argument("--reason", default="", help="why, for the history")
    parser.add_argument(
        "--data",
        metavar="FILE.npz",
        help="labelled rows that the model has not learned from: with these it must "
        "prove that it is no worse than what serves now",
    )
    parser.add_argument(
        "--margin",
        type=float,
        default=0.0,
        help="how much worse its metric may be on them (default: 0)",
    )
    parser.add_argument(
        "--metric", default="auto", help="of the proof (default: by kind of labels)"
    )


def deploy(
    model: Model, arguments: argparse.Namespace
) -> tuple[dict[str, Any], str, int]:
    """Register a model, prove it where there is something to prove it by, promote it.

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
        3 where it is not proven; then what served before still does.

    Raises
    ------
    InputError
        It is not said which registry, or the data do not fit.
    SwapError
        The model cannot serve.

    Examples
    --------
    >>> deploy(model, arguments)                           # doctest: +SKIP
    ({'version': 2, ...}, 'digits/2 serves', 0)
    """
    registry = open_registry(arguments, create=True)
    name = arguments.name or os.path.splitext(model.name)[0]
    champion = registry.alias(name, "champion") if name in registry.names() else None
    version = registry.register(
        name,
        model,
        parent=None if champion is None else f"{name}/{champion.version}",
        reason=arguments.reason,
    )
    values: dict[str, Any] = {"name": name, "version": version.version}
    lines = []
    if arguments.data and champion is not None:
        report = _proof(registry, name, model, arguments)
        values["gates"] = report.to_dict()
        lines.append(str(report))
        if report.state != "passed":
            values["state"] = report.state.upper()
            lines.append(
                f"{version} is registered, {name}/{champion.version} still serves"
            )
            return values, "\n".join(lines), GATE_FAILED
    _promote(registry, name, version.version, champion is None, arguments.reason)
    values["state"] = "PROMOTED"
    lines.append(f"{version} serves as {name}@champion")
    return values, "\n".join(lines), 0


def _promote(
    registry: Registry, name: str, version: int, is_first: bool, reason: str
) -> None:
    from trimtab.deploy import deploy_model
    from trimtab.rollout import promote_model

    if is_first:
        # loaded, warmed and examined before anything names it
        deploy_model(f"{name}/{version}", registry=registry, follow=False).close()
        registry.promote(name, version, expected=None, reason=reason)
        return
    with deploy_model(name, registry=registry, follow=False) as deployment:
        promote_model(deployment, version, reason=reason)


def _proof(
    registry: Registry, name: str, model: Model, arguments: argparse.Namespace
) -> Any:
    from trimtab.gates import Evidence, Rows, prove
    from trimtab.npz import read_labelled

    guard = Rows(*read_labelled(model, arguments.data, "--data"))
    return prove(
        Evidence(
            registry.get(f"{name}@champion").load(),
            model,
            guard,
            metric=arguments.metric,
            margin=arguments.margin,
        )
    )
