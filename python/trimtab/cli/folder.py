"""``--registry``: which folder, and opening it."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from trimtab.errors import InputError

if TYPE_CHECKING:
    from trimtab.registry.registry import Registry

__all__ = ["add_registry", "open_registry", "registry_folder"]

_VARIABLE = "TRIMTAB_REGISTRY"


def add_registry(parser: argparse.ArgumentParser, more: str = "") -> None:
    """Add the option ``--registry``.

    Parameters
    ----------
    parser : argparse.ArgumentParser
    more : str
        To say of the folder.

    Examples
    --------
    >>> parser = argparse.ArgumentParser()
    >>> add_registry(parser)
    >>> parser.parse_args(["--registry", "models"]).registry
    'models'
    """
    parser.add_argument(
        "--registry",
        metavar="FOLDER",
        default=os.environ.get(_VARIABLE),
        help=f"folder of the registry{more} (default: ${_VARIABLE})",
    )


def registry_folder(arguments: argparse.Namespace) -> str:
    """Give the folder that was named.

    Parameters
    ----------
    arguments : argparse.Namespace
        Of `add_registry`.

    Returns
    -------
    folder : str

    Raises
    ------
    InputError
        None was.

    Examples
    --------
    >>> registry_folder(argparse.Namespace(registry="models"))
    'models'
    """
    if not arguments.registry:
        raise InputError(
            f"which registry? give --registry FOLDER, or set {_VARIABLE} to it"
        )
    return str(arguments.registry)


def open_registry(
    arguments: argparse.Namespace,
    *,
    create: bool = False,
    trusted_keys: Sequence[str] = (),
) -> Registry:
    """Open the registry that was named.

    Parameters
    ----------
    arguments : argparse.Namespace
        Of `add_registry`.
    create : bool, default=False
        Make the folder where there is none.
    trusted_keys : sequence of str
        As `Registry` takes them.

    Returns
    -------
    registry : Registry

    Raises
    ------
    InputError
        None was named.

    Examples
    --------
    >>> open_registry(arguments)                           # doctest: +SKIP
    """
    from trimtab.registry.registry import Registry

    folder = registry_folder(arguments)
    return Registry(folder, create=create, trusted_keys=trusted_keys)
