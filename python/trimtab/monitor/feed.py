"""What a deployment gives its monitor: counters and sketches of C, looks at calls."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from trimtab.monitor.attach import Attachment, Listener, intake_for
from trimtab.monitor.inner import InnerReader
from trimtab.monitor.intake import Intake
from trimtab.monitor.live import Live
from trimtab.monitor.naming import name_arrays
from trimtab.monitor.reference import Reference
from trimtab.monitor.troubles import Troubles
from trimtab.types import Array

if TYPE_CHECKING:
    from trimtab.deploy.arm import Arm
    from trimtab.deploy.deployment import Deployment

__all__ = ["Feed"]


class Feed:
    """Hangs on a deployment until `close`.

    Parameters
    ----------
    deployment : Deployment
    reference : Reference or None
        None: whole calls are handed over, to learn one.
    budget : float or None
        Share of the calls' time; C has one half of it and the looks the other.
    wake : callable
        Called when there is much to gather.
    troubles : Troubles
    answered : callable
        Takes ids and outputs by name of requests whose labels may come.
    swapped : callable
        Takes the arm that serves from now on.
    """

    def __init__(
        self,
        deployment: Deployment,
        reference: Reference | None,
        *,
        budget: float | None,
        wake: Callable[[], None],
        troubles: Troubles,
        answered: Callable[[list[Any], dict[str, Array]], None],
        swapped: Callable[[Arm], None] = lambda arm: None,
    ) -> None:
        share = budget and budget / 2
        self.intake = Intake(None, None, share=share, wake=wake)
        self._model = deployment.model
        self._wake = wake
        self._answered = answered
        self._swapped = swapped
        self._troubles = troubles
        self._lock = threading.Lock()
        self._inner: InnerReader | None = None
        #: Called with every look, on the serving thread.
        self.alive: Callable[[], None] = lambda: None
        listener = Listener(self)
        self._attachment = Attachment(deployment, reference, listener, share=share)
        if reference is not None:
            intake_for(self.intake, reference, self._attachment.tables)
        if reference is not None and reference.inside:
            self._inner = InnerReader(self._model, reference.inside, share)

    def swapped(self, arm: Arm) -> None:
        """Look at another model from now on; what was counted stays.

        Parameters
        ----------
        arm : Arm
        """
        self._model = arm.model  # the one before must be free to go
        if self._inner is not None:
            self._inner.swap(arm.model)
        self._swapped(arm)

    def renew(self) -> None:
        """Begin again in a forked child."""
        self._lock = threading.Lock()
        self.intake.renew()

    # ---- on serving threads ---------------------------------------------------------

    def saw(self, values: Sequence[Any], result: Any, seconds: float) -> None:
        """Take note of a call that was due.

        Parameters
        ----------
        values : sequence of array-like
        result : ndarray or tuple of ndarray
        seconds : float
        """
        begun = time.perf_counter()
        with self._troubles.guard("looking at a call"):
            self.intake.take(
                name_arrays(tuple(values), "input", (), self._model),
                name_arrays(result, "output", (), self._model),
            )
            self.alive()
            copy_s = time.perf_counter() - begun
            self.intake.budget.learn(call_s=seconds, copy_s=copy_s)

    def answered(self, request_id: Any, result: Any) -> None:
        """Take note of a request whose label may come.

        Parameters
        ----------
        request_id : hashable, or list of these
        result : ndarray or tuple of ndarray
        """
        with self._troubles.guard("keeping predictions for labels"):
            ids = request_id if isinstance(request_id, list) else [request_id]
            self._answered(ids, name_arrays(result, "output", (), self._model))

    # ---- on the monitor's -----------------------------------------------------------

    def calls(self) -> list[tuple[dict[str, Array], dict[str, Array]]]:
        """Give whole looks, to learn a reference of.

        Returns
        -------
        calls : list of (dict, dict)
            Inputs and outputs by name.
        """
        with self._lock:
            return [(look.inputs, look.outputs) for look, _ in self.intake.drain()]

    def gather(self, live: Live) -> None:
        """Count what has come.

        Parameters
        ----------
        live : Live
        """
        with self._lock:
            tables = self._attachment.tables
            looks = self.intake.drain()
            sketches = self._attachment.swap()
            begun = time.thread_time()
            # sketches bring rows, and may end the window: what is beside goes first
            count = live.count_beside if tables else live.count
            for look, _ in looks:
                count(look.inputs, look.outputs, but=tables)
            spent = time.thread_time() - begun
            for look, _ in looks:
                with self._troubles.guard("reading tensors in the middle"):
                    if self._inner is not None:
                        live.count_inside(self._inner.read(look))
            live.add_sketches(sketches)
            n_calls = sum(n for _, n in looks)
            if n_calls:
                self.intake.budget.learn(work_s=spent / n_calls)

    def totals(self) -> dict[str, Any]:
        """Give the counters of the deployment.

        Returns
        -------
        totals : dict
        """
        return self._attachment.totals()

    def close(self) -> None:
        """Leave the deployment; it serves on."""
        self._attachment.close()
