"""One request on its way through an arm: prepared, run, answered, timed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

import numpy as np

from trimtab.errors import DeadlineError
from trimtab.processing.step import Context

if TYPE_CHECKING:
    from trimtab.deploy.arm import Arm

__all__ = ["Run", "Visit", "copied", "late_text"]

#: Arm, what its model takes, when it must have begun (ns or None) -> what it returns.
Run = Callable[["Arm", Sequence[Any], "int | None"], Any]


class Visit:
    """A request, and what became of it so far.

    Parameters
    ----------
    request : object
    request_id : hashable
    begun_ns : int
        Of ``time.perf_counter_ns``.
    deadline_ns : int or None
        Until then the model must have begun.
    """

    __slots__ = (
        "answer",
        "arm",
        "begun_ns",
        "context",
        "deadline_ns",
        "ran_ns",
        "ready_ns",
        "request",
        "request_id",
        "result",
        "told",
        "values",
    )

    def __init__(
        self, request: Any, request_id: Any, begun_ns: int, deadline_ns: int | None
    ) -> None:
        self.request = request
        self.request_id = request_id
        self.begun_ns = begun_ns
        self.deadline_ns = deadline_ns
        self.arm: Arm | None = None
        self.context: Context = {}
        self.values: Sequence[Any] | None = None
        self.result: Any = None
        #: The result for those who hear of it, whatever the steps do to it.
        self.told: Any = None
        self.answer: Any = None
        self.ready_ns = self.ran_ns = begun_ns

    def compute(self, arm: Arm, run: Run) -> None:
        """Prepare the request, unless an arm with the same steps has, and run.

        Parameters
        ----------
        arm : Arm
        run : callable

        Raises
        ------
        DeadlineError
            It is too late.
        """
        pipeline = arm.pipeline
        if self.values is None or self.arm is None or not arm.has_steps_of(self.arm):
            pipeline.model.core  # noqa: B018 (refused if it is closed)
            self.context = {}
            self.values = pipeline._values(self.request, self.context)
        self.arm = arm
        self.ready_ns = perf_counter_ns()
        if self.deadline_ns is not None and self.ready_ns > self.deadline_ns:
            raise DeadlineError(late_text(self.begun_ns, self.ready_ns))
        self.result = run(arm, self.values, self.deadline_ns)
        self.ran_ns = perf_counter_ns()
        self.told = self.result

    def keep_result(self) -> None:
        """Copy the result before steps that might change it."""
        if self.arm is not None and self.arm.pipeline.postprocess:
            self.told = copied(self.result)

    def finish(self) -> None:
        """Make the answer of what the model has returned."""
        assert self.arm is not None
        self.answer = self.arm.pipeline._answer(self.result, self.context)

    def again(self) -> Visit:
        """Give the same request for another arm to answer.

        Returns
        -------
        visit : Visit
        """
        other = Visit(self.request, self.request_id, self.begun_ns, self.deadline_ns)
        other.arm, other.values = self.arm, self.values
        other.context = dict(self.context)
        return other

    def take(self, other: Visit) -> None:
        """Make what became of the other what became of this one.

        Parameters
        ----------
        other : Visit
        """
        for name in self.__slots__:
            setattr(self, name, getattr(other, name))

    @property
    def model_s(self) -> float:
        """What the call of the model took."""
        return (self.ran_ns - self.ready_ns) * 1e-9

    @property
    def seconds(self) -> float:
        """Since it came."""
        return (perf_counter_ns() - self.begun_ns) * 1e-9


def copied(value: Any) -> Any:
    """Copy what a model took or returned.

    Parameters
    ----------
    value : array-like or tuple of array-like

    Returns
    -------
    copy : ndarray or tuple of ndarray

    Examples
    --------
    >>> copied(([1], [2]))
    (array([1]), array([2]))
    """
    if isinstance(value, tuple):
        return tuple(np.array(part) for part in value)
    return np.array(value)


def late_text(begun_ns: int, now_ns: int) -> str:
    """Say that a request is too late.

    Parameters
    ----------
    begun_ns, now_ns : int

    Returns
    -------
    text : str

    Examples
    --------
    >>> late_text(0, 2_000_000)[:50]
    'the deadline passed 2.0 ms after the request came,'
    """
    return (
        f"the deadline passed {1e-6 * (now_ns - begun_ns):.1f} ms after the request "
        "came, before the model ran: give it longer (deadline_s), or let fewer wait "
        "(max_queue)"
    )
