"""A small HTTP server of one page, on one thread, for machines that may be rude.

Enters: connections, of which none may take long, much, or a place from others. Leaves:
the page. While another process holds the port the thread stands by and takes it over.
"""

from __future__ import annotations

import contextlib
import errno
import selectors
import socket
import threading
import time
import warnings
from collections.abc import Callable

__all__ = ["Answer", "Endpoint"]

#: From the header Accept to content type and body.
Answer = Callable[[str], tuple[str, bytes]]

_MAX_CONNECTIONS = 32  # one more, and the oldest goes
_MAX_REQUEST_BYTES = 8192
_DEADLINE_S = 5.0  # from accepting to the last byte
_STANDBY_S = 2.0
_BACKLOG = 64

_STATUS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
}


class _Connection:
    """What came, what is to be sent, and until when."""

    __slots__ = ("deadline", "received", "socket", "to_send")

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self.received = b""
        self.to_send: memoryview | None = None
        self.deadline = time.monotonic() + _DEADLINE_S


class Endpoint:
    """Serve one page until `stop`.

    Parameters
    ----------
    host, port : str, int
        Port 0 takes a free one; `port` tells which.
    path : str
    answer : callable
    """

    def __init__(self, host: str, port: int, path: str, answer: Answer) -> None:
        self._address = (host, port)
        self._path = path
        self._answer = answer
        self._has_warned = False
        self.forget()

    def forget(self) -> None:
        """Let go of what a forked child has of its parent; `start` begins anew."""
        for name in ("_listener", "_waker", "_wakee"):
            if (held := getattr(self, name, None)) is not None:
                held.close()
        for connection in getattr(self, "_connections", ()):
            connection.socket.close()
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None
        self._waker: socket.socket | None = None
        self._wakee: socket.socket | None = None
        self._connections: list[_Connection] = []
        self._thread: threading.Thread | None = None
        self._is_stopped = False
        #: Pages that could not be made.
        self.n_failures = 0

    @property
    def port(self) -> int | None:
        """The port that is served; None while another process holds it."""
        listener = self._listener
        try:
            return None if listener is None else int(listener.getsockname()[1])
        except OSError:
            return None

    def start(self) -> None:
        """Take the port, or stand by for it; done already, nothing happens.

        Raises
        ------
        OSError
            The port cannot be had, for another reason than that it is taken.
        """
        with self._lock:
            if self._thread is not None and self._thread.is_alive():
                return
            self._is_stopped = False
            self._listen()
            self._waker, self._wakee = socket.socketpair()
            self._wakee.setblocking(False)
            self._thread = threading.Thread(
                target=self._serve, name="trimtab-endpoint", daemon=True
            )
            self._thread.start()

    def stop(self) -> None:
        """Close the port and every connection."""
        with self._lock:
            self._is_stopped = True
            thread = self._thread
            if self._waker is not None:
                with contextlib.suppress(OSError):
                    self._waker.send(b"x")
        if thread is not None:
            thread.join(_DEADLINE_S)

    def _listen(self) -> None:
        """Bind, or leave `_listener` None where the port is taken."""
        host, port = self._address
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(_BACKLOG)
            listener.setblocking(False)
        except OSError as error:
            listener.close()
            if error.errno != errno.EADDRINUSE:
                raise
            return
        self._listener = listener

    def _serve(self) -> None:
        try:
            while not self._is_stopped:
                if self._listener is None:
                    self._stand_by()
                else:
                    self._step(self._listener)
        finally:
            for connection in list(self._connections):
                self._drop(connection)
            for held in (self._listener, self._waker, self._wakee):
                if held is not None:
                    held.close()
            self._listener = self._waker = self._wakee = None

    def _stand_by(self) -> None:
        """Try for the port from time to time: its holder may end."""
        if not self._has_warned and not _is_ours(self._address):
            self._has_warned = True
            host, port = self._address
            with contextlib.suppress(Exception):  # warnings may be errors
                warnings.warn(
                    f"monitoring: another program holds port {port} of {host}; give "
                    "another one",
                    RuntimeWarning,
                    stacklevel=2,
                )
        assert self._wakee is not None
        with selectors.PollSelector() as selector:
            selector.register(self._wakee, selectors.EVENT_READ)
            selector.select(_STANDBY_S)
        if not self._is_stopped:
            with contextlib.suppress(OSError):
                self._listen()

    def _step(self, listener: socket.socket) -> None:
        """Wait for something to do, and do it."""
        assert self._wakee is not None
        now = time.monotonic()
        for connection in [c for c in self._connections if c.deadline <= now]:
            self._drop(connection)
        # A PollSelector keeps nothing in the kernel that a forked child would share.
        with selectors.PollSelector() as selector:
            selector.register(listener, selectors.EVENT_READ)
            selector.register(self._wakee, selectors.EVENT_READ)
            for c in self._connections:
                is_reading = c.to_send is None
                event = selectors.EVENT_READ if is_reading else selectors.EVENT_WRITE
                selector.register(c.socket, event, c)
            ends = [c.deadline - now for c in self._connections]
            ready = selector.select(max(0.0, min(ends)) + 0.001 if ends else None)
        for key, _ in ready:
            if key.fileobj is listener:
                self._accept(listener)
            elif isinstance(key.data, _Connection):
                self._go_on(key.data)

    def _accept(self, listener: socket.socket) -> None:
        try:
            connected, _ = listener.accept()
        except OSError:  # gone again, or no more descriptors
            time.sleep(0.01)
            return
        connected.setblocking(False)
        self._connections.append(_Connection(connected))
        if len(self._connections) > _MAX_CONNECTIONS:
            self._drop(self._connections[0])

    def _drop(self, connection: _Connection) -> None:
        if connection in self._connections:
            self._connections.remove(connection)
        connection.socket.close()

    def _go_on(self, connection: _Connection) -> None:
        """Read or send what is possible now."""
        try:
            if connection.to_send is None:
                self._receive(connection)
            else:
                n = connection.socket.send(connection.to_send)
                connection.to_send = connection.to_send[n:]
            if connection.to_send is not None and not connection.to_send:
                connection.socket.shutdown(socket.SHUT_WR)
                self._drop(connection)
        except BlockingIOError:
            return
        except OSError:
            self._drop(connection)

    def _receive(self, connection: _Connection) -> None:
        data = connection.socket.recv(_MAX_REQUEST_BYTES)
        connection.received += data
        is_whole = b"\r\n\r\n" in connection.received
        if is_whole:
            connection.to_send = memoryview(self._respond(connection.received))
        elif len(connection.received) >= _MAX_REQUEST_BYTES:
            connection.to_send = memoryview(_response(431))
        elif not data:
            self._drop(connection)

    def _respond(self, request: bytes) -> bytes:
        head, *fields = request.split(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
        parts = head.split(" ")
        if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
            return _response(400)
        method, target, _ = parts
        if method not in ("GET", "HEAD"):
            return _response(405)
        if target.partition("?")[0] != self._path:
            return _response(404, f"see {self._path}\n".encode())
        accept = [
            value.strip()
            for name, _, value in (field.partition(":") for field in fields)
            if name.strip().lower() == "accept"
        ]
        try:
            kind, body = self._answer(",".join(accept))
        except Exception:
            self.n_failures += 1
            return _response(500)
        return _response(200, body, kind, is_head=method == "HEAD")


def _response(
    status: int, body: bytes = b"", kind: str = "text/plain", *, is_head: bool = False
) -> bytes:
    body = body or f"{_STATUS[status]}\n".encode()
    head = (
        f"HTTP/1.1 {status} {_STATUS[status]}\r\nServer: trimtab\r\n"
        f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        + ("Allow: GET, HEAD\r\n" if status == 405 else "")
        + "Connection: close\r\n\r\n"
    )
    return head.encode("latin-1") + (b"" if is_head else body)


def _is_ours(address: tuple[str, int]) -> bool:
    """Is it one of our endpoints that holds this port?"""
    try:
        with socket.create_connection(address, timeout=1.0) as asked:
            asked.sendall(b"HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            return b"\r\nServer: trimtab\r\n" in asked.recv(4096)
    except OSError:
        return False
