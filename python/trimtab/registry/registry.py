"""The registry: a folder of models, versions and aliases; no server, no database."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from trimtab.errors import InputError
from trimtab.registry.collect import Collected, collect
from trimtab.registry.files import guarded
from trimtab.registry.manifest import parse_manifest, who
from trimtab.registry.names import check_name, parse_reference
from trimtab.registry.naming import ANY, Namer
from trimtab.registry.publish import publish
from trimtab.registry.recover import open_journal
from trimtab.registry.sign import sign_digest
from trimtab.registry.verify import VerificationReport, verify_models
from trimtab.registry.version import ModelVersion
from trimtab.registry.versions import read_version

if TYPE_CHECKING:
    from trimtab.model import Model

__all__ = ["ANY", "Registry"]


class Registry(Namer):
    """Models by name, version and alias, in a folder.

    Any number of processes may read and write it. Files are named by their content and
    never change; an alias changes as a whole. A process that is killed at any instant
    leaves the old state or the new one; what it has left lying is removed when the
    registry is opened next.

    Parameters
    ----------
    path : path
        A folder.
    create : bool, default=True
        Make it where it is not there; otherwise that is an error.
    trusted_keys : sequence, optional
        Ed25519 public keys (PEM, 64 hexadecimal digits, 32 bytes or objects of
        `cryptography`). Versions that none of them has signed are not given.
    timeout_s : float
        How long a change waits for those of others.
    clock : callable
        Seconds since 1970.

    Raises
    ------
    RegistryError
        The folder holds something else, or cannot be made.

    Examples
    --------
    >>> registry = Registry("models")
    >>> registry.names()
    []
    >>> registry.register("digits", "m.safetensors", reason="first")  # doctest: +SKIP
    ModelVersion(name='digits', version=1, digest='sha256:...')
    >>> registry.promote("digits", 1, reason="the first one")  # doctest: +SKIP
    >>> model = registry.get("digits@champion").load()     # doctest: +SKIP
    """

    def register(
        self,
        name: str,
        model: Model | str | os.PathLike[str],
        *,
        parent: str | ModelVersion | None = None,
        data_fingerprint: str | None = None,
        metrics: Any = None,
        metadata: Mapping[str, str] | None = None,
        reason: str = "",
        by: str | None = None,
    ) -> ModelVersion:
        """Add a version of a model.

        Parameters
        ----------
        name : str
        model : Model or path
            A model, or a file of `Model.save`.
        parent : str or ModelVersion, optional
            What it was made of.
        data_fingerprint : str, optional
            Of the data that it learned from; see `trimtab.registry.fingerprint`.
        metrics : mapping or report, optional
            Plain values; or what has `to_dict`, as an `EvaluationReport`.
        metadata : mapping of str to str, optional
        reason : str
            Why it was made.
        by : str, optional
            Who made it; user and host by default.

        Returns
        -------
        version : ModelVersion

        Raises
        ------
        RegistryError
            It is no artefact, or cannot be stored; nothing has changed.
        """
        check_name(name)
        lineage = None if parent is None else self.get(parent).digest
        with self._changing(f"registering {name}"):
            number = publish(
                self.store,
                name,
                model,
                self._clock(),
                parent=lineage,
                data_fingerprint=data_fingerprint,
                metrics=metrics,
                metadata=dict(metadata or {}),
                reason=reason,
                by=by or who(),
            )
            data = self.store.read_manifest(read_version(self.store, name, number))
        digest = read_version(self.store, name, number)
        return ModelVersion(
            name, number, digest, parse_manifest(data, str(number)), self.store
        )

    def sign(self, reference: str | ModelVersion, key: Any) -> str:
        """Vouch for a version.

        Parameters
        ----------
        reference : str or ModelVersion
        key : object
            Ed25519 private key: PEM, 32 bytes, or an object of `cryptography`.

        Returns
        -------
        public_key : str
            64 hexadecimal digits, for `trusted_keys`.

        Raises
        ------
        RegistryError
            There is no such version, or the key is none.
        ImportError
            Without `cryptography`.
        """
        wanted = parse_reference(str(reference))
        name = wanted.name
        with (
            self._changing(f"signing {reference}"),
            self.store.writing(name) as work,
            open_journal(self.store, name, self._clock()) as journal,
        ):
            number = wanted.version or self._aliased(name, str(wanted.alias))
            digest = read_version(self.store, name, number)
            parse_manifest(self.store.read_manifest(digest), str(reference))
            public = sign_digest(self.store, work, digest, key)
            fields = {"version": number, "public_key": public, "by": who()}
            journal.append(self._clock(), "sign", 0, fields)
        return public

    def verify(
        self, name: str | None = None, *, quarantine: bool = True
    ) -> VerificationReport:
        """Compare every version with its digests; set aside what is broken.

        Parameters
        ----------
        name : str, optional
            All models by default.
        quarantine : bool, default=True
            Set aside what is broken, and let go what is whole again. False: only tell.

        Returns
        -------
        report : VerificationReport
        """
        names = self.names() if name is None else [check_name(name)]
        with self._changing("verifying"):
            return verify_models(
                self.store,
                names,
                self._clock(),
                is_changing=quarantine,
                by=who(),
                keys=self._keys,
            )

    def gc(self, *, keep: int = 10, dry_run: bool = False) -> Collected:
        """Remove old versions, and files that nothing refers to.

        What an alias names, and what it would go back to, stays; so does the newest
        version of each model, so that no number is given twice.

        Parameters
        ----------
        keep : int, default=10
            Newest versions of each model that stay.
        dry_run : bool
            Only tell.

        Returns
        -------
        collected : Collected

        Raises
        ------
        InputError
            `keep` is negative.
        """
        if keep < 0:
            raise InputError(f"keep: expected 0 or more, got {keep}")
        with self._changing("collecting"):
            return collect(
                self.store, self._clock(), keep=keep, is_dry=dry_run, by=who()
            )

    # ---- exchange ---------------------------------------------------------------

    def export(
        self,
        target: str | os.PathLike[str],
        *references: str | ModelVersion,
        format: str = "oci",
    ) -> list[ModelVersion]:
        """Write versions for others to read.

        Parameters
        ----------
        target : path
            A folder that is empty or not there; for "oci" with a name that ends with
            ``.tar`` a file.
        *references : str or ModelVersion
            All versions of all models by default; "mlflow" takes one.
        format : {"oci", "mlflow", "triton"}
            An OCI image layout, which `import_` reads; a model of MLflow; a model
            repository of Triton.

        Returns
        -------
        versions : list of ModelVersion
            What was written.

        Raises
        ------
        InputError
            The format is not known, or cannot hold these versions.
        RegistryError
            The target is there, or cannot be written.
        """
        from trimtab.registry.export import EXPORTERS

        if format not in EXPORTERS:
            raise InputError(f"format: expected one of {[*EXPORTERS]}, got {format!r}")
        everything = [f"{n}/{v}" for n in self.names() for v in self.versions(n)]
        versions = [self.get(reference) for reference in references or everything]
        with guarded(f"exporting to {os.fspath(target)}"):
            EXPORTERS[format](self, os.path.abspath(os.fsdecode(target)), versions)
        return versions

    def import_(
        self,
        source: str | os.PathLike[str],
        *,
        name: str | None = None,
        aliases: bool = False,
        by: str | None = None,
    ) -> list[ModelVersion]:
        """Take versions that `export` wrote; every byte is compared with its digest.

        Parameters
        ----------
        source : path
            An OCI image layout: a folder, or a ``.tar`` file without compression.
        name : str, optional
            Name of the model here; by default as it was.
        aliases : bool
            Set the aliases that it tells of too.
        by : str, optional
            Who does it.

        Returns
        -------
        versions : list of ModelVersion
            As they are here: a number that is taken, or smaller than others, is not
            kept; a version that is there already is not added again.

        Raises
        ------
        RegistryError
            It is no such layout, or incomplete: nothing is added. Or an artefact does
            not have its digest: versions before it are added.
        """
        from trimtab.registry.oci import import_layout

        with self._changing(f"importing {os.fspath(source)}"):
            found = import_layout(
                self.store,
                os.path.abspath(os.fsdecode(source)),
                self._clock(),
                name=None if name is None else check_name(name),
                by=by or who(),
            )
        versions = []
        for item in found:
            versions.append(self._stored(item.name, item.version))
            for alias in item.aliases if aliases else ():
                self.set_alias(item.name, alias, item.version, reason="imported", by=by)
        return versions
