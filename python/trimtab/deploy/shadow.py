"""A candidate that is shown copies of requests, on a thread of its own.

The serving thread pays for a copy, and only where there is room: whatever finds the
queue full is dropped and counted.
"""

from __future__ import annotations

import copy
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from trimtab.deploy.visit import copied
from trimtab.monitor.troubles import Troubles
from trimtab.monitor.worker import Worker

if TYPE_CHECKING:
    from trimtab.deploy.arm import Arm
    from trimtab.deploy.traffic import Traffic
    from trimtab.deploy.visit import Visit

__all__ = ["Shadow"]

#: Requests that may wait, and what their arrays may hold together.
MAX_WAITING = 64
MAX_BYTES = 256 << 20


class Shadow:
    """Runs a candidate behind the champion.

    Parameters
    ----------
    traffic : Traffic
    troubles : Troubles
        Counts what the listener fails at.
    """

    def __init__(self, traffic: Traffic, troubles: Troubles) -> None:
        self._traffic = traffic
        self._troubles = troubles
        self._worker = Worker(self, name="trimtab-shadow")
        #: Requests that found no room.
        self.n_dropped = 0
        #: Requests that both have computed.
        self.n_compared = 0
        self.renew()

    def renew(self) -> None:
        """Begin with nothing; in a forked child too."""
        self._waiting: deque[_Copied] = deque()
        self._n_bytes = 0
        self._lock = threading.Lock()

    def offer(self, visit: Visit) -> None:
        """Take a copy of a request that the champion has answered, if there is room.

        Parameters
        ----------
        visit : Visit
        """
        if visit.values is None:
            return
        n_bytes = _n_bytes(visit.values) + _n_bytes(visit.result)
        if (
            len(self._waiting) >= MAX_WAITING
            or self._n_bytes + n_bytes > MAX_BYTES
            or (request := _copied(visit, self._traffic.candidate, n_bytes)) is None
        ):
            with self._lock:
                self.n_dropped += 1
            return
        with self._lock:
            self._n_bytes += n_bytes
            self._waiting.append(request)
        if not self._worker.is_alive:
            self._worker.start()
        self._worker.wake()

    def tick(self) -> float:
        """Run what waits.

        Returns
        -------
        seconds : float
            Until the next look, where nobody wakes it.
        """
        while True:
            with self._lock:
                if not self._waiting:
                    return 60.0
                taken = self._waiting.popleft()
                self._n_bytes -= taken.n_bytes
            with self._troubles.guard("comparing with the candidate"):
                self._compare(taken)

    def _compare(self, taken: _Copied) -> None:
        arm, result, error = self._traffic.candidate, None, None
        begun = time.perf_counter()
        try:
            values = taken.values
            if taken.has_request:
                values = tuple(arm.pipeline._values(taken.request, {}))
                begun = time.perf_counter()
            # the model's own program: what nobody is given is not counted as served
            result = arm.pipeline._predict(values, arm.pipeline.model)
        except Exception as raised:  # whatever it is, it is told
            error = raised
        seconds = time.perf_counter() - begun
        self.n_compared += 1
        listener = self._traffic.listener
        if listener is not None:
            listener.compared(
                taken.request_id,
                taken.champion.inputs_by_name(taken.values),
                taken.result,
                result,
                taken.champion_s,
                seconds,
                error,
            )

    def close(self) -> None:
        """End; what waits is dropped."""
        with self._lock:
            self.n_dropped += len(self._waiting)
            self._waiting.clear()
            self._n_bytes = 0
        self._worker.stop()


class _Copied:
    """What must be known of a request when its caller has gone on."""

    __slots__ = (
        "champion",
        "champion_s",
        "has_request",
        "n_bytes",
        "request",
        "request_id",
        "result",
        "values",
    )

    def __init__(self, visit: Visit, champion: Arm, n_bytes: int) -> None:
        self.champion = champion
        self.champion_s = visit.model_s
        self.request_id = visit.request_id
        self.values = tuple(copied(value) for value in visit.values or ())
        self.result = copied(visit.result)
        self.n_bytes = n_bytes
        self.request: Any = None
        self.has_request = False


def _copied(visit: Visit, candidate: Arm, n_bytes: int) -> _Copied | None:
    """None where the request cannot be copied for a candidate with other steps."""
    assert visit.arm is not None  # it has computed
    taken = _Copied(visit, visit.arm, n_bytes)
    if not candidate.has_steps_of(visit.arm):
        taken.has_request = True
        try:
            taken.request = copy.deepcopy(visit.request)
        except Exception:  # an open file, a generator
            return None
    return taken


def _n_bytes(values: Any) -> int:
    parts: Sequence[Any] = values if isinstance(values, (tuple, list)) else (values,)
    return sum(getattr(part, "nbytes", 64) for part in parts)
