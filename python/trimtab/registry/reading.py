"""Reading a registry: what there is, what an alias names, what happened.

No lock is taken: what is read is whole at every instant.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from trimtab.errors import RegistryConflict, RegistryError
from trimtab.registry import quarantine
from trimtab.registry.alias import Alias, AliasWatch, aliases_of, read_alias
from trimtab.registry.collect import usable_before
from trimtab.registry.files import guarded
from trimtab.registry.history import Event, VersionDiff, diff_versions, events_of
from trimtab.registry.manifest import parse_manifest
from trimtab.registry.names import (
    CHAMPION,
    check_alias,
    check_name,
    parse_reference,
)
from trimtab.registry.recover import recover
from trimtab.registry.sign import check_signatures, public_bytes
from trimtab.registry.store import Store
from trimtab.registry.version import ModelVersion
from trimtab.registry.versions import read_version, versions_of

__all__ = ["Reader"]


class Reader:
    """The part of `trimtab.Registry` that changes nothing.

    Parameters
    ----------
    path, create, trusted_keys, timeout_s, clock
        As `Registry` takes them.

    Raises
    ------
    RegistryError
        The folder holds something else, or cannot be made.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        create: bool = True,
        trusted_keys: Sequence[Any] = (),
        timeout_s: float = 60.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.path = os.path.abspath(os.fsdecode(path))
        self._clock = clock
        self._keys = [public_bytes(key) for key in trusted_keys]
        if create and not os.path.lexists(os.path.join(self.path, "registry.json")):
            Store.create(self.path)
        #: Where things lie.
        self.store = Store(self.path, timeout_s)
        self._recover()

    def __repr__(self) -> str:
        """Give the path."""
        return f"Registry({self.path!r})"

    def _recover(self) -> None:
        """Put right what was killed; a registry that cannot be written to is read."""
        with contextlib.suppress(OSError, RegistryConflict):
            recover(self.store, self._clock())

    @contextlib.contextmanager
    def _changing(self, what: str) -> Iterator[None]:
        """Errors of the system become ours, and what was begun is put right."""
        try:
            with guarded(what):
                yield
        except BaseException:
            with contextlib.suppress(RegistryError):
                self._recover()
            raise

    def names(self) -> list[str]:
        """List the models.

        Returns
        -------
        names : list of str
        """
        with guarded("listing models"):  # a folder alone is what a killed process left
            names = self.store.models()
            return [name for name in names if versions_of(self.store, name)]

    def versions(self, name: str) -> list[int]:
        """List the versions of a model.

        Parameters
        ----------
        name : str

        Returns
        -------
        versions : list of int
            Ascending; those in quarantine are among them.
        """
        with guarded(f"versions of {name}"):
            return versions_of(self.store, check_name(name))

    def aliases(self, name: str) -> dict[str, Alias]:
        """Read the aliases of a model.

        Parameters
        ----------
        name : str

        Returns
        -------
        aliases : dict of str to Alias
        """
        with guarded(f"aliases of {name}"):
            names = aliases_of(self.store, check_name(name))
            found = {alias: read_alias(self.store, name, alias) for alias in names}
        return {alias: value for alias, value in found.items() if value is not None}

    def alias(self, name: str, alias: str = CHAMPION) -> Alias | None:
        """Read an alias.

        Parameters
        ----------
        name, alias : str

        Returns
        -------
        alias : Alias or None
            None where there is none.
        """
        with guarded(f"alias {name}@{alias}"):
            return read_alias(self.store, check_name(name), check_name(alias, "alias"))

    def get(self, reference: str | ModelVersion) -> ModelVersion:
        """Give a version.

        Parameters
        ----------
        reference : str
            ``name@alias``, ``name/3``, or ``name`` for ``name@champion``; ``previous``
            is what `rollback` goes back to, ``latest`` the newest version.

        Returns
        -------
        version : ModelVersion
            Its manifest has the digest that it is named by; its artefact is compared
            with its own when it is loaded.

        Raises
        ------
        RegistryError
            There is none, it is broken, set aside, or signed by none of the trusted.
        """
        if isinstance(reference, ModelVersion):
            reference = str(reference)
        wanted = parse_reference(reference)
        with guarded(reference):
            number = wanted.version
            if number is None:
                number = self._aliased(wanted.name, str(wanted.alias))
            return self._version(wanted.name, number)

    def _version(self, name: str, number: int) -> ModelVersion:
        reason = quarantine.why(self.store, name, number)
        if reason is not None:
            raise RegistryError(
                f"{name}/{number} is set aside: {reason}. Roll back (`trimtab registry "
                "rollback`), or register it again and run `trimtab registry verify`"
            )
        return self._stored(name, number)

    def _stored(self, name: str, number: int) -> ModelVersion:
        digest = read_version(self.store, name, number)
        data = self.store.read_manifest(digest)
        manifest = parse_manifest(data, f"{name}/{number}")
        check_signatures(self.store, digest, self._keys)
        return ModelVersion(name, number, digest, manifest, self.store)

    def _aliased(self, name: str, alias: str) -> int:
        """The version that an alias names."""
        if alias == "latest":
            aside = quarantine.quarantined(self.store, name)
            whole = [n for n in versions_of(self.store, name) if n not in aside]
            if not whole:
                raise RegistryError(f"{name}@latest: there is no version of {name!r}")
            return whole[-1]
        base = CHAMPION if alias == "previous" else alias
        found = read_alias(self.store, name, base)
        if found is None:
            there = ", ".join(aliases_of(self.store, name)) or "none"
            raise RegistryError(
                f"{name}@{alias}: there is no alias {base!r} of {name!r}; it has "
                f"{there} (`trimtab registry list`)"
            )
        if alias != "previous":
            return found.version
        back = usable_before(self.store, name, found)
        if back is None:
            raise RegistryError(f"{name}@previous: {base!r} has named nothing before")
        return found.before[back][0]

    def watch(self, reference: str) -> AliasWatch:
        """Watch an alias: a look costs one stat.

        Parameters
        ----------
        reference : str
            ``name@alias``.

        Returns
        -------
        watch : AliasWatch

        Raises
        ------
        RegistryError
            It is a version, which never changes.
        """
        wanted = parse_reference(reference)
        if wanted.alias is None:
            raise RegistryError(f"watch: expected name@alias, got {reference!r}")
        return AliasWatch(self.store, wanted.name, check_alias(wanted.alias))

    def history(self, name: str) -> list[Event]:
        """Read what happened to a model.

        Parameters
        ----------
        name : str

        Returns
        -------
        events : list of Event
            In order.
        """
        with guarded(f"history of {name}"):
            return events_of(self.store, check_name(name))

    def diff(
        self, before: str | ModelVersion, after: str | ModelVersion
    ) -> VersionDiff:
        """Compare two versions: what is said of them, and which tensors differ.

        Parameters
        ----------
        before, after : str

        Returns
        -------
        diff : VersionDiff
        """
        return diff_versions(self.get(before), self.get(after))
