"""Verification: is everything that the registry holds what was put there?

Every artefact is read and compared with its digest. Versions that fail are set aside;
those that were, and are whole again, come back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from trimtab.errors import RegistryError
from trimtab.registry import quarantine
from trimtab.registry.alias import aliases_of, read_alias
from trimtab.registry.journal import JournalRecords, replay
from trimtab.registry.manifest import layer_of, parse_manifest
from trimtab.registry.recover import journal_path, open_journal
from trimtab.registry.sign import check_signatures
from trimtab.registry.store import Store
from trimtab.registry.versions import read_version, versions_of

__all__ = ["Problem", "VerificationReport", "verify_models"]


@dataclass(frozen=True)
class Problem:
    """Something that is not as it was put there.

    Parameters
    ----------
    where : str
        ``name/version``, ``name@alias`` or a name.
    what : str
    """

    where: str
    what: str


@dataclass(frozen=True)
class VerificationReport:
    """What `Registry.verify` found.

    Parameters
    ----------
    n_versions, n_bytes : int
        Versions that were read, and bytes of their artefacts.
    problems : tuple of Problem
    set_aside, released : tuple of str
        Versions that were put into quarantine, and taken out of it.
    """

    n_versions: int
    n_bytes: int
    problems: tuple[Problem, ...]
    set_aside: tuple[str, ...]
    released: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Is all as it was put there?"""
        return not self.problems

    def __str__(self) -> str:
        """Give a line for each problem."""
        lines = [
            f"{self.n_versions} versions, {self.n_bytes} bytes: "
            + ("all as it was registered" if self.ok else "NOT as it was registered")
        ]
        lines += [f"  {problem.where}: {problem.what}" for problem in self.problems]
        lines += [f"  {where}: set aside" for where in self.set_aside]
        lines += [f"  {where}: whole again" for where in self.released]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {"ok": self.ok, **asdict(self)}


class _Verifier:
    """Goes through models, and remembers which artefacts it has read."""

    def __init__(self, store: Store, keys: Sequence[bytes]) -> None:
        self.store = store
        self.keys = keys
        self.problems: list[Problem] = []
        self.n_versions = self.n_bytes = 0
        self._read: dict[tuple[str, int], str | None] = {}

    def version(self, name: str, version: int) -> str | None:
        """What is wrong with a version."""
        self.n_versions += 1
        try:
            digest = read_version(self.store, name, version)
            manifest = parse_manifest(self.store.read_manifest(digest), digest[:19])
            layer = layer_of(manifest)
            check_signatures(self.store, digest, self.keys)
        except RegistryError as error:
            return str(error)
        key = (layer.digest, layer.n_bytes)
        if key not in self._read:
            self.n_bytes += layer.n_bytes
            try:
                self.store.check_blob(*key)
                self._read[key] = None
            except RegistryError as error:
                self._read[key] = str(error)
        return self._read[key]

    def aliases(self, name: str, broken: set[int]) -> None:
        """Do aliases name whole versions, and does the journal say the same?"""
        records = JournalRecords(journal_path(self.store, name))
        try:
            standing = replay(records)
        except RegistryError as error:
            self._add(name, str(error))
            return
        if records.n_damaged:
            self._add(name, f"{records.n_damaged} lines of the journal are damaged")
        there = versions_of(self.store, name)
        for alias_name in aliases_of(self.store, name):
            self._alias(name, alias_name, set(there) - broken, standing.aliases)
        known = {v for v in standing.versions if standing.versions[v]}
        for version in sorted(known - set(there)):
            self._add(f"{name}/{version}", "the journal knows it, it is not there")
        for version in sorted(set(there) - known):
            self._add(f"{name}/{version}", "it is there, the journal does not know it")

    def _alias(
        self, name: str, alias_name: str, whole: set[int], told: dict[str, Any]
    ) -> None:
        where = f"{name}@{alias_name}"
        try:
            alias = read_alias(self.store, name, alias_name)
            if alias is None:
                return
            if alias.version not in whole:
                self._add(where, f"it names version {alias.version}, which is broken")
            elif read_version(self.store, name, alias.version) != alias.digest:
                self._add(where, f"version {alias.version} has another digest")
        except RegistryError as error:
            self._add(where, str(error))
            return
        record = told.get(alias_name, {})
        if (record.get("seq"), record.get("digest")) != (
            alias.generation,
            alias.digest,
        ):
            self._add(where, "the journal tells something else of it")

    def _add(self, where: str, what: str) -> None:
        self.problems.append(Problem(where, what))


def verify_models(
    store: Store,
    names: Sequence[str],
    now: float,
    *,
    is_changing: bool,
    by: str,
    keys: Sequence[bytes] = (),
) -> VerificationReport:
    """Verify models.

    Parameters
    ----------
    store : Store
    names : sequence of str
    now : float
        Seconds since 1970.
    is_changing : bool
        Set aside what is broken, release what is whole again.
    by : str
        Who does it.
    keys : sequence of bytes
        Public keys, one of which must have signed each version; none: whoever.

    Returns
    -------
    report : VerificationReport

    Examples
    --------
    >>> verify_models(store, ["digits"], time.time(), is_changing=False, by="ann").ok
    ... # doctest: +SKIP
    True
    """
    verifier = _Verifier(store, keys)
    aside: list[str] = []
    released: list[str] = []
    for name in names:
        before = quarantine.quarantined(store, name)
        wrong = {}
        for version in versions_of(store, name):
            reason = verifier.version(name, version)
            if reason is not None:
                wrong[version] = reason
                verifier.problems.append(Problem(f"{name}/{version}", reason))
        verifier.aliases(name, set(wrong))
        if not is_changing:
            continue
        there = set(versions_of(store, name))
        whole = sorted((before & there) - set(wrong))
        if whole or set(wrong) - before:
            _change(store, name, now, wrong, before, whole, by)
        aside += [f"{name}/{version}" for version in sorted(set(wrong) - before)]
        released += [f"{name}/{version}" for version in whole]
    return VerificationReport(
        verifier.n_versions,
        verifier.n_bytes,
        tuple(verifier.problems),
        tuple(aside),
        tuple(released),
    )


def _change(
    store: Store,
    name: str,
    now: float,
    wrong: dict[int, str],
    before: set[int],
    whole: list[int],
    by: str,
) -> None:
    with store.writing(name) as work, open_journal(store, name, now) as journal:
        there = set(versions_of(store, name))
        for version in sorted((set(wrong) - before) & there):
            fields = {"version": version, "reason": wrong[version], "by": by}
            journal.append(now, "quarantine", 0, fields)
            quarantine.set_aside(store, name, work, version, wrong[version])
        for version in whole:
            journal.append(now, "release", 0, {"version": version, "by": by})
            quarantine.release(store, name, version)
