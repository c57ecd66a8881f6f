"""The command ``trimtab registry``: models in a folder, by version and alias."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from trimtab.cli.folder import add_registry, open_registry
from trimtab.errors import InputError

if TYPE_CHECKING:
    from trimtab.registry.registry import Registry

__all__ = ["add_options", "registry"]

_Answer = tuple[Any, str, int]

# ---- commands ------------------------------------------------------------------


def _list(registry: Registry, arguments: argparse.Namespace) -> _Answer:
    from trimtab.report import text_table

    names = [arguments.name] if arguments.name else registry.names()
    values: list[dict[str, Any]] = []
    rows = []
    for name in names:
        versions = registry.versions(name)
        aliases = {a: v.version for a, v in registry.aliases(name).items()}
        values.append({"name": name, "versions": versions, "aliases": aliases})
        named = ", ".join(f"{alias} = {version}" for alias, version in aliases.items())
        newest = str(versions[-1]) if versions else ""
        rows.append([name, str(len(versions)), newest, named])
    if not rows:
        return values, f"no models in {registry.path}", 0
    return values, text_table(["model", "versions", "newest", "aliases"], rows), 0


def _show(registry: Registry, arguments: argparse.Namespace) -> _Answer:
    import json

    version = registry.get(arguments.reference)
    values = version.to_dict()
    return values, f"{version}\n{json.dumps(values, indent=1)}", 0


def _register(registry: Registry, arguments: argparse.Namespace) -> _Answer:
    version = registry.register(
        arguments.name,
        arguments.model,
        parent=arguments.parent,
        data_fingerprint=arguments.data_fingerprint,
        metrics=_metrics(arguments.metrics),
        reason=arguments.reason,
        by=arguments.by,
    )
    return version.to_dict(), f"{version}  {version.digest}", 0


def _metrics(path: str | None) -> Any:
    if path is None:
        return None
    from trimtab.registry.canonical import MAX_BYTES, parse_object

    with open(path, "rb") as file:
        return parse_object(file.read(MAX_BYTES + 1), path)


def _number(text: str) -> int | str:
    return int(text) if text.isdigit() else text


def _promote(registry: Registry, arguments: argparse.Namespace) -> _Answer:
    alias = registry.set_alias(
        arguments.name,
        arguments.alias,
        _number(arguments.version),
        expected=_expected(arguments.expected),
        reason=arguments.reason,
        by=arguments.by,
    )
    text = f"{arguments.name}@{alias.alias} = {alias.version}"
    return alias.to_dict(), f"{text} (generation {alias.generation})", 0


def _expected(text: str) -> int | str | None:
    if text in ("any", "none"):
        return None if text == "none" else text
    if not text.isdigit():
        raise InputError(f"--expected: expected a number, any or none, got {text!r}")
    return int(text)


def _rollback(registry: Registry, arguments: argparse.Namespace) -> _Answer:
    alias = registry.rollback(
        arguments.name,
        alias=arguments.alias,
        expected=_expected(arguments.expected),
        reason=arguments.reason,
        by=arguments.by,
    )
    text = f"{arguments.name}@{alias.alias} = {alias.version}"
    return alias.to_dict(), f"{text} (generation {alias.generation})", 0


def _history(registry: Registry, arguments: argparse.Namespace) -> _Answer:
    from trimtab.report import text_table

    events = registry.history(arguments.name)
    shown = ("version", "alias", "versions", "public_key")
    rows = [
        [
            str(event.seq),
            event.at,
            event.kind,
            " ".join(f"{k}={event.details[k]}" for k in shown if k in event.details),
            event.by,
            event.reason,
        ]
        for event in events
    ]
    heads = ["seq", "at", "what", "of", "by", "why"]
    return [event.to_dict() for event in events], text_table(heads, rows), 0


def _diff(registry: Registry, arguments: argparse.Namespace) -> _Answer:
    diff = registry.diff(arguments.before, arguments.after)
    return diff.to_dict(), str(diff), 0


def _verify(registry: Registry, arguments: argparse.Namespace) -> _Answer:
    report = registry.verify(arguments.name, quarantine=not arguments.dry_run)
    return report.to_dict(), str(report), 0 if report.ok else 1


def _gc(registry: Registry, arguments: argparse.Namespace) -> _Answer:
    found = registry.gc(keep=arguments.keep, dry_run=arguments.dry_run)
    dropped = [f"{name}/{v}" for name, vs in found.versions.items() for v in vs]
    verb = "would remove" if arguments.dry_run else "removed"
    text = (
        f"{verb} {len(dropped)} versions, {found.n_files} files, {found.n_bytes} bytes"
    )
    return found.to_dict(), "\n  ".join([text, *dropped]), 0


def _sign(registry: Registry, arguments: argparse.Namespace) -> _Answer:
    with open(arguments.key, "rb") as file:
        public = registry.sign(arguments.reference, file.read(64 << 10))
    values = {"reference": arguments.reference, "public_key": public}
    return values, f"{arguments.reference} signed by {public}", 0


def _export(registry: Registry, arguments: argparse.Namespace) -> _Answer:
    versions = registry.export(
        arguments.target, *arguments.references, format=arguments.format
    )
    names = [str(version) for version in versions]
    values = {"target": arguments.target, "versions": names}
    return values, f"{', '.join(names)} -> {arguments.target}", 0


def _import(registry: Registry, arguments: argparse.Namespace) -> _Answer:
    versions = registry.import_(
        arguments.source, name=arguments.name, aliases=arguments.aliases
    )
    names = [str(version) for version in versions]
    return {"versions": names}, "\n".join(names), 0


# ---- parsing -------------------------------------------------------------------

_Argument = tuple[tuple[str, ...], dict[str, Any]]


def _arg(*names: str, **how: Any) -> _Argument:
    return names, how


_NAME = _arg("name", help="name of the model")
_WHY = (
    _arg("--reason", default="", metavar="TEXT", help="why"),
    _arg("--by", metavar="WHO", help="who (default: user@host)"),
)
_EXPECTED = _arg(
    "--expected",
    default="any",
    metavar="VERSION",
    help="what it must name now: a version, none, or any (default)",
)
_ALIAS = _arg("--alias", default="champion", help="default: champion")
_DRY_RUN = _arg("--dry-run", action="store_true", help="only tell")

#: Command -> what it does, what it is for, its arguments.
_COMMANDS: dict[
    str,
    tuple[Callable[[Any, argparse.Namespace], _Answer], str, tuple[_Argument, ...]],
] = {
    "list": (
        _list,
        "Models with their versions and aliases.",
        (_arg("name", nargs="?", help="one model only"),),
    ),
    "show": (
        _show,
        "All that is known of a version.",
        (_arg("reference", help="name@alias or name/3"),),
    ),
    "register": (
        _register,
        "Add a version.",
        (
            _NAME,
            _arg("model", metavar="FILE.safetensors", help="of `trimtab convert`"),
            _arg("--parent", metavar="REFERENCE", help="what it was made of"),
            _arg("--data-fingerprint", metavar="TEXT", help="of its training data"),
            _arg("--metrics", metavar="FILE.json", help="of `trimtab evaluate`"),
            *_WHY,
        ),
    ),
    "promote": (
        _promote,
        "Let an alias name a version.",
        (_NAME, _arg("version", help="number or name@alias"), _ALIAS, _EXPECTED, *_WHY),
    ),
    "rollback": (
        _rollback,
        "Let an alias name what it named before.",
        (_NAME, _ALIAS, _EXPECTED, *_WHY),
    ),
    "history": (_history, "What happened to a model, when, by whom, why.", (_NAME,)),
    "diff": (
        _diff,
        "How two versions differ.",
        (_arg("before", help="name/1"), _arg("after", help="name/2")),
    ),
    "verify": (
        _verify,
        "Compare everything with its digests; set aside what is broken.",
        (_arg("name", nargs="?", help="one model only"), _DRY_RUN),
    ),
    "gc": (
        _gc,
        "Remove old versions that no alias names or would go back to.",
        (
            _arg("--keep", type=int, default=10, help="newest that stay (default: 10)"),
            _DRY_RUN,
        ),
    ),
    "sign": (
        _sign,
        "Vouch for a version.",
        (
            _arg("reference", help="name@alias or name/3"),
            _arg("--key", required=True, metavar="FILE.pem", help="Ed25519, private"),
        ),
    ),
    "export": (
        _export,
        "Write versions: an OCI image layout, for MLflow or for Triton.",
        (
            _arg("target", help="new folder, or a file FILE.tar"),
            _arg("references", nargs="*", help="name@alias or name/3 (default: all)"),
            _arg("--format", default="oci", choices=["oci", "mlflow", "triton"]),
        ),
    ),
    "import": (
        _import,
        "Take versions that export wrote.",
        (
            _arg("source", help="folder, or FILE.tar"),
            _arg("--name", help="of the model here (default: as it was)"),
            _arg("--aliases", action="store_true", help="set its aliases too"),
        ),
    ),
}


#: Commands that make a registry where there is none.
_MAKING = ("register", "import")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the commands of ``trimtab registry``.

    Parameters
    ----------
    parser : argparse.ArgumentParser

    Examples
    --------
    >>> parser = argparse.ArgumentParser()
    >>> add_options(parser)
    >>> parser.parse_args(["promote", "digits", "3"]).version
    '3'
    """
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--json",
        action="store_true",
        default=argparse.SUPPRESS,  # it may stand before the command too
        help="write JSON",
    )
    add_registry(common)
    common.add_argument(
        "--trust",
        action="append",
        default=[],
        metavar="KEY",
        help="public key, as 64 digits, that must have signed what is used",
    )
    commands = parser.add_subparsers(dest="action", required=True, metavar="COMMAND")
    for name, (run, text, options) in _COMMANDS.items():
        command = commands.add_parser(
            name, help=text, description=text, parents=[common]
        )
        command.set_defaults(registry_run=run)
        for names, how in options:
            command.add_argument(*names, **how)


def registry(arguments: argparse.Namespace) -> tuple[Any, str, int]:
    """Run a command of ``trimtab registry``.

    Parameters
    ----------
    arguments : argparse.Namespace
        Of `add_options`.

    Returns
    -------
    values : object
        For JSON.
    text : str
        For people.
    status : int
        0; 1 where `verify` finds something.

    Raises
    ------
    InputError
        It is not said which registry.

    Examples
    --------
    >>> registry(arguments)                                # doctest: +SKIP
    ([{'name': 'digits', ...}], 'model ...', 0)
    """
    found = open_registry(
        arguments,
        create=arguments.action in _MAKING,
        trusted_keys=arguments.trust,
    )
    answer: _Answer = arguments.registry_run(found, arguments)
    return answer
