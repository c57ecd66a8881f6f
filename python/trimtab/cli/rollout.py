"""The commands ``trimtab promote`` and ``trimtab rollback``: which version serves."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from trimtab.cli.folder import add_registry, open_registry
from trimtab.errors import InputError, RegistryError, SwapError, TrimtabError

if TYPE_CHECKING:
    from trimtab.model import Model
    from trimtab.registry.alias import Alias
    from trimtab.registry.registry import Registry
    from trimtab.rollout.result import RolloutResult

__all__ = ["add_promote_options", "add_rollback_options", "promote", "rollback"]


def _common(parser: argparse.ArgumentParser) -> None:
    add_registry(parser)
    parser.add_argument("--alias", default="champion", help="default: champion")
    parser.add_argument("--reason", default="", metavar="TEXT", help="why")
    parser.add_argument("--by", metavar="WHO", help="who (default: user@host)")
    parser.add_argument(
        "--status",
        action="store_true",
        help="change nothing: show the newest rollout, state by state",
    )


def add_promote_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``trimtab promote``.

    Parameters
    ----------
    parser : argparse.ArgumentParser

    Examples
    --------
    >>> parser = argparse.ArgumentParser()
    >>> add_promote_options(parser)
    >>> parser.parse_args(["digits/4"]).alias
    'champion'
    """
    parser.add_argument("reference", help="version that is to serve: name/4")
    parser.add_argument(
        "--expected",
        default="any",
        metavar="VERSION",
        help="what the alias must name now: a version, none, or any (default)",
    )
    _common(parser)


def add_rollback_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``trimtab rollback``.

    Parameters
    ----------
    parser : argparse.ArgumentParser

    Examples
    --------
    >>> parser = argparse.ArgumentParser()
    >>> add_rollback_options(parser)
    >>> parser.parse_args(["digits"]).to
    'previous'
    """
    parser.add_argument("name", help="name of the model")
    parser.add_argument(
        "--to",
        default="previous",
        metavar="VERSION",
        help="number of a version (default: the one before that can serve)",
    )
    _common(parser)


def _expected(text: str) -> int | str | None:
    if text in ("any", "none"):
        return None if text == "none" else text
    if not text.isdigit():
        raise InputError(f"--expected: expected a number, any or none, got {text!r}")
    return int(text)


def _status(registry: Registry, name: str) -> tuple[Any, str, int]:
    from trimtab.rollout.recovery import read_rollout

    found = read_rollout(registry, name)
    if found is None:
        return None, f"no rollout of {name}", 0
    return found.to_dict(), str(found), 0


def _fit(registry: Registry, name: str, number: int, champion: Model | None) -> None:
    """Load a version, compare it with what serves; refuse what cannot serve."""
    from trimtab.deploy.check import examine, warm_up

    version = registry.get(f"{name}/{number}")
    model = version.load()
    if champion is None:
        warm_up(model)
        return
    reasons = examine(model, champion)
    if reasons:
        error = SwapError(f"{version} is not fit to serve: {'; '.join(reasons)}")
        error.reasons = tuple(reasons)
        raise error


def _champion(registry: Registry, name: str, alias: Alias | None) -> Model | None:
    """What serves, if it can be loaded: what is broken is no measure."""
    try:
        return None if alias is None else registry.get(f"{name}/{alias.version}").load()
    except TrimtabError:
        return None


def _answer(
    name: str, alias: Alias, settled: RolloutResult | None, notes: list[str]
) -> tuple[Any, str, int]:
    values = {
        "alias": alias.to_dict(),
        "settled": None if settled is None else settled.to_dict(),
        "notes": notes,
    }
    lines = [*notes]
    if settled is not None:
        lines.append(f"rollout {settled.number} had been left: {settled.summary}")
    lines.append(
        f"{name}@{alias.alias} = {alias.version} (generation {alias.generation})"
    )
    return values, "\n".join(lines), 0


def promote(arguments: argparse.Namespace) -> tuple[Any, str, int]:
    """Run ``trimtab promote``.

    Parameters
    ----------
    arguments : argparse.Namespace

    Returns
    -------
    answer : (object, str, int)
        Plain values, text, status.

    Examples
    --------
    >>> promote(arguments)                                 # doctest: +SKIP
    """
    from trimtab.registry.names import parse_reference
    from trimtab.rollout.handle import owning_rollouts
    from trimtab.rollout.recovery import settle

    registry = open_registry(arguments)
    name = parse_reference(arguments.reference).name
    if arguments.status:
        return _status(registry, name)
    expected = _expected(arguments.expected)
    with owning_rollouts(registry, name):
        settled = settle(registry, name)
        version = registry.get(arguments.reference)
        now = registry.alias(name, arguments.alias)
        _fit(registry, name, version.version, _champion(registry, name, now))
        alias = registry.set_alias(
            name,
            arguments.alias,
            version.version,
            expected=expected,
            reason=arguments.reason,
            by=arguments.by,
        )
    return _answer(name, alias, settled, [])


def rollback(arguments: argparse.Namespace) -> tuple[Any, str, int]:
    """Run ``trimtab rollback``.

    Parameters
    ----------
    arguments : argparse.Namespace

    Returns
    -------
    answer : (object, str, int)
        Plain values, text, status.

    Raises
    ------
    InputError
        ``--to`` is no version.

    Examples
    --------
    >>> rollback(arguments)                                # doctest: +SKIP
    """
    from trimtab.rollout.direct import first_that_serves, go_back
    from trimtab.rollout.handle import owning_rollouts
    from trimtab.rollout.recovery import settle

    registry, name = open_registry(arguments), arguments.name
    if arguments.status:
        return _status(registry, name)
    if arguments.to != "previous" and not arguments.to.isdigit():
        raise InputError(f"--to: expected 'previous' or a number, got {arguments.to!r}")
    with owning_rollouts(registry, name):
        settled = settle(registry, name)
        now = registry.alias(name, arguments.alias)
        if now is None:
            raise RegistryError(f"there is no alias {name}@{arguments.alias}")

        def prepare(number: int) -> int:
            _fit(registry, name, number, None)
            return number

        wanted = arguments.to if arguments.to == "previous" else int(arguments.to)
        number, troubles = first_that_serves(prepare, name, now, wanted)
        alias = go_back(
            registry, name, now, number, reason=arguments.reason, by=arguments.by
        )
    return _answer(name, alias, settled, troubles)
