"""What a deployment says beside the answer: which version, how long; what swaps did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Response", "Swap"]


@dataclass(frozen=True)
class Response:
    """An answer, and where it comes from.

    Parameters
    ----------
    answer : object
        What the deployment returns when it is called.
    version : int or None
        Of the registry; None where the model is in none.
    arm : {"champion", "candidate"}
        Which of the two answered.
    request_id : hashable
        As it was given.
    seconds : float
        From the call to the answer.

    Examples
    --------
    >>> deployment.respond(x)                              # doctest: +SKIP
    Response(answer=7, version=3, arm='champion', request_id=None, seconds=8.1e-05)
    """

    answer: Any
    version: int | None
    arm: str
    request_id: Any
    seconds: float


@dataclass(frozen=True)
class Swap:
    """What `Deployment.swap` did.

    Parameters
    ----------
    from_version, to_version : int or None
        What served before, and what serves now; None: a model that is in no registry.
    seconds : float
        Loading, trying out and switching; requests wait for none of it.
    reasons : tuple of str
        What was found out about the candidate before it was let in.
    """

    from_version: int | None
    to_version: int | None
    seconds: float
    reasons: tuple[str, ...] = ()
