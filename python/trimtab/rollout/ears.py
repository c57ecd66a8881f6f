"""What hears of requests while a rollout runs: it never raises and never waits.

Callbacks of the deployment make each request small and put it into a bounded queue; the
thread of the rollout takes from there, and joins labels that come sooner or later.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterator
from typing import Any, NamedTuple

import numpy as np

from trimtab.deploy.canary import is_finite
from trimtab.rollout.answers import answers_of

__all__ = ["Compared", "Ears", "LabelJoin", "Served", "by_row"]

_MAX_QUEUED = 1 << 16
_MAX_PENDING = 1 << 16


class Compared(NamedTuple):
    """A request that both have computed; `is_reversed`: while the candidate serves."""

    request_id: Any
    has_failed: bool
    champion: Any
    candidate: Any
    champion_s: float
    candidate_s: float


class Served(NamedTuple):
    """A request of a canary."""

    request_id: Any
    is_candidate: bool
    has_failed: bool
    answers: Any
    seconds: float


class Ears:
    """A listener of `Deployment.set_traffic`.

    Parameters
    ----------
    reduce : callable
        Result of a model -> what is kept of it.
    """

    def __init__(self, reduce: Callable[[Any], Any] = answers_of) -> None:
        self._reduce = reduce
        self._queue: deque[Compared | Served] = deque(maxlen=_MAX_QUEUED)
        #: Baking: the new version serves, and the old one gets copies.
        self.is_reversed = False
        self.n_troubles = 0
        #: Of requests that nobody took in time.
        self.n_dropped = 0

    def _put(self, event: Compared | Served) -> None:
        self.n_dropped += len(self._queue) == _MAX_QUEUED
        self._queue.append(event)

    def take(self) -> Iterator[Compared | Served]:
        """Give what has come, once."""
        for _ in range(len(self._queue)):
            yield self._queue.popleft()

    def _kept(self, result: Any) -> Any:
        """What is kept of a result; None where it holds NaN or infinity."""
        return self._reduce(result) if is_finite(result) else None

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
        """Take note of a request that both have computed.

        Parameters
        ----------
        request_id, inputs, champion_result, candidate_result
        champion_s, candidate_s, error
            As `TrafficListener.compared` takes them.
        """
        try:
            old = self._kept(champion_result), champion_s
            new = None if error else self._kept(candidate_result), candidate_s
            if self.is_reversed:
                old, new = new, old
            has_failed = old[0] is not None and new[0] is None
            self._put(Compared(request_id, has_failed, old[0], new[0], old[1], new[1]))
        except Exception:
            self.n_troubles += 1

    def served(
        self,
        arm: str,
        request_id: Any,
        result: Any,
        seconds: float,
        error: BaseException | None,
    ) -> None:
        """Take note of a request of a canary.

        Parameters
        ----------
        arm, request_id, result, seconds, error
            As `TrafficListener.served` takes them.
        """
        if error is not None:
            return  # the champion could not answer it either: the request's own fault
        try:
            kept = None if request_id is None else self._reduce(result)
            self._put(Served(request_id, arm == "candidate", False, kept, seconds))
        except Exception:
            self.n_troubles += 1

    def failed(
        self, request_id: Any, seconds: float, error: BaseException | None
    ) -> None:
        """Take note that the champion answered for the candidate.

        Parameters
        ----------
        request_id, seconds, error
            As `TrafficListener.failed` takes them.
        """
        self._put(Served(request_id, True, True, None, seconds))


def by_row(event: Compared | Served) -> Iterator[Compared | Served]:
    """Take a request apart whose rows have ids of their own.

    Parameters
    ----------
    event : Compared or Served

    Returns
    -------
    events : iterator of Compared or Served

    Examples
    --------
    >>> import numpy as np
    >>> answers = np.array([3, 4])
    >>> [row.answers for row in by_row(Served(["a", "b"], True, False, answers, 0.1))]
    [array([3]), array([4])]
    """
    ids = event.request_id
    if not isinstance(ids, list):
        yield event
        return
    names = ("champion", "candidate") if isinstance(event, Compared) else ("answers",)
    parts = {name: getattr(event, name) for name in names}
    if any(np.ndim(part) != 1 or len(part) != len(ids) for part in parts.values()):
        return  # not one answer a row: labels of rows fit nothing
    for i, key in enumerate(ids):
        rows = {name: part[i : i + 1] for name, part in parts.items()}
        yield event._replace(request_id=key, **rows)


class LabelJoin:
    """Brings what was answered together with labels; either may come first.

    Both sides are bounded: of what waits longest is let go.
    """

    def __init__(self) -> None:
        self._answers: OrderedDict[Any, Compared | Served] = OrderedDict()
        self._early: OrderedDict[Any, Any] = OrderedDict()
        #: Has any label ever come?
        self.has_any = False

    def answered(self, event: Compared | Served) -> Any:
        """Take an answer.

        Parameters
        ----------
        event : Compared or Served

        Returns
        -------
        label : object
            If it has come already; then the answer is not kept. Else None.
        """
        if event.request_id is None or not isinstance(event.request_id, Hashable):
            return None
        label = self._early.pop(event.request_id, None)
        if label is None:
            _keep(self._answers, event.request_id, event)
        return label

    def labelled(self, request_id: Any, label: Any) -> Compared | Served | None:
        """Take a label.

        Parameters
        ----------
        request_id : hashable
        label : object

        Returns
        -------
        event : Compared, Served or None
            What was answered; None where nothing was yet: then the label is kept.
        """
        self.has_any = True
        event = self._answers.pop(request_id, None)
        if event is None:
            _keep(self._early, request_id, label)
        return event

    def waiting(self, n: int) -> list[Any]:
        """Give ids that wait for a label, the oldest first, each time the next ones.

        Parameters
        ----------
        n : int
            At most.

        Returns
        -------
        ids : list
        """
        ids = [key for key, _ in zip(self._answers, range(n), strict=False)]
        for key in ids:
            self._answers.move_to_end(key)
        return ids


def _keep(store: OrderedDict[Any, Any], key: Any, value: Any) -> None:
    store[key] = value
    if len(store) > _MAX_PENDING:
        store.popitem(last=False)
