"""Naming versions: aliases are set, taken back and removed, by compare-and-swap."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trimtab.errors import RegistryConflict, RegistryError
from trimtab.registry.alias import (
    N_BEFORE,
    Alias,
    prepare_alias,
    read_alias,
    remove_alias,
    write_alias,
)
from trimtab.registry.collect import usable_before
from trimtab.registry.history import iso_time
from trimtab.registry.journal import Journal, JournalRecords, replay
from trimtab.registry.manifest import who
from trimtab.registry.names import (
    CHAMPION,
    check_alias,
    check_name,
    parse_reference,
)
from trimtab.registry.reading import Reader
from trimtab.registry.recover import journal_path, open_journal
from trimtab.registry.store import Work
from trimtab.registry.version import ModelVersion

__all__ = ["ANY", "Namer"]

#: Whatever an alias names at the moment.
ANY = "any"


class Namer(Reader):
    """The part of `trimtab.Registry` that changes aliases."""

    def set_alias(
        self,
        name: str,
        alias: str,
        version: int | str | ModelVersion,
        *,
        expected: int | Alias | str | None = ANY,
        reason: str = "",
        by: str | None = None,
    ) -> Alias:
        """Let an alias name a version, in one instant for all readers.

        Parameters
        ----------
        name, alias : str
        version : int, str or ModelVersion
        expected : int, Alias, None or "any"
            What it must name now: a version; an alias as it was read, whose generation
            must be the same; None: it must not be there.
        reason : str
            Why.
        by : str, optional
            Who; user and host by default.

        Returns
        -------
        alias : Alias
            As it is now.

        Raises
        ------
        RegistryConflict
            It is not what was expected.
        RegistryError
            There is no such version, or it cannot be written; nothing has changed.
        """
        check_name(name), check_alias(alias)
        wanted = _of_model(name, version)

        def change(now: Alias | None) -> tuple[int, list[tuple[int, str]]]:
            _compare(f"{name}@{alias}", now, expected)
            number = wanted
            if number is None:
                number = self.get(str(version)).version
            return number, _pushed(now, number)

        return self._set(name, alias, change, reason, by)

    def promote(
        self,
        name: str,
        version: int | str | ModelVersion,
        *,
        expected: int | Alias | str | None = ANY,
        reason: str = "",
        by: str | None = None,
    ) -> Alias:
        """Make a version the champion; `rollback` takes it back.

        Parameters
        ----------
        name : str
        version : int, str or ModelVersion
        expected, reason, by
            As `set_alias` takes them.

        Returns
        -------
        alias : Alias
        """
        return self.set_alias(
            name, CHAMPION, version, expected=expected, reason=reason, by=by
        )

    def rollback(
        self,
        name: str,
        *,
        alias: str = CHAMPION,
        expected: int | Alias | str | None = ANY,
        reason: str = "",
        by: str | None = None,
    ) -> Alias:
        """Let an alias name what it named before; again: what it named before that.

        Parameters
        ----------
        name : str
        alias : str
        expected, reason, by
            As `set_alias` takes them.

        Returns
        -------
        alias : Alias
            As it is now; versions that are gone or set aside are passed over.

        Raises
        ------
        RegistryConflict
            It is not what was expected.
        RegistryError
            It has named nothing before that is still there.
        """
        check_name(name), check_alias(alias)

        def change(now: Alias | None) -> tuple[int, list[tuple[int, str]]]:
            _compare(f"{name}@{alias}", now, expected)
            back = None if now is None else usable_before(self.store, name, now)
            if now is None or back is None:
                raise RegistryError(
                    f"{name}@{alias} has named nothing before that is still there: set "
                    "it to a version (`trimtab registry promote`)"
                )
            return now.before[back][0], list(now.before[back + 1 :])

        return self._set(name, alias, change, reason, by)

    def _set(
        self,
        name: str,
        alias: str,
        change: Callable[[Alias | None], tuple[int, list[tuple[int, str]]]],
        reason: str,
        by: str | None,
    ) -> Alias:
        """Change an alias under the model's lock: file, journal, name."""
        _check_texts(reason=reason, by=by or "")
        where = f"setting {name}@{alias}"
        if name not in self.names():
            raise RegistryError(f"there is no model {name!r} (`trimtab registry list`)")
        with self._changing(where), self.store.writing(name) as work:
            now_s = self._clock()
            with open_journal(self.store, name, now_s) as journal:
                now = self._current(name, alias)
                number, before = change(now)
                wanted = Alias(
                    alias,
                    number,
                    self._version(name, number).digest,
                    max(journal.next_seq, 0 if now is None else now.generation + 1),
                    by or who(),
                    iso_time(now_s),
                    reason,
                    tuple(before[:N_BEFORE]),
                )
                prepare_alias(self.store, name, work, wanted)
                self._journal_alias(journal, now_s, work, wanted)
                write_alias(self.store, name, work, wanted)
        return wanted

    @staticmethod
    def _journal_alias(journal: Journal, now_s: float, work: Work, to: Alias) -> None:
        work.has_begun = True
        fields = to.to_dict()
        journal.append(now_s, "alias", fields.pop("generation"), fields)

    def _current(self, name: str, alias: str) -> Alias | None:
        """What an alias says; by the journal, where its file is damaged."""
        try:
            return read_alias(self.store, name, alias)
        except RegistryError:
            path = journal_path(self.store, name)
            record = replay(JournalRecords(path)).aliases.get(alias)
            if record is None:
                raise
            plain = {**record, "generation": record["seq"]}
            return Alias.from_dict(plain, path)

    def remove_alias(
        self,
        name: str,
        alias: str,
        *,
        expected: int | Alias | str | None = ANY,
        reason: str = "",
        by: str | None = None,
    ) -> None:
        """Remove an alias.

        Parameters
        ----------
        name, alias : str
        expected, reason, by
            As `set_alias` takes them.

        Raises
        ------
        RegistryConflict
            It is not what was expected.
        RegistryError
            There is none.
        """
        check_name(name), check_alias(alias)
        _check_texts(reason=reason, by=by or "")
        with (
            self._changing(f"removing {name}@{alias}"),
            self.store.writing(name) as work,
            open_journal(self.store, name, self._clock()) as journal,
        ):
            now = self._current(name, alias)
            _compare(f"{name}@{alias}", now, expected)
            if now is None:
                raise RegistryError(f"there is no alias {name}@{alias}")
            work.has_begun = True
            fields = {"alias": alias, "by": by or who(), "reason": reason}
            journal.append(self._clock(), "remove_alias", now.generation + 1, fields)
            remove_alias(self.store, name, alias)


def _of_model(name: str, version: int | str | ModelVersion) -> int | None:
    """The number of a version of this model; None where it is an alias's."""
    if isinstance(version, bool) or not isinstance(version, (int, str, ModelVersion)):
        raise RegistryError(
            f"version: expected a number or a reference, got {type(version).__name__}"
        )
    if isinstance(version, int):
        if version < 1:
            raise RegistryError(f"version: expected 1 or more, got {version}")
        return version
    wanted = parse_reference(str(version))
    if wanted.name != name:
        raise RegistryError(f"version: expected one of {name!r}, got {version}")
    return wanted.version


def _compare(where: str, now: Alias | None, expected: Any) -> None:
    """Is it what the caller thinks?"""
    if isinstance(expected, str) and expected == ANY:
        return
    if isinstance(expected, Alias):
        fits = now is not None and now.generation == expected.generation
        wanted = f"version {expected.version} of generation {expected.generation}"
    else:
        fits = (None if now is None else now.version) == expected
        wanted = "no alias" if expected is None else f"version {expected}"
    if not fits:
        found = (
            "it is not there"
            if now is None
            else f"it names version {now.version} (generation {now.generation}, by "
            f"{now.by} at {now.at}: {now.reason or 'no reason given'})"
        )
        raise RegistryConflict(
            f"{where}: expected {wanted}, but {found}; look again, and decide anew"
        )


def _pushed(now: Alias | None, number: int) -> list[tuple[int, str]]:
    """What an alias has named before, once it names a version."""
    if now is None:
        return []
    if now.version == number:
        return list(now.before)
    return [(now.version, now.digest), *now.before]


def _check_texts(**texts: str) -> None:
    for what, text in texts.items():
        if not isinstance(text, str) or len(text) > 4096:
            raise RegistryError(f"{what}: expected a text of at most 4096 characters")
