"""Who hears of a deployment's requests: monitors, and the one who runs a rollout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from trimtab.deploy.arm import Arm

__all__ = ["Listener", "TrafficListener"]


class Listener(Protocol):
    """What hears of a deployment's calls; it never raises and never waits."""

    def due(self) -> bool:
        """Is `saw` to be called of this call?

        Returns
        -------
        is_due : bool
        """

    def saw(self, values: Sequence[Any], result: Any, seconds: float) -> None:
        """Take note of a call that was due.

        Parameters
        ----------
        values : sequence of array-like
            What the model took, in graph order.
        result : ndarray or tuple of ndarray
            What it returned.
        seconds : float
            What the call took.
        """

    def answered(self, request_id: Any, result: Any) -> None:
        """Take note of a request whose label may come.

        Parameters
        ----------
        request_id : hashable, or list of these
            One for each row.
        result : ndarray or tuple of ndarray
        """

    def swapped(self, arm: Arm) -> None:
        """Take note that another version serves from now on.

        Parameters
        ----------
        arm : Arm
        """


class TrafficListener(Protocol):
    """What hears of a champion and a candidate that are tried beside each other.

    It never raises and never waits. Results are what the model returned, before the
    steps that come after it.
    """

    def compared(
        self,
        request_id: Any,
        inputs: dict[str, Any],
        champion_result: Any,
        candidate_result: Any,
        champion_s: float,
        candidate_s: float,
        error: BaseException | None,
    ) -> None:
        """Take note of a request that both have computed; on a thread of its own.

        Parameters
        ----------
        request_id : hashable
        inputs : dict of str to ndarray
            What the champion took, copied.
        champion_result, candidate_result : ndarray or tuple of ndarray
            The candidate's is None where it failed.
        champion_s, candidate_s : float
            What the calls of the models took.
        error : exception or None
            What the candidate raised.
        """

    def served(
        self,
        arm: str,
        request_id: Any,
        result: Any,
        seconds: float,
        error: BaseException | None,
    ) -> None:
        """Take note of a request while a canary runs; on the serving thread.

        Parameters
        ----------
        arm : {"champion", "candidate"}
            Which one answered.
        request_id : hashable
        result : ndarray or tuple of ndarray, or None
            None where there was an error.
        seconds : float
            Of the whole request.
        error : exception or None
            What the caller got instead of an answer.
        """

    def failed(
        self, request_id: Any, seconds: float, error: BaseException | None
    ) -> None:
        """Take note that the champion answered in the candidate's place.

        Nothing else is told of such a request.

        Parameters
        ----------
        request_id : hashable
        seconds : float
            That the candidate took.
        error : exception or None
            What it raised; None: its outputs held NaN or infinity, and the champion's
            do not.
        """
