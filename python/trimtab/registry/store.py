"""The folder of a registry: where things lie, blobs by their digest, work under way.

A blob is written in a workspace, hashed on the way, and gets its name only when the
disk holds it. A workspace that is there while nobody holds the store's lock is what a
killed process has left: `trimtab.registry.recover` then puts everything right.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import Any

from trimtab.errors import RegistryError
from trimtab.registry.canonical import MAX_BYTES, digest_of, parse_object
from trimtab.registry.files import (
    MODE,
    entries,
    guarded,
    new_file,
    open_file,
    place,
    read_file,
    real_folder,
    remove,
)
from trimtab.registry.locks import locked
from trimtab.registry.names import digest_hex, is_name

__all__ = ["FORMAT", "MAX_BLOB_BYTES", "Store", "Work", "clear"]

#: Of the layout.
FORMAT = 1
#: Of one artefact.
MAX_BLOB_BYTES = 1 << 40
_HEAD = "registry.json"
_BLOCK = 1 << 20
_FOLDERS = (("blobs", "sha256"), ("manifests", "sha256"), ("models",), ("locks",))


class Work:
    """A workspace: a folder of its own for one change.

    Parameters
    ----------
    path : str
    """

    def __init__(self, path: str) -> None:
        self.path = path
        #: Is something of it visible outside, so that a failure must be put right?
        self.has_begun = False


class Store:
    """What lies where below the root.

    Parameters
    ----------
    root : str
    timeout_s : float
        How long to wait for others who write.

    Raises
    ------
    RegistryError
        It is no registry, or one of another layout.
    """

    def __init__(self, root: str, timeout_s: float = 60.0) -> None:
        self.root = root
        self.timeout_s = timeout_s
        with guarded("opening the registry"):
            head = read_file(os.path.join(root, _HEAD), MAX_BYTES)
        found = parse_object(head, os.path.join(root, _HEAD)).get("format")
        if type(found) is not int or found != FORMAT:
            raise RegistryError(
                f"{root}: a registry of layout {str(found)[:20]}; this trimtab reads "
                f"layout {FORMAT}: install the one that made it, or a newer one"
            )

    @staticmethod
    def create(root: str) -> None:
        """Make an empty registry where there is none.

        Parameters
        ----------
        root : str
            A folder that is empty or not there.

        Raises
        ------
        RegistryError
            It holds something else, or cannot be written to.
        """
        with guarded("making the registry"):
            os.makedirs(root, exist_ok=True)
            head = os.path.join(root, _HEAD)
            if os.path.lexists(head):
                return
            known = {parts[0] for parts in (*_FOLDERS, ("tmp",), ("quarantine",))}
            others = [name for name in entries(root) if name not in known]
            if others and not os.path.lexists(head):
                raise RegistryError(
                    f"{root}: expected a registry or an empty folder, found "
                    f"{others[0]!r}"
                )
            for parts in (*_FOLDERS, ("tmp",), ("quarantine",)):
                real_folder(root, *parts, make=True)
            temporary = os.path.join(root, "tmp", os.urandom(8).hex())
            try:
                new_file(temporary, b'{"format":%d}' % FORMAT)
                place(temporary, head)
            finally:
                remove(temporary)

    # ---- places -----------------------------------------------------------------

    def folder(self, *parts: str, make: bool = False) -> str:
        """Give a folder below the root; see `real_folder`.

        Parameters
        ----------
        *parts : str
        make : bool

        Returns
        -------
        path : str
        """
        return real_folder(self.root, *parts, make=make)

    def blob_path(self, digest: str, *, make: bool = False) -> str:
        """Say where a blob lies, or would lie.

        Parameters
        ----------
        digest : str
        make : bool
            Make its folder.

        Returns
        -------
        path : str
        """
        name = digest_hex(digest)
        return os.path.join(self.folder("blobs", "sha256", name[:2], make=make), name)

    def manifest_path(self, digest: str) -> str:
        """Say where a manifest lies, or would lie.

        Parameters
        ----------
        digest : str

        Returns
        -------
        path : str
        """
        name = f"{digest_hex(digest)}.json"
        return os.path.join(self.folder("manifests", "sha256"), name)

    def lock_path(self, name: str) -> str:
        """Say where the lock of a model lies.

        Parameters
        ----------
        name : str

        Returns
        -------
        path : str
        """
        return os.path.join(self.folder("locks"), f"model.{name}")

    @property
    def store_lock(self) -> str:
        """Where the lock of the store lies."""
        return os.path.join(self.folder("locks"), "store")

    def models(self) -> list[str]:
        """List the names of models.

        Returns
        -------
        names : list of str
        """
        return [name for name in entries(self.folder("models")) if is_name(name)]

    # ---- work -------------------------------------------------------------------

    @contextlib.contextmanager
    def writing(self, name: str) -> Iterator[Work]:
        """Hold the locks that a change of a model needs, and have a workspace.

        Parameters
        ----------
        name : str

        Returns
        -------
        context : context manager of Work
        """
        with self.sharing() as work, self.owning(name):
            yield work

    def owning(self, name: str) -> contextlib.AbstractContextManager[None]:
        """Hold the lock of a model, inside of `sharing` or `alone`.

        Parameters
        ----------
        name : str

        Returns
        -------
        context : context manager
        """
        return locked(self.lock_path(name), self.timeout_s)

    @contextlib.contextmanager
    def sharing(self) -> Iterator[Work]:
        """Keep the collector out, and have a workspace.

        Returns
        -------
        context : context manager of Work
        """
        with (
            locked(self.store_lock, self.timeout_s, is_shared=True),
            self._workspace() as work,
        ):
            yield work

    @contextlib.contextmanager
    def alone(self) -> Iterator[Work]:
        """Keep every writer out, and have a workspace.

        Returns
        -------
        context : context manager of Work
        """
        with locked(self.store_lock, self.timeout_s), self._workspace() as work:
            yield work

    @contextlib.contextmanager
    def _workspace(self) -> Iterator[Work]:
        name = f"{os.getpid()}-{os.urandom(8).hex()}"
        path = os.path.join(self.folder("tmp", make=True), name)
        os.mkdir(path, 0o700)
        work = Work(path)
        try:
            yield work
        except BaseException:
            with contextlib.suppress(OSError):
                clear(path, is_kept=work.has_begun)  # kept: the sign for `recover`
            raise
        clear(path)

    # ---- blobs ------------------------------------------------------------------

    def stage(
        self, work: Work, pieces: Iterable[Any], max_bytes: int
    ) -> tuple[str, str, int]:
        """Write what is to become a blob into a workspace, and hash it.

        Parameters
        ----------
        work : Work
        pieces : iterable of bytes-like
        max_bytes : int

        Returns
        -------
        path : str
            Where it lies until `adopt`.
        digest : str
        n_bytes : int

        Raises
        ------
        RegistryError
            It is larger.
        """
        path = os.path.join(work.path, os.urandom(6).hex())
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        hasher, n_bytes = sha256(), 0
        with open(os.open(path, flags, 0o600), "wb", buffering=0) as file:
            for piece in pieces:
                view = memoryview(piece).cast("B")
                n_bytes += len(view)
                if n_bytes > max_bytes:
                    raise RegistryError(f"more than the expected {max_bytes} bytes")
                hasher.update(view)
                while view:
                    view = view[file.write(view) :]
            os.fchmod(file.fileno(), MODE)
            os.fsync(file.fileno())
        return path, f"sha256:{hasher.hexdigest()}", n_bytes

    def adopt(self, work: Work, path: str, digest: str) -> None:
        """Make a blob of what was staged.

        Parameters
        ----------
        work : Work
        path, digest : str
            Of `stage`.
        """
        work.has_begun = True
        # over one that is there: whatever happened to that, this one is whole
        place(path, self.blob_path(digest, make=True))

    def take_manifest(self, work: Work, data: bytes) -> str:
        """Add a manifest.

        Parameters
        ----------
        work : Work
        data : bytes

        Returns
        -------
        digest : str
        """
        digest = digest_of(data)
        temporary = os.path.join(work.path, os.urandom(6).hex())
        new_file(temporary, data)
        work.has_begun = True
        place(temporary, self.manifest_path(digest))
        return digest

    def read_manifest(self, digest: str) -> bytes:
        """Read a manifest, and compare it with its digest.

        Parameters
        ----------
        digest : str

        Returns
        -------
        data : bytes

        Raises
        ------
        RegistryError
            It is not there, or not what was stored.
        """
        path = self.manifest_path(digest)
        with guarded(f"manifest {digest[:19]}"):
            data = read_file(path, MAX_BYTES)
        if digest_of(data) != digest:
            raise RegistryError(
                f"{path}: the content does not have the digest that it is named by: "
                "it was changed; run `trimtab registry verify`"
            )
        return data

    def check_blob(self, digest: str, n_bytes: int) -> None:
        """Read a blob, and compare it with its digest.

        Parameters
        ----------
        digest : str
        n_bytes : int

        Raises
        ------
        RegistryError
            It is not there, or not what was stored.
        """
        path = self.blob_path(digest)
        hasher = sha256()
        with guarded(f"blob {digest[:19]}"):
            descriptor, found = open_file(path, MAX_BLOB_BYTES)
            with open(descriptor, "rb", buffering=0) as file:
                if found == n_bytes:
                    while block := file.read(_BLOCK):
                        hasher.update(block)
        if found != n_bytes or f"sha256:{hasher.hexdigest()}" != digest:
            raise RegistryError(
                f"{path}: {found} bytes that do not have the digest they are named by "
                f"({n_bytes} bytes): changed or damaged; run `trimtab registry verify`"
            )

    def stored(self) -> Iterator[tuple[str, str]]:
        """Walk over what has a digest as its name.

        Returns
        -------
        places : iterator of (str, str)
            The digest, and the path; of blobs with what lies beside them, of manifests
            with their signatures.
        """
        for name in entries(self.folder("manifests", "sha256")):
            yield (
                f"sha256:{name.split('.')[0]}",
                os.path.join(self.folder("manifests", "sha256"), name),
            )
        for part in entries(self.folder("blobs", "sha256")):
            folder = self.folder("blobs", "sha256", part)
            for name in entries(folder):
                yield f"sha256:{name.split('.')[0]}", os.path.join(folder, name)


def clear(path: str, *, is_kept: bool = False) -> None:
    """Remove a workspace; links are not followed.

    Parameters
    ----------
    path : str
    is_kept : bool
        Remove what it holds alone.

    Examples
    --------
    >>> os.makedirs("a/b")
    >>> clear("a", is_kept=True)
    >>> os.listdir("a")
    []
    """
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            remove(path)
            return
        folders = [path]
        for folder in folders:  # grows: what is below comes behind
            for name in entries(folder):
                inner = os.path.join(folder, name)
                if stat.S_ISDIR(os.lstat(inner).st_mode):
                    folders.append(inner)
                else:
                    remove(inner)
        for folder in reversed(folders[1:] if is_kept else folders):
            os.rmdir(folder)
