"""A request of which a candidate may give the answer; the champion stands behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from trimtab.errors import DeadlineError, OverloadedError

if TYPE_CHECKING:
    from trimtab.deploy.arm import Arm
    from trimtab.deploy.traffic import Traffic
    from trimtab.deploy.visit import Run, Visit
    from trimtab.monitor.troubles import Troubles

__all__ = ["is_finite", "serve_canary"]


def is_finite(result: Any) -> bool:
    """Are all floats of what a model returned numbers?

    Parameters
    ----------
    result : ndarray or tuple of ndarray

    Returns
    -------
    is_finite : bool

    Examples
    --------
    >>> is_finite((np.ones(2), np.array([1, 2]))), is_finite(np.array([np.inf]))
    (True, False)
    """
    parts = result if isinstance(result, tuple) else (result,)
    return all(_is_finite(np.asarray(part)) for part in parts)


def _is_finite(array: Any) -> bool:
    if array.dtype.kind not in "fcV":  # V: bfloat16, of extension types
        return True
    try:
        return bool(np.isfinite(array).all())
    except TypeError:
        return True


def serve_canary(
    visit: Visit,
    champion: Arm,
    traffic: Traffic,
    *,
    is_candidates: bool,
    run: Run,
    troubles: Troubles,
) -> None:
    """Answer a request while a canary runs, and tell the listener.

    Parameters
    ----------
    visit : Visit
    champion : Arm
    traffic : Traffic
    is_candidates : bool
        Is this one in the candidate's share?
    run : callable
    troubles : Troubles
        Counts what the listener fails at.

    Examples
    --------
    >>> serve_canary(visit, champion, traffic, is_candidates=True, run=run,
    ...              troubles=troubles)                    # doctest: +SKIP
    """
    failure: tuple[float, Exception | None] | None = None
    error: BaseException | None = None
    try:
        if is_candidates:
            failure = _candidate_first(visit, champion, traffic.candidate, run)
        else:
            visit.compute(champion, run)
            visit.keep_result()
            visit.finish()
    except BaseException as raised:
        error = raised
        raise
    finally:
        listener = traffic.listener
        if listener is not None:
            with troubles.guard("telling of a canary"):
                if failure is not None:
                    listener.failed(visit.request_id, *failure)
                else:
                    listener.served(
                        "candidate" if is_candidates else "champion",
                        visit.request_id,
                        visit.told if error is None else None,
                        visit.seconds,
                        error,
                    )


def _candidate_first(
    visit: Visit, champion: Arm, candidate: Arm, run: Run
) -> tuple[float, Exception | None] | None:
    """How the candidate failed, where the champion does not; else None."""
    error: Exception | None = None
    try:
        visit.compute(candidate, run)
        visit.keep_result()
        visit.finish()
        if is_finite(visit.told):
            return None
    except (OverloadedError, DeadlineError):
        raise  # nobody's fault, and no time for another try
    except Exception as raised:
        error = raised
    seconds = visit.seconds
    second = visit.again()
    try:
        second.compute(champion, run)
        second.keep_result()
        second.finish()
    except Exception:
        if error is None:
            return None
        raise  # the request is to blame
    if error is None and not is_finite(second.told):
        return None
    visit.take(second)
    return seconds, error
