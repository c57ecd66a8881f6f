"""A version of a model, as the registry gives it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from trimtab.registry.manifest import Layer, layer_of
from trimtab.registry.store import Store

if TYPE_CHECKING:
    from trimtab.model import Model

__all__ = ["ModelVersion"]


@dataclass(frozen=True)
class ModelVersion:
    """A model that never changes, with where it comes from and how good it was.

    Parameters
    ----------
    name : str
    version : int
    digest : str
        Of its manifest: what it is, wherever it is.
    manifest : mapping
        All that is known of it.
    store : Store
        Where it lies.

    Examples
    --------
    >>> champion = registry.get("digits@champion")         # doctest: +SKIP
    >>> champion.version, champion.by, champion.reason     # doctest: +SKIP
    (3, 'ann@host', 'more rotated digits')
    >>> model = champion.load()                            # doctest: +SKIP
    """

    name: str
    version: int
    digest: str
    manifest: Mapping[str, Any] = field(repr=False, compare=False)
    store: Store = field(repr=False, compare=False)

    def __str__(self) -> str:
        """As a reference: ``digits/3``."""
        return f"{self.name}/{self.version}"

    def __getstate__(self) -> dict[str, Any]:
        """Everything; `store` is a path."""
        return dict(self.__dict__)

    @property
    def _ours(self) -> Mapping[str, Any]:
        ours: Mapping[str, Any] = self.manifest["trimtab"]
        return ours

    @property
    def layer(self) -> Layer:
        """Digest and size of its artefact."""
        return layer_of(self.manifest)

    @property
    def path(self) -> str:
        """Where its artefact lies, for reading only."""
        return self.store.blob_path(self.layer.digest)

    @property
    def created(self) -> str:
        """When it was registered (ISO 8601)."""
        return str(self._ours["created"])

    @property
    def by(self) -> str:
        """Who registered it."""
        return str(self._ours["by"])

    @property
    def reason(self) -> str:
        """Why."""
        return str(self._ours["reason"])

    @property
    def parent(self) -> str | None:
        """Digest of the version that it was made of."""
        parent: str | None = self._ours["parent"]
        return parent

    @property
    def data_fingerprint(self) -> str | None:
        """Of the data that it learned from."""
        fingerprint: str | None = self._ours["data_fingerprint"]
        return fingerprint

    @property
    def metrics(self) -> dict[str, Any]:
        """How good it was when it was registered."""
        return dict(self._ours["metrics"])

    @property
    def metadata(self) -> dict[str, str]:
        """What else was said of it."""
        return dict(self._ours["metadata"])

    @property
    def engine(self) -> dict[str, str]:
        """What computed where it was registered: versions, processor."""
        return dict(self._ours["engine"])

    @property
    def signature(self) -> dict[str, Any]:
        """Its inputs and outputs: name, dtype and shape of each."""
        return dict(self._ours["artefact"]["signature"])

    def load(self, *, check: bool = True, **options: Any) -> Model:
        """Load the model.

        Parameters
        ----------
        check : bool, default=True
            Compare the artefact with its digest first, which reads all of it.
        **options : object
            Of `trimtab.load_model`; its cache, which no digest covers, is off by
            default.

        Returns
        -------
        model : Model

        Raises
        ------
        RegistryError
            The artefact is not there, or not what was registered.

        Examples
        --------
        >>> registry.get("digits/3").load(threads=1)       # doctest: +SKIP
        """
        from trimtab.load import load_model
        from trimtab.registry.files import guarded

        if check:
            self.store.check_blob(self.layer.digest, self.layer.n_bytes)
        with guarded(str(self)):
            return load_model(self.path, **{"cache": False, **options})

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {
            "name": self.name,
            "version": self.version,
            "digest": self.digest,
            "artefact": {
                "digest": self.layer.digest,
                "n_bytes": self.layer.n_bytes,
                "path": self.path,
                **{k: v for k, v in self._ours["artefact"].items()},
            },
            **{
                key: self._ours[key]
                for key in (
                    "created",
                    "by",
                    "reason",
                    "parent",
                    "data_fingerprint",
                    "metrics",
                    "metadata",
                    "engine",
                )
            },
        }
