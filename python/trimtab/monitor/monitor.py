"""Watching a model that serves: `Monitor`, which `monitor_model` makes."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trimtab.errors import InputError
from trimtab.monitor.feed import Feed
from trimtab.monitor.joined import Joined
from trimtab.monitor.judge import Judge, window_record
from trimtab.monitor.learn import Learner
from trimtab.monitor.live import Live
from trimtab.monitor.naming import name_arrays
from trimtab.monitor.nodes import costly_nodes
from trimtab.monitor.reference import Reference
from trimtab.monitor.sampling import Budget
from trimtab.monitor.snapshot import Exchange
from trimtab.monitor.status import Status, WindowResult
from trimtab.monitor.troubles import Troubles
from trimtab.monitor.windows import Clock, Window
from trimtab.monitor.worker import Worker
from trimtab.types import Array

if TYPE_CHECKING:
    from trimtab.deploy.arm import Arm
    from trimtab.deploy.deployment import Deployment
    from trimtab.model import Model
    from trimtab.monitor.report import MonitorReport

__all__ = ["Monitor"]


class Monitor:
    """Made by `monitor_model`; any thread may call it, and nothing of it raises into
    serving.

    Examples
    --------
    >>> with trimtab.monitor_model(deployment) as monitor:  # doctest: +SKIP
    ...     serve(deployment)
    ...     print(monitor.check())
    """

    def __init__(
        self,
        deployment: Deployment | None,
        *,
        reference: Reference | None,
        window: Window,
        judge: Mapping[str, Any],
        sinks: Any,
        labels: Any,
        alerts: Any,
        budget: float | None,
        interval_s: float,
        history: int,
        name: str,
        version: str,
        clock: Clock,
        background: bool,
    ) -> None:
        from trimtab.monitor.sinks import Fanout

        self.deployment = deployment
        self.name = name
        self.version = version
        self.window = window
        self.labels = labels
        self._alerts = alerts
        self._clock = clock
        self._budget = Budget(budget).share  # refused here if it is none
        self._interval_s = interval_s
        self._history = history
        self._judge = dict(judge)
        self._troubles = Troubles()
        self._joined = Joined(labels, clock, self._troubles)
        self._worker = Worker(self)
        self._background = background
        self._live: Live | None = None
        self._learner = Learner(window.rows or 1000, self._model)
        self._feed: Feed | None = None
        self._skew: tuple[str, ...] | None = None
        self._is_closed = False
        self._begin()
        self._sinks = Fanout(sinks, snapshot=self.counters)
        if reference is not None:
            self._live = self._new_live(reference)
        if deployment is not None:
            self._attach(deployment)
        self._write({"kind": "event", "what": "started", "window": str(window)})
        if background:
            self._worker.start()

    def _begin(self) -> None:
        self._exchange = Exchange()
        self._lock = threading.RLock()

    @property
    def _model(self) -> Model | None:
        return None if self.deployment is None else self.deployment.model

    def _new_live(self, reference: Reference) -> Live:
        judge = Judge(reference, troubles=self._troubles, **self._judge)
        return Live(
            reference,
            self.window,
            judge=judge,
            clock=self._clock,
            history=self._history,
        )

    def _attach(self, deployment: Deployment) -> None:
        self._feed = Feed(
            deployment,
            None if self._live is None else self._live.reference,
            budget=self._budget,
            wake=self._worker.wake,
            troubles=self._troubles,
            answered=self._joined.predicted,
            swapped=self._swapped,
        )
        self._feed.alive = self._stay  # and the deployment holds its monitor

    def _swapped(self, arm: Arm) -> None:
        self._learner.model = arm.model
        self.version = "" if arm.version is None else str(arm.version)
        self._write({"kind": "event", "what": "swapped"})

    def _stay(self) -> None:
        """Have a thread; in a forked child there is none at first."""
        if self._background:
            self._worker.start()

    # ---- what users call ------------------------------------------------------------

    def observe(
        self,
        inputs: Any,
        outputs: Any = None,
        *,
        request_ids: Sequence[Any] | None = None,
        y_true: Any = None,
        age_s: float = 0.0,
    ) -> None:
        """Count a batch that something else than the deployment has served.

        Parameters
        ----------
        inputs : array, tuple of arrays, mapping or DataFrame
            What the model took: tensors by name; or columns, where the reference is
            one of plain data.
        outputs : array, tuple of arrays or mapping of str to array, optional
            What the model returned.
        request_ids : sequence of hashable, optional
            One for each row, for labels that come later.
        y_true : array-like, optional
            Labels, where they are known already.
        age_s : float, default=0.0
            How long ago it happened; rows too old for every window that is not over
            are counted as late.
        """
        with self._troubles.guard("observing a batch"):
            self._observe(inputs, outputs, request_ids, y_true, age_s)

    def _observe(
        self, inputs: Any, outputs: Any, request_ids: Any, y_true: Any, age_s: float
    ) -> None:
        if self._is_closed:
            raise InputError("the monitor is closed")
        named = self._named(inputs, "input")
        results = None if outputs is None else self._named(outputs, "output")
        self._count(named, results, age_s)
        if results and (request_ids is not None or y_true is not None):
            self._joined.predicted(request_ids, results, y_true)
        if not self._background:
            self.tick()
        elif not self._worker.is_alive:
            self._worker.start()
        elif self._live is not None and self._live.is_waiting:
            self._worker.wake()

    def _named(self, values: Any, side: str) -> dict[str, Array]:
        live = self._live
        tables = () if live is None else live.reference.tables
        return name_arrays(values, side, tables, self._model)

    def _count(
        self, inputs: dict[str, Array], outputs: Any, age_s: float = 0.0
    ) -> None:
        if self._live is not None:
            self._live.count(inputs, outputs, age_s=age_s)
            return
        reference = self._learner.add(inputs, outputs)
        if reference is not None:
            self._learned(reference)

    def _learned(self, reference: Reference) -> None:
        with self._lock:
            if self._live is not None:
                return
            self._live = self._new_live(reference)
            if self.deployment is not None:
                self._attach(self.deployment)
        self._write({"kind": "event", "what": "learned", "features": {}})

    def label(self, request_id: Any, y: Any) -> str:
        """Bring the truth of a request.

        Parameters
        ----------
        request_id : hashable
            That the prediction was made with.
        y : object
            The class (its number), or the value.

        Returns
        -------
        status : str
            What became of it, as `LabelStore.label` says; "not kept" where there is no
            store of labels.
        """
        return self._joined.label(request_id, y)

    def check(self) -> Status:
        """Look now: at all that came, windows that are not over too.

        Returns
        -------
        status : Status
        """
        self.tick()
        look = None
        with self._troubles.guard("looking at the open window"):
            if self._live is not None and not self._live.results:
                look = self._live.look()
        return self._status(look)

    def status(self) -> Status:
        """Say what is known, without looking.

        Returns
        -------
        status : Status
        """
        return self._status(None)

    def _status(self, look: WindowResult | None) -> Status:
        live = self._live
        last = live.results[-1] if live is not None and live.results else look
        alerts = tuple(self._alerts.active) if self._alerts is not None else ()
        state = "no data"
        if live is None:
            state = "learning"
        elif last is not None and last.drift is not None:
            state = "drift" if last.is_drifted else "ok"
        return Status(
            "alert" if alerts else state,
            last,
            alerts,
            self._skew or (),
            _brief(self.counters()),
            self._joined.metrics(),
            self._joined.counts(),
            self.troubles,
            0 if live is None else live.n_windows,
            0 if live is None else live.n_rows,
        )

    @property
    def reference(self) -> Reference | None:
        """What traffic is compared with; None while it is being learned."""
        return None if self._live is None else self._live.reference

    @property
    def windows(self) -> tuple[WindowResult, ...]:
        """The last complete windows, oldest first."""
        return () if self._live is None else tuple(self._live.results)

    @property
    def label_windows(self) -> tuple[dict[str, Any], ...]:
        """Metrics by window of predictions, as labels come; oldest first."""
        return self._joined.windows()

    @property
    def troubles(self) -> dict[str, int]:
        """What went wrong inside monitoring, and how often."""
        found = self._troubles.counts
        live, feed = self._live, self._feed
        more = {
            "rows too late for any window": live.n_late if live else 0,
            "windows that nobody had time to judge": live.n_overflowed if live else 0,
            "looks that found the queue full": feed.intake.n_dropped if feed else 0,
        }
        with self._troubles.guard("counting what sinks did"):
            for name, stats in self._sinks.stats().items():
                more[f"records that {name} lost"] = stats.n_lost
                more[f"records dropped before {name}"] = stats.n_dropped
        return {**found, **{what: n for what, n in more.items() if n}}

    def counters(self) -> dict[str, Any]:
        """Give the totals of the deployment: requests, errors, times, odd values.

        Returns
        -------
        counters : dict
            Of `_core.Watcher.snapshot`; empty without a deployment.
        """
        found: dict[str, Any] = {}
        with self._troubles.guard("reading the counters"):
            if self._feed is not None:
                found = self._feed.totals()
            labels = self._joined.totals()
            found |= {"labels": labels} if labels else {}
        return {"model": self.name, "version": self.version, **found}

    # ---- many processes -------------------------------------------------------------

    def snapshot(
        self, path: str | os.PathLike[str] | None = None, *, reset: bool = False
    ) -> bytes:
        """Give what was counted since the start, or since the last reset.

        Windows do not notice. Sketches merge exactly: the snapshots of 8 processes
        make the sketches of one that has seen everything.

        Parameters
        ----------
        path : path, optional
            A file to write it to, whole or not at all.
        reset : bool, default=False
            True: the next one holds only what comes from now on.

        Returns
        -------
        data : bytes
            For `merge`.

        Raises
        ------
        InputError
            There is no reference yet.
        OSError
            The file cannot be written.
        """
        live = self._with_reference("a snapshot")
        with self._lock:
            self._gather()
            epoch, tally = live.epoch, live.take(reset=reset)
        try:
            return self._exchange.write(
                tally, epoch=epoch, counters=_brief(self.counters()), path=path
            )
        except BaseException:
            if reset:
                live.put_back(tally)
            raise

    def _with_reference(self, what: str) -> Live:
        if self._live is None:
            raise InputError(
                f"{what}: the reference is still being learned; give one to "
                "monitor_model, equal in all processes"
            )
        return self._live

    def merge(self, snapshot: bytes | str | os.PathLike[str]) -> None:
        """Count what another process has counted, in the window that is open.

        Parameters
        ----------
        snapshot : bytes or path
            Of `Monitor.snapshot`, for an equal reference.

        Raises
        ------
        InputError
            It is none, damaged, of another reference, or holds rows that were merged
            before.
        OSError
            The file cannot be read.
        """
        live = self._with_reference("merge")
        with self._lock:
            live.add(self._exchange.read(snapshot, live.reference))
        if not self._background:
            self.tick()

    # ---- what the worker calls ------------------------------------------------------

    def tick(self) -> float:
        """Count what was handed over, and judge the windows that are over.

        Returns
        -------
        seconds : float
            Until it should be called again.
        """
        with self._troubles.guard("gathering what was seen"):
            self._gather()
        with self._troubles.guard("judging windows"):
            if self._live is not None:
                for result in self._live.judge_pending():
                    with self._troubles.guard("telling of a window"):
                        self._finished(result)
        self._write_labels()
        left = None if self._live is None else self._live.seconds_left()
        return self._interval_s if left is None else min(left + 1e-3, self._interval_s)

    def _gather(self) -> None:
        feed, live = self._feed, self._live
        if feed is None:
            return
        if live is not None:
            feed.gather(live)
            return
        for inputs, outputs in feed.calls():
            self._count(inputs, outputs)

    def _finished(self, result: WindowResult) -> None:
        if self._skew is None and result.drift is not None:
            self._skew = result.drifted
            if result.drifted:
                self._write(
                    {"kind": "event", "what": "skew", "drifted": list(result.drifted)}
                )
        record = window_record(result)
        record["metrics"] = self._joined.metrics()
        self._write(record)
        self._write_labels(is_due=True)
        with self._troubles.guard("judging alerts"):
            for alert in () if self._alerts is None else self._alerts.update(result):
                self._write({"kind": "alert", **alert})

    def _write_labels(self, *, is_due: bool = False) -> None:
        with self._troubles.guard("writing of labels"):
            record = self._joined.record(is_due=is_due)
            if record is not None:
                self._write(record)

    def _write(self, record: Mapping[str, Any]) -> None:
        self._sinks.write(
            {
                "time": self._clock.time(),
                "model": self.name,
                "version": self.version,
                **record,
            }
        )

    def renew(self) -> None:
        """Begin again in a forked child: what the parent counted stays the parent's."""
        self._begin()
        self._troubles.renew()
        self._learner.renew()
        self._skew = None
        parts: tuple[Any, ...] = (
            self._feed,
            self._live,
            self._joined,
            self._alerts,
        )
        for part in parts:
            if hasattr(part, "renew"):
                part.renew()

    # ---- reading, ending ------------------------------------------------------------

    def report(self) -> MonitorReport:
        """Make a report of the windows so far.

        Returns
        -------
        report : MonitorReport
        """
        from trimtab.monitor.report import MonitorReport

        status = self.check()
        return MonitorReport.of(self, status, self._clock.time())

    def close(self) -> None:
        """Judge what is there, end the thread and close the sinks.

        The deployment serves on, unwatched. Closing twice is no error.
        """
        if self._is_closed:
            return
        self._worker.stop()
        self.tick()
        self._is_closed = True
        with self._troubles.guard("looking at the open window"):
            look = None if self._live is None else self._live.look()
            if look is not None and look.drift is not None:
                self._write(window_record(look))
        with self._troubles.guard("leaving the deployment"):
            if self._feed is not None:
                self._feed.close()
        self._write_labels(is_due=True)
        self._write({"kind": "event", "what": "closed"})
        with self._troubles.guard("closing the sinks"):
            self._sinks.close()

    def __enter__(self) -> Monitor:
        """Give itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close."""
        self.close()

    def __repr__(self) -> str:
        """Name, window and state."""
        return f"Monitor({self.name!r}, {self.window}: {self._status(None).state})"


def _brief(counters: dict[str, Any]) -> dict[str, Any]:
    """Without the cells of histograms, whose quantiles are in the stages."""
    found = {key: value for key, value in counters.items() if key != "histograms"}
    if "nodes" in found:
        found["nodes"] = costly_nodes(found["nodes"])
    return found
