"""The sink of webhooks: a POST of JSON for each record that matters.

Enters: records. Leaves: requests, each of bounded size and time, tried again when the
other side fails, signed so that it can tell who sent them.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import random
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterable, Mapping
from email.message import Message
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from typing import IO, Any
from urllib.parse import urlsplit

from trimtab.errors import InputError, TrimtabError
from trimtab.monitor.sinks.sink import plain_record, to_json

__all__ = ["Webhook"]

_FIRST_DELAY_S = 0.5
_LAST_DELAY_S = 30.0
_MAX_REDIRECTS = 3
# What may go better next time; anything else is the request's own fault.
_RETRIED = frozenset((408, 425, 429, *range(500, 600)))


class Webhook:
    """Post records to a URL.

    Parameters
    ----------
    url : str
        http or https. Redirects are followed on the same scheme, host and port only.
    kinds : iterable of str or None
        Which records are sent; None sends all.
    secret : str or bytes, optional
        Signs each request: header ``X-Trimtab-Signature: t=<seconds>,sha256=<hex>`` is
        the HMAC-SHA256 of ``<seconds>.<body>``.
    headers : mapping, optional
        More headers.
    timeout_s : float
        Of connecting, and of each wait for the answer.
    attempts : int
        How often a record is sent at most, with growing, jittered delays between.
    max_bytes : int
        A larger body is not sent.

    Raises
    ------
    InputError
        The URL is none of http or https, a header holds a line break, or a bound is
        none.

    Examples
    --------
    >>> sink = Webhook("https://example.org/hook", secret="s3cret")
    >>> sink.kinds
    ('alert', 'event')
    """

    def __init__(
        self,
        url: str,
        *,
        kinds: Iterable[str] | None = ("alert", "event"),
        secret: str | bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 5.0,
        attempts: int = 4,
        max_bytes: int = 1 << 20,
    ) -> None:
        _check_url(url)
        if timeout_s <= 0 or attempts < 1 or max_bytes < 1:
            raise InputError(
                "webhook: expected positive timeout_s, attempts and max_bytes, got "
                f"{timeout_s}, {attempts}, {max_bytes}"
            )
        self._headers = {"Content-Type": "application/json", "User-Agent": "trimtab"}
        self._headers.update(headers or {})
        for name, value in self._headers.items():
            if not (name + value).isprintable() or not (name + value).isascii():
                raise InputError(f"webhook: header {name!r}: expected plain ASCII text")
        self.url = url
        self.kinds = None if kinds is None else tuple(kinds)
        self._secret = secret.encode() if isinstance(secret, str) else secret
        self._timeout_s = timeout_s
        self._attempts = attempts
        self._max_bytes = max_bytes
        self._closed = threading.Event()
        self._opener = urllib.request.build_opener(_SameHost())

    @classmethod
    def from_text(cls, text: str) -> Webhook:
        """Make the sink of "webhook:url".

        Parameters
        ----------
        text : str
            The URL.

        Returns
        -------
        sink : Webhook
        """
        return cls(text)

    def write(self, record: Mapping[str, Any]) -> None:
        """Send a record, if it is of the kinds that are sent.

        Parameters
        ----------
        record : mapping

        Raises
        ------
        InputError
            The body is larger than `max_bytes`.
        TrimtabError
            The other side refuses it, or failed at every attempt.
        """
        plain = plain_record(record)
        if self.kinds is not None and plain["kind"] not in self.kinds:
            return
        body = to_json(plain).encode()
        if len(body) > self._max_bytes:
            raise InputError(
                f"webhook: expected a body of at most {self._max_bytes} bytes, got "
                f"{len(body)}"
            )
        delivery = str(uuid.uuid4())
        for attempt in range(self._attempts):
            refusal, delay_s = self._post(body, delivery, attempt)
            if not refusal:
                return
            if attempt + 1 < self._attempts:
                self._closed.wait(delay_s)
        # No OSError, which the fan-out would try again: it was tried enough.
        raise TrimtabError(f"webhook: {_shown(self.url)}: {refusal}")

    def _post(self, body: bytes, delivery: str, attempt: int) -> tuple[str, float]:
        """Send once; gives what went wrong, and how long to wait before the next."""
        delay_s = min(_FIRST_DELAY_S * 2.0**attempt, _LAST_DELAY_S)
        delay_s *= random.uniform(0.5, 1.0)
        request = urllib.request.Request(
            self.url, body, {**self._headers, **self._signed(body, delivery)}
        )
        try:
            self._opener.open(request, timeout=self._timeout_s).close()
        except urllib.error.HTTPError as error:
            with error:
                text = f"answered {error.code}"
                if error.code not in _RETRIED:
                    raise TrimtabError(f"webhook: {_shown(self.url)}: {text}") from None
                return text, max(delay_s, _retry_after_s(error.headers))
        except (OSError, HTTPException) as error:
            reason = getattr(error, "reason", error)
            return f"{type(error).__name__}: {reason}"[:200], delay_s
        return "", 0.0

    def _signed(self, body: bytes, delivery: str) -> dict[str, str]:
        """Headers that tell one delivery from another, and who sent it."""
        headers = {"X-Trimtab-Delivery": delivery}
        if self._secret is not None:
            seconds = str(int(time.time()))
            signed = seconds.encode() + b"." + body
            code = hmac.new(self._secret, signed, hashlib.sha256).hexdigest()
            headers["X-Trimtab-Signature"] = f"t={seconds},sha256={code}"
        return headers

    def close(self) -> None:
        """Wait no longer between attempts."""
        self._closed.set()

    def forget(self) -> None:
        """In a forked child: locks are new."""
        self._closed = threading.Event()


class _SameHost(urllib.request.HTTPRedirectHandler):
    """Follow redirects that stay with the host that was named, as the same POST."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: Message,
        newurl: str,
    ) -> urllib.request.Request | None:
        """Give the next request, or None to refuse."""
        n_before = getattr(req, "n_redirects", 0)
        if _origin(newurl) != _origin(req.full_url) or n_before >= _MAX_REDIRECTS:
            return None
        if code not in (307, 308):  # others would turn the POST into a GET
            return None
        following = urllib.request.Request(newurl, req.data, dict(req.headers))
        following.n_redirects = n_before + 1  # type: ignore[attr-defined]
        return following


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        is_fit = parts.scheme in ("http", "https") and bool(parts.hostname)
        is_fit = is_fit and url.isascii() and url.isprintable() and " " not in url
        is_fit = is_fit and "@" not in parts.netloc  # secrets go into headers
        _ = parts.port
    except ValueError:
        is_fit = False
    if not is_fit:
        raise InputError(
            f"webhook: expected a URL such as https://example.org/hook, got {url!r}"
        )


def _origin(url: str) -> tuple[str, str | None, int | None]:
    with contextlib.suppress(ValueError):
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
        return parts.scheme, parts.hostname, port
    return "", None, None


def _shown(url: str) -> str:
    """Without what may be secret: user, query, path beyond its first part."""
    scheme, host, port = _origin(url)
    return f"{scheme}://{host}:{port}"


def _retry_after_s(headers: Any) -> float:
    """What the other side asks for, bounded; 0 where it does not."""
    text = str(headers.get("Retry-After", ""))
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        if text.isascii() and text.isdigit():
            return min(float(text), _LAST_DELAY_S)
        until = parsedate_to_datetime(text).timestamp() - time.time()
        return min(max(until, 0.0), _LAST_DELAY_S)
    return 0.0
