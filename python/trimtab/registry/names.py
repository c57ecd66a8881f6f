"""Names of models and aliases, and references such as ``digits@champion``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from trimtab.errors import RegistryError

__all__ = [
    "CHAMPION",
    "Address",
    "check_alias",
    "check_name",
    "digest_hex",
    "is_name",
    "is_version",
    "parse_reference",
]

#: The alias that serves.
CHAMPION = "champion"
#: References that follow from others: what the champion was before, the newest version.
DERIVED = ("previous", "latest")
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]|\.(?!\.)){0,99}", re.ASCII)
_VERSION = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})", re.ASCII)


def is_name(text: object) -> bool:
    """Is it a name: 1 to 100 letters, digits, '_', '-' and single dots?

    Parameters
    ----------
    text : object

    Returns
    -------
    is_name : bool

    Examples
    --------
    >>> is_name("digits.v2"), is_name(".."), is_name("a/b"), is_name("")
    (True, False, False, False)
    """
    return isinstance(text, str) and _NAME.fullmatch(text) is not None


def is_version(text: str) -> bool:
    """Is it the number of a version, as it is written?

    Parameters
    ----------
    text : str

    Returns
    -------
    is_version : bool

    Examples
    --------
    >>> is_version("12"), is_version("012"), is_version("0")
    (True, False, False)
    """
    return _VERSION.fullmatch(text) is not None


def check_name(name: object, what: str = "name") -> str:
    """Check the name of a model.

    Parameters
    ----------
    name : object
    what : str
        For the message.

    Returns
    -------
    name : str

    Raises
    ------
    RegistryError
        It is none.

    Examples
    --------
    >>> check_name("digits")
    'digits'
    """
    if not isinstance(name, str) or not is_name(name):
        raise RegistryError(
            f"{what}: expected 1 to 100 letters, digits, '_', '-' and single '.', the "
            f"first a letter or a digit, got {str(name)[:120]!r}"
        )
    return name


def check_alias(alias: object) -> str:
    """Check the name of an alias that is to be set.

    Parameters
    ----------
    alias : object

    Returns
    -------
    alias : str

    Raises
    ------
    RegistryError
        It is none, a number, or one that follows from others.

    Examples
    --------
    >>> check_alias("challenger")
    'challenger'
    """
    name = check_name(alias, "alias")
    if name in DERIVED:
        raise RegistryError(
            f"alias {name!r} cannot be set: 'previous' is what the champion was before "
            "(see rollback), 'latest' the newest version"
        )
    if name.isdigit():
        raise RegistryError(f"alias {name!r}: expected a name, got a number")
    return name


def digest_hex(digest: object) -> str:
    """Give the 64 digits of ``sha256:...``.

    Parameters
    ----------
    digest : object

    Returns
    -------
    hex : str

    Raises
    ------
    RegistryError
        It is no such digest.

    Examples
    --------
    >>> digest_hex("sha256:" + "0" * 64) == "0" * 64
    True
    """
    match = _DIGEST.fullmatch(digest) if isinstance(digest, str) else None
    if match is None:
        raise RegistryError(
            f"digest: expected 'sha256:' and 64 digits, got {str(digest)[:100]!r}"
        )
    return match[1]


@dataclass(frozen=True)
class Address:
    """Which version of which model.

    Parameters
    ----------
    name : str
    version : int or None
    alias : str or None
        One of the two.
    """

    name: str
    version: int | None
    alias: str | None


def parse_reference(text: object) -> Address:
    """Read a reference.

    Parameters
    ----------
    text : object
        ``name@alias``, ``name/3``, or ``name``, which is ``name@champion``; with or
        without ``models:/`` before it.

    Returns
    -------
    address : Address

    Raises
    ------
    RegistryError
        It is none.

    Examples
    --------
    >>> parse_reference("models:/digits@champion")
    Address(name='digits', version=None, alias='champion')
    >>> parse_reference("digits/3")
    Address(name='digits', version=3, alias=None)
    """
    if not isinstance(text, str):
        raise RegistryError(
            f"reference: expected a text such as 'digits@champion', got "
            f"{type(text).__name__}"
        )
    rest = text.removeprefix("models:/")
    name, at, alias = rest.partition("@")
    if at and is_name(name) and is_name(alias):
        return Address(name, None, alias)
    name, slash, version = rest.partition("/")
    if slash and is_name(name) and is_version(version):
        return Address(name, int(version), None)
    if is_name(rest):
        return Address(rest, None, CHAMPION)
    raise RegistryError(
        f"reference: expected 'name@alias' or 'name/3', got {text[:120]!r}"
    )
