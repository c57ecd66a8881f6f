"""Concurrent requests, run together: no thread of its own, a bounded queue, deadlines.

Of the callers that wait, the first one leads: it waits until as many rows as of late
are there or the delay is over, runs the model for all, and names the next leader. So a
caller that is alone waits for nobody, and while a batch runs the next one gathers.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

import numpy as np

from trimtab.deploy.visit import late_text
from trimtab.errors import DeadlineError, InputError, OverloadedError, TrimtabError
from trimtab.signature import probe_inputs

if TYPE_CHECKING:
    from trimtab.deploy.arm import Arm
    from trimtab.pipeline import Pipeline

__all__ = ["Batcher", "overloaded", "why_not_batched"]


class _Waiter:
    """A request that waits for its turn; its gate opens when there is something."""

    __slots__ = (
        "arm",
        "came_ns",
        "deadline_ns",
        "error",
        "gate",
        "is_done",
        "key",
        "leads",
        "n_rows",
        "result",
        "values",
    )

    def __init__(
        self, arm: Arm, values: Sequence[Any], deadline_ns: int | None
    ) -> None:
        self.arm = arm
        self.values = values
        self.n_rows = values[0].shape[0]
        self.key = (id(arm), *((x.dtype, x.shape[1:]) for x in values))
        self.came_ns = perf_counter_ns()
        self.deadline_ns = deadline_ns
        self.result: Any = None
        self.error: Exception | None = None
        self.is_done = self.leads = False
        self.gate = threading.Lock()
        self.gate.acquire()

    def is_late(self, now_ns: int) -> bool:
        return self.deadline_ns is not None and now_ns > self.deadline_ns

    def end(self, result: Any = None, error: Exception | None = None) -> None:
        self.result, self.error, self.is_done = result, error, True
        self.gate.release()


class Batcher:
    """Puts concurrent calls together.

    Parameters
    ----------
    max_batch : int
        Rows of a batch.
    max_delay_s : float
        That the first of a batch waits for others, at most.
    max_queue : int
        Requests that may wait.

    Raises
    ------
    InputError
        One of these is out of range.
    """

    def __init__(self, max_batch: int, max_delay_s: float, max_queue: int) -> None:
        if max_batch < 1:
            raise InputError(f"max_batch: expected 1 or more rows, got {max_batch}")
        if not 0.0 <= max_delay_s <= 60.0:
            raise InputError(f"max_delay_s: expected 0 to 60 s, got {max_delay_s}")
        self.max_batch = max_batch
        self.max_delay_s = max_delay_s
        self.max_queue = max_queue
        #: Batches that were run, and the requests in them.
        self.n_batches = self.n_requests = 0
        self.renew()

    def renew(self) -> None:
        """Begin with nobody; in a forked child too, whose parent's callers are gone."""
        self._lock = threading.Lock()
        self._queue: deque[_Waiter] = deque()
        self._n_rows = 0  # in the queue
        self._is_led = False
        self._expected = 1  # rows that come about together, as of late
        self._is_full = threading.Lock()  # opens when they are there
        self._is_full.acquire()
        self._is_gathering = False

    # ---- on the callers' threads ----------------------------------------------------

    def run(self, arm: Arm, values: Sequence[Any], deadline_ns: int | None) -> Any:
        """Run the model for this request, alone or with others.

        Parameters
        ----------
        arm : Arm
        values : sequence of array-like
            What its model takes, in graph order.
        deadline_ns : int or None
            Of ``time.perf_counter_ns``.

        Returns
        -------
        result : ndarray or tuple of ndarray
            As a call for this request alone gives it, but for rounding.

        Raises
        ------
        OverloadedError
            Too many wait already.
        DeadlineError
            It did not come to its turn in time.
        InputError
            The values do not fit the model's signature.
        """
        waiter = _Waiter(arm, arm.pipeline._checked_values(values), deadline_ns)
        try:
            self._enter(waiter)
            self._wait(waiter)
            if waiter.leads:
                self._lead(waiter)
        except BaseException:
            self._leave(waiter)
            raise
        if waiter.error is not None:
            raise waiter.error
        return waiter.result

    def _enter(self, waiter: _Waiter) -> None:
        with self._lock:
            n = len(self._queue)
            if n >= self.max_queue:
                raise overloaded(n, self.max_queue)
            self._queue.append(waiter)
            self._n_rows += waiter.n_rows
            if not self._is_led:
                self._is_led = waiter.leads = True
                waiter.gate.release()
            elif self._is_gathering and self._n_rows >= self._wanted():
                self._is_gathering = False
                self._is_full.release()

    def _wanted(self) -> int:
        return min(self.max_batch, self._expected)

    def _wait(self, waiter: _Waiter) -> None:
        """Until it is done or leads."""
        if waiter.deadline_ns is None:
            waiter.gate.acquire()
            return
        left_s = (waiter.deadline_ns - perf_counter_ns()) * 1e-9
        if waiter.gate.acquire(timeout=max(left_s, 0.0)):
            return
        with self._lock:
            is_taken = waiter not in self._queue
            if not is_taken and not waiter.leads:
                self._drop(waiter)
                now_ns = perf_counter_ns()
                raise DeadlineError(late_text(waiter.came_ns, now_ns))
        waiter.gate.acquire()  # it runs, or has just been asked to lead

    def _leave(self, waiter: _Waiter) -> None:
        """Whatever happened to it, others go on."""
        with self._lock:
            if waiter in self._queue:
                self._drop(waiter)
            if waiter.leads:
                self._appoint(waiter)

    def _drop(self, waiter: _Waiter) -> None:
        self._queue.remove(waiter)
        self._n_rows -= waiter.n_rows

    def _appoint(self, before: _Waiter) -> None:
        """Name the next leader; with the lock."""
        before.leads = False
        self._is_led = bool(self._queue)
        if self._queue:
            self._queue[0].leads = True
            self._queue[0].gate.release()

    # ---- leading --------------------------------------------------------------------

    def _lead(self, own: _Waiter) -> None:
        self._gather(own)
        batch = self._take()
        try:
            self._run_batch(batch)
        except BaseException:  # an interrupt: others are run by the next leader
            with self._lock:
                for waiter in reversed(batch):
                    if waiter is not own and not waiter.is_done:
                        self._queue.appendleft(waiter)
                        self._n_rows += waiter.n_rows
            raise
        with self._lock:
            n_rows = sum(waiter.n_rows for waiter in batch)
            self._expected = max(1, n_rows + self._n_rows)
            self._appoint(own)

    def _gather(self, own: _Waiter) -> None:
        """Wait for as many as came about together of late, or until it is time."""
        now_ns = perf_counter_ns()
        left_s = self.max_delay_s - (now_ns - own.came_ns) * 1e-9
        if own.deadline_ns is not None:
            left_s = min(left_s, (own.deadline_ns - now_ns) * 0.5e-9)
        with self._lock:
            if left_s <= 0.0 or self._n_rows >= self._wanted():
                return
            self._is_gathering = True
        self._is_full.acquire(timeout=left_s)
        with self._lock:
            if not self._is_gathering:  # it was opened, perhaps too late to be seen
                self._is_full.acquire(blocking=False)
            self._is_gathering = False

    def _take(self) -> list[_Waiter]:
        """Those in front that fit together; who is too late is told."""
        batch: list[_Waiter] = []
        passed: list[_Waiter] = []
        now_ns, n_rows = perf_counter_ns(), 0
        with self._lock:
            while self._queue:
                waiter = self._queue.popleft()
                if waiter.is_late(now_ns):
                    self._n_rows -= waiter.n_rows
                    waiter.end(error=DeadlineError(late_text(waiter.came_ns, now_ns)))
                elif not batch or (
                    waiter.key == batch[0].key
                    and n_rows + waiter.n_rows <= self.max_batch
                ):
                    batch.append(waiter)
                    n_rows += waiter.n_rows
                    self._n_rows -= waiter.n_rows
                else:
                    passed.append(waiter)
            self._queue.extend(passed)
        return batch

    def _run_batch(self, batch: Sequence[_Waiter]) -> None:
        self.n_batches += bool(batch)
        self.n_requests += len(batch)
        if len(batch) > 1:
            try:
                results = _joined([x.values for x in batch], batch[0].arm.program)
            except (TrimtabError, ValueError):
                pass  # one by one: each is told what is wrong with its own
            else:
                for waiter, result in zip(batch, results, strict=True):
                    waiter.end(result)
                return
        for waiter in batch:
            try:
                arm = waiter.arm
                waiter.end(arm.pipeline._predict(waiter.values, arm.program))
            except Exception as error:
                waiter.end(error=error)


def overloaded(queued: int, max_queue: int) -> OverloadedError:
    """Make the error that tells a caller to come back later.

    Parameters
    ----------
    queued, max_queue : int

    Returns
    -------
    error : OverloadedError

    Examples
    --------
    >>> overloaded(256, 256).queued
    256
    """
    error = OverloadedError(
        f"{queued} requests wait already, at most {max_queue} may (max_queue): come "
        "back later, or deploy the model more than once"
    )
    error.queued, error.max_queue = queued, max_queue
    return error


def _joined(parts: Sequence[Sequence[Any]], run: Any) -> list[Any]:
    """One run for all; the results apart again, each with memory of its own."""
    sizes = [values[0].shape[0] for values in parts]
    results = run(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    outputs = results if isinstance(results, tuple) else (results,)
    total = sum(sizes)
    for output in outputs:
        if output.ndim == 0 or output.shape[0] != total:
            raise ValueError(
                f"{total} rows gave an output of shape {list(output.shape)}"
            )
    ends = np.cumsum(sizes)[:-1]
    cut = [[part.copy() for part in np.split(output, ends)] for output in outputs]
    rows = list(zip(*cut, strict=True))
    return rows if isinstance(results, tuple) else [row[0] for row in rows]


def why_not_batched(pipeline: Pipeline) -> str:
    """Say why requests cannot be run together, after trying it with random ones.

    Parameters
    ----------
    pipeline : Pipeline

    Returns
    -------
    why : str
        Empty where they can.

    Examples
    --------
    >>> why_not_batched(pipeline)                          # doctest: +SKIP
    "the first dim of input 'x' is fixed (1)"
    """
    from trimtab.golden import compare
    from trimtab.precision import largest_allowed

    model = pipeline.model
    if not model.inputs:
        return "it has no inputs"
    for spec in model.inputs:
        if not spec.shape:
            return f"input {spec.name!r} has no first dim"
        if isinstance(spec.shape[0], int):
            return f"the first dim of input {spec.name!r} is fixed ({spec.shape[0]})"
    singles = [
        tuple(probe_inputs(model.inputs, size=8, seed=seed).values())
        for seed in (1, 2, 3)
    ]
    for i, x in enumerate(singles[0]):
        if x.shape[0] != 1:
            return f"input {model.inputs[i].name!r}: {x.shape[0]} rows are one request"
    try:
        alone = [model(*values) for values in singles]
        together = _joined(singles, model)
    except (TrimtabError, ValueError) as error:
        return f"random requests cannot be run together: {error}"
    allowed = largest_allowed({}, model.precision)
    for one, other in zip(alone, together, strict=True):
        _, wrong = compare(_by_number(one), _by_number(other), allowed)
        if wrong:
            return f"output {wrong} depends on what is run beside a request"
    return ""


def _by_number(result: Any) -> dict[str, Any]:
    parts = result if isinstance(result, tuple) else (result,)
    return {str(number): part for number, part in enumerate(parts)}
