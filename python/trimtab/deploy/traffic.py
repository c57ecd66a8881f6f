"""How requests are shared between a champion and a candidate."""

from __future__ import annotations

import random
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from trimtab.deploy.arm import Arm
from trimtab.deploy.listener import TrafficListener
from trimtab.errors import InputError

__all__ = ["MODES", "Traffic", "share_of"]

#: What becomes of the candidate's answers.
MODES = {
    "shadow": "they are compared with the champion's, and never returned",
    "canary": "they are returned",
}


@dataclass(frozen=True)
class Traffic:
    """A candidate beside the champion; `Deployment.set_traffic` takes it.

    Parameters
    ----------
    candidate : Arm
        Of `Deployment.prepare`.
    mode : {"shadow", "canary"}
        Shadow: copies of requests run on a thread of their own, are dropped when it is
        busy, and only the listener sees the candidate's answers. Canary: a share of the
        requests is answered by the candidate.
    share : float, default=1.0
        Of the requests, 0 to 1. Requests of one key go the same way, and whoever is
        in a share is in every larger one.
    listener : TrafficListener, optional

    Raises
    ------
    InputError
        One of these is something else.

    Examples
    --------
    >>> arm = deployment.prepare("digits/4")               # doctest: +SKIP
    >>> deployment.set_traffic(Traffic(arm, "canary", 0.05))  # doctest: +SKIP
    """

    candidate: Arm
    mode: str
    share: float = 1.0
    listener: TrafficListener | None = None

    def __post_init__(self) -> None:
        """Refuse what is none."""
        if not isinstance(self.candidate, Arm):
            raise InputError(
                "candidate: expected an arm (`Deployment.prepare` makes one), got "
                f"{type(self.candidate).__name__}"
            )
        if self.mode not in MODES:
            raise InputError(f"mode: expected one of {[*MODES]}, got {self.mode!r}")
        is_number = isinstance(self.share, (int, float))
        if not (is_number and 0.0 <= self.share <= 1.0):
            raise InputError(f"share: expected 0 to 1, got {self.share!r}")

    @property
    def _salt(self) -> str:
        """So that not the same users try every candidate."""
        return f"v{self.candidate.version}"

    def takes(self, key: Any) -> bool:
        """Is this request the candidate's?

        Parameters
        ----------
        key : object
            None: it is left to chance.

        Returns
        -------
        is_its : bool
        """
        if self.share >= 1.0:
            return True
        where = random.random() if key is None else share_of(key, self._salt)
        return where < self.share


def share_of(key: Any, salt: str = "") -> float:
    """Place a key between 0 and 1, evenly, and the same in every process.

    Parameters
    ----------
    key : str, bytes, int or other
        Of others what they show as (`repr`) counts.
    salt : str, optional
        Of another one, keys have other places.

    Returns
    -------
    share : float

    Examples
    --------
    >>> share_of("user-7") == share_of("user-7")
    True
    >>> share_of("7") == share_of(7)
    False
    """
    data = key if isinstance(key, bytes) else repr(key).encode(errors="replace")
    digest = blake2b(data, digest_size=7, person=salt.encode()[:16]).digest()
    return int.from_bytes(digest, "big") / (1 << 56)
