"""Webhooks: against a server that fails, hangs, redirects and asks to wait."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from trimtab.errors import InputError, TrimtabError
from trimtab.monitor.sinks import Fanout, open_sink
from trimtab.monitor.sinks import webhook as webhook_module
from trimtab.monitor.sinks.webhook import Webhook


class Server(ThreadingHTTPServer):
    """Answers as it is told, and keeps what came."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.daemon_threads = True
        #: Status and headers of the next answers; then 200.
        self.answers: list[tuple[int, dict[str, str]]] = []
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.requests.append((self.path, headers, body))
        answers = self.server.answers
        status, headers = answers.pop(0) if answers else (200, {})
        if status == 0:  # hang
            time.sleep(float(headers["s"]))
            return
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def do_GET(self) -> None:
        self.server.requests.append((self.path, {}, b"GET"))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        return


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(
            target=server.serve_forever, args=(0.01,), daemon=True
        )
        thread.start()
        yield server
        server.shutdown()


@pytest.fixture(autouse=True)
def short_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook_module, "_FIRST_DELAY_S", 0.01)


ALERT = {"time": 1.0, "kind": "alert", "model": "net", "message": "drift in age"}


def test_a_record_is_one_signed_post_of_json(server: Server) -> None:
    sink = Webhook(server.url + "/hook?a=1", secret="s3cret", headers={"X-Team": "ml"})
    sink.write(ALERT)
    sink.close()
    ((path, headers, body),) = server.requests
    assert path == "/hook?a=1"
    assert json.loads(body) == ALERT
    assert headers["content-type"] == "application/json"
    assert headers["x-team"] == "ml"
    stamp, code = headers["x-trimtab-signature"].split(",")
    signed = stamp.removeprefix("t=").encode() + b"." + body
    expected = hmac.new(b"s3cret", signed, hashlib.sha256).hexdigest()
    assert code == f"sha256={expected}"
    assert abs(int(stamp[2:]) - time.time()) < 100


def test_records_of_other_kinds_are_not_sent(server: Server) -> None:
    window = {**ALERT, "kind": "window"}
    Webhook(server.url).write(window)
    assert server.requests == []
    Webhook(server.url, kinds=None).write(window)
    assert len(server.requests) == 1


def test_failures_of_the_other_side_are_tried_again_as_one_delivery(
    server: Server,
) -> None:
    server.answers = [(500, {}), (429, {"Retry-After": "0"}), (503, {})]
    Webhook(server.url, attempts=4).write(ALERT)
    assert len(server.requests) == 4
    ids = {headers["x-trimtab-delivery"] for _, headers, _ in server.requests}
    assert len(ids) == 1


def test_attempts_are_bounded(server: Server) -> None:
    server.answers = [(500, {})] * 10
    with pytest.raises(TrimtabError, match="answered 500"):
        Webhook(server.url, attempts=3).write(ALERT)
    assert len(server.requests) == 3


@pytest.mark.parametrize("status", [400, 401, 404, 410, 413])
def test_what_the_other_side_refuses_is_not_sent_again(
    server: Server, status: int
) -> None:
    server.answers = [(status, {})]
    with pytest.raises(TrimtabError, match=str(status)):
        Webhook(server.url).write(ALERT)
    assert len(server.requests) == 1


def test_the_other_side_may_ask_to_wait(server: Server) -> None:
    server.answers = [(503, {"Retry-After": "1"})]
    begin = time.monotonic()
    Webhook(server.url).write(ALERT)
    assert time.monotonic() - begin >= 1


@pytest.mark.parametrize("wait", ["soon", "-1", "9" * 400, "Mon, 99 Foo 2026", ""])
def test_nonsense_about_waiting_is_passed_over(wait: str) -> None:
    assert 0 <= webhook_module._retry_after_s({"Retry-After": wait}) <= 30
    date = webhook_module._retry_after_s(
        {"Retry-After": "Fri, 01 Jan 2100 00:00:00 GMT"}
    )
    assert date == 30


def test_a_server_that_hangs_is_left_after_the_timeout(server: Server) -> None:
    server.answers = [(0, {"s": "5"})]
    begin = time.monotonic()
    Webhook(server.url, timeout_s=0.3).write(ALERT)
    assert time.monotonic() - begin < 4
    assert len(server.requests) == 2


def test_nobody_there_and_one_that_hangs_up_are_failures() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def hang_up() -> None:
            for _ in range(2):
                listener.accept()[0].close()

        threading.Thread(target=hang_up, daemon=True).start()
        with pytest.raises(TrimtabError, match="webhook"):
            Webhook(f"http://127.0.0.1:{port}/secret?key=1", attempts=2).write(ALERT)
    with pytest.raises(TrimtabError) as caught:
        Webhook(f"http://127.0.0.1:{port}/secret?key=1", attempts=2).write(ALERT)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("target", ["http://localhost:1/", "file:///etc/passwd", "//x"])
def test_redirects_to_other_hosts_are_refused(
    server: Server, code: int, target: str
) -> None:
    server.answers = [(code, {"Location": target})]
    with pytest.raises(TrimtabError, match=str(code)):
        Webhook(server.url).write(ALERT)
    assert len(server.requests) == 1


def test_redirects_of_the_same_host_keep_the_post_and_end(server: Server) -> None:
    server.answers = [(308, {"Location": "/new"}), (307, {"Location": "/newer"})]
    Webhook(server.url + "/old").write(ALERT)
    assert [path for path, _, _ in server.requests] == ["/old", "/new", "/newer"]
    assert json.loads(server.requests[2][2]) == ALERT
    server.answers = [(307, {"Location": f"/{i}"}) for i in range(50)]
    with pytest.raises(TrimtabError, match="307"):
        Webhook(server.url).write(ALERT)
    assert len(server.requests) == 3 + 4


def test_a_redirect_that_would_drop_the_body_is_refused(server: Server) -> None:
    server.answers = [(303, {"Location": "/seen"})]
    with pytest.raises(TrimtabError, match="303"):
        Webhook(server.url).write(ALERT)


def test_a_body_that_is_too_large_is_not_sent(server: Server) -> None:
    with pytest.raises(InputError, match="at most 100 bytes"):
        Webhook(server.url, max_bytes=100).write({**ALERT, "message": "x" * 200})
    assert server.requests == []


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hook",
        "file:///etc/passwd",
        "ftp://a/b",
        "http://",
        "http://a b/",
        "//a/b",
        "http://a:99999999/",
        "http://user:pw@a/",
        "http://a/\r\nX: y",
        "https://ä/",
    ],
)
def test_urls_that_are_none_are_refused(url: str) -> None:
    with pytest.raises(InputError, match="expected a URL"):
        open_sink(f"webhook:{url}")


def test_bounds_and_headers_that_are_none_are_refused() -> None:
    with pytest.raises(InputError, match="positive"):
        Webhook("http://a/", timeout_s=0)
    with pytest.raises(InputError, match="header"):
        Webhook("http://a/", headers={"X": "a\r\nY: b"})


@pytest.mark.filterwarnings("ignore:monitoring")
def test_the_fan_out_counts_what_could_not_be_delivered(server: Server) -> None:
    server.answers = [(404, {})]
    with Fanout(f"webhook:{server.url}") as fanout:
        fanout.write(ALERT)
        fanout.write(ALERT)
        assert fanout.flush(timeout_s=20)
        stats = fanout.stats()["webhook"]
    assert (stats.n_written, stats.n_lost) == (1, 1)
    assert "404" in stats.last_error
