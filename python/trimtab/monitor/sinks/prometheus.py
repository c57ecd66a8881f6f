"""The sink of Prometheus: a page of metrics, served or given to a server.

Enters: records, and functions that read counters. Leaves: text of Prometheus 0.0.4 or
OpenMetrics 1.0, when it is asked for; nothing is done per request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from trimtab.errors import InputError
from trimtab.monitor.sinks.endpoint import Endpoint
from trimtab.monitor.sinks.exposition import OPENMETRICS, content_type, expose
from trimtab.monitor.sinks.families import families, triton_families
from trimtab.monitor.sinks.family import Family, merge
from trimtab.monitor.sinks.latest import Latest
from trimtab.monitor.sinks.sink import plain_record

__all__ = ["Prometheus"]

_HEADERS = "Content-Type", "Content-Length"

# What one sink may be attached to.
_MAX_SOURCES = 256


class Prometheus:
    """Serve metrics for scrapers.

    Parameters
    ----------
    host : str
        Whose address to listen on; "0.0.0.0" for every one of this machine.
    port : int or None
        0 takes a free one. None serves nothing: mount `wsgi` or `asgi` into a server
        that is there. While another worker of the service holds the port, this one
        stands by and takes over when it ends.
    path : str
    compat : {None, "triton"}
        Give the counters under the names of the Triton server too.

    Raises
    ------
    InputError
        A port, path or `compat` that is none, or an address that cannot be had.

    Examples
    --------
    >>> sink = Prometheus(port=None)
    >>> sink.attach(lambda: {"model": "net", "n_rows": 3})
    >>> print(sink.page()[1].decode().splitlines()[-1])
    trimtab_inference_samples_total{model="net"} 3
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int | None = 9464,
        *,
        path: str = "/metrics",
        compat: str | None = None,
    ) -> None:
        if port is not None and not 0 <= port <= 65535:
            raise InputError(f"prometheus: expected a port from 0 to 65535, got {port}")
        if compat not in (None, "triton") or not path.startswith("/"):
            raise InputError(
                "prometheus: expected compat None or 'triton' and a path such as "
                f"'/metrics', got {compat!r} and {path!r}"
            )
        self._has_aliases = compat is not None
        self._latest = Latest()
        self._sources: list[Callable[[], Mapping[str, Any]]] = []
        self._n_users = 0
        self._is_closed = False
        #: Sources whose counters could not be read.
        self.n_failures = 0
        self._endpoint: Endpoint | None = None
        if port is not None:
            self._endpoint = Endpoint(host, port, path, self.page)
            try:
                self._endpoint.start()
            except OSError as error:
                raise InputError(
                    f"prometheus: cannot listen on {host}:{port}: {error}; give "
                    "another address"
                ) from error

    @classmethod
    def from_text(cls, text: str) -> Prometheus:
        """Make the sink of "prometheus:host:port".

        Parameters
        ----------
        text : str
            ``host:port``; the host may be left out, so may both.

        Returns
        -------
        sink : Prometheus

        Raises
        ------
        InputError
            There is no number behind the last colon.
        """
        host, _, port = text.rpartition(":")
        if not (port or "9464").isascii() or not (port or "9464").isdigit():
            raise InputError(
                f"prometheus: expected a text such as prometheus::9464, got {text!r}"
            )
        return cls(host.strip("[]") or "127.0.0.1", int(port or 9464))

    def attach(self, snapshot: Callable[[], Mapping[str, Any]]) -> None:
        """Read these counters too when asked; they are told apart by "model".

        Parameters
        ----------
        snapshot : callable

        Raises
        ------
        InputError
            It is attached to 256 already.
        """
        alive = [s for s in self._sources if getattr(s, "is_alive", True)]
        if len(alive) >= _MAX_SOURCES:
            raise InputError(f"prometheus: expected at most {_MAX_SOURCES} sources")
        self._sources = [*alive, snapshot]
        self._n_users += 1
        self._is_closed = False
        self._start()

    def write(self, record: Mapping[str, Any]) -> None:
        """Keep what the record says until the next one.

        Parameters
        ----------
        record : mapping
        """
        self._latest.write(plain_record(record))
        self._start()  # a forked child serves nothing yet

    def _start(self) -> None:
        if self._endpoint is not None and not self._is_closed:
            self._endpoint.start()

    def close(self) -> None:
        """Stop serving, once all that attached have closed."""
        self._n_users = max(self._n_users - 1, 0)
        self._is_closed = self._n_users == 0
        if self._is_closed and self._endpoint is not None:
            self._endpoint.stop()

    def forget(self) -> None:
        """In a forked child: the port and the records are the parent's."""
        self._latest.forget()
        if self._endpoint is not None:
            self._endpoint.forget()

    @property
    def port(self) -> int | None:
        """The port that is served; None while another process holds it."""
        return None if self._endpoint is None else self._endpoint.port

    def families(self) -> list[Family]:
        """Read everything now.

        Returns
        -------
        families : list of Family
        """
        found = self._latest.families()
        for source in list(self._sources):
            try:
                snapshot = source()
                found += families(snapshot)
                if self._has_aliases:
                    found += triton_families(snapshot)
            except Exception:
                self.n_failures += 1
        return merge(found)

    def page(self, accept: str = "") -> tuple[str, bytes]:
        """Give the page.

        Parameters
        ----------
        accept : str
            The header of that name.

        Returns
        -------
        content_type, body : str, bytes
        """
        kind = content_type(accept)
        return kind, expose(self.families(), is_openmetrics=kind == OPENMETRICS)

    def wsgi(
        self, environ: Mapping[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        """Answer as a WSGI application, at any path.

        Parameters
        ----------
        environ : mapping
        start_response : callable

        Returns
        -------
        body : iterable of bytes
        """
        method = environ.get("REQUEST_METHOD", "GET")
        if method not in ("GET", "HEAD"):
            start_response("405 Method Not Allowed", [("Allow", "GET, HEAD")])
            return [b""]
        kind, body = self.page(str(environ.get("HTTP_ACCEPT", "")))
        values = (kind, str(len(body)))
        start_response("200 OK", list(zip(_HEADERS, values, strict=True)))
        return [b"" if method == "HEAD" else body]

    async def asgi(
        self,
        scope: Mapping[str, Any],
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        """Answer as an ASGI application, at any path.

        Parameters
        ----------
        scope : mapping
        receive, send : callable
        """
        if scope["type"] == "lifespan":
            await _live(receive, send)
        if scope["type"] != "http":
            return
        is_read = scope["method"] in ("GET", "HEAD")
        headers, body = [(b"allow", b"GET, HEAD")], b""
        if is_read:
            accept = b",".join(v for k, v in scope["headers"] if k.lower() == b"accept")
            kind, body = await asyncio.to_thread(self.page, accept.decode("latin-1"))
            pairs = zip(_HEADERS, (kind, str(len(body))), strict=True)
            headers = [(k.lower().encode(), v.encode()) for k, v in pairs]
        status = 200 if is_read else 405
        await send(
            {"type": "http.response.start", "status": status, "headers": headers}
        )
        shown = b"" if scope["method"] == "HEAD" else body
        await send({"type": "http.response.body", "body": shown})


async def _live(
    receive: Callable[[], Awaitable[Any]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """Say yes to the start and the end of a server."""
    kind = ""
    while kind != "lifespan.shutdown":
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
