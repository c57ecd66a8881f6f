"""A pipeline in service: counted, swapped between two requests, tried beside others."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from trimtab import _core
from trimtab.deploy.arm import Arm
from trimtab.deploy.follower import Follower
from trimtab.deploy.response import Swap
from trimtab.deploy.route import Route
from trimtab.deploy.serving import Serving
from trimtab.deploy.shadow import Shadow
from trimtab.deploy.source import Source, Stages
from trimtab.deploy.swap import Preparer
from trimtab.errors import InputError
from trimtab.model import Model
from trimtab.pipeline import Pipeline
from trimtab.processing.step import Step

if TYPE_CHECKING:
    from trimtab.deploy.batcher import Batcher
    from trimtab.deploy.traffic import Traffic
    from trimtab.registry.registry import Registry
    from trimtab.registry.version import ModelVersion

__all__ = ["Deployment"]


class Deployment(Serving):
    """Preprocess, predict, postprocess, and count; made by `deploy_model`.

    Any number of threads may call it. Steps run on the calling thread, so callables
    among them must be thread-safe themselves. Counting happens in C and costs less
    than a microsecond a request.

    Parameters
    ----------
    pipeline : Pipeline
    name : str, optional
        By default the model's.
    counters : path-like, optional
        A file in which several processes count together; see `deploy_model`.
    stages : Stages, optional
        Steps for the models that come later; by default those of `pipeline`.
    source : Source, optional
        The registry that versions come from.
    version : ModelVersion, optional
        What `pipeline` is there.
    follow : bool, default=False
        Serve what the alias of `source` names, when it changes.
    batcher : Batcher, optional
        Runs requests together.
    max_queue : int, default=256
        Asynchronous requests that may wait.
    deadline_s : float, optional
        Of requests that name none.

    Raises
    ------
    InputError
        `counters` cannot be such a file.

    Examples
    --------
    >>> answer = trimtab.deploy_model(model)(x)            # doctest: +SKIP
    """

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        name: str | None = None,
        counters: str | os.PathLike[str] | None = None,
        stages: Stages | None = None,
        source: Source | None = None,
        version: ModelVersion | None = None,
        follow: bool = False,
        batcher: Batcher | None = None,
        max_queue: int = 256,
        deadline_s: float | None = None,
    ) -> None:
        self.name = pipeline.model.name if name is None else name
        watcher = _core.Watcher(counters, name=self.name)
        champion = Arm(
            pipeline,
            watcher,
            version=None if version is None else version.version,
            digest=None if version is None else version.digest,
            is_first=True,
        )
        super().__init__(
            champion,
            watcher,
            batcher=batcher,
            max_queue=max_queue,
            deadline_s=deadline_s,
        )
        given = stages or Stages(pipeline.preprocess, pipeline.postprocess)
        #: Of the tensors, as they are counted.
        self.input_names = [spec.name for spec in pipeline.model.inputs]
        self.output_names = [spec.name for spec in pipeline.model.outputs]
        self._source = source
        self._preparer = Preparer(watcher, given, source, batcher is not None)
        self._arms: weakref.WeakSet[Arm] = weakref.WeakSet([champion])
        self._swapping = threading.Lock()
        #: Follows the alias in the registry; None: nothing is followed.
        self.follower: Follower | None = None
        if follow and source is not None:
            self.follower = Follower(self, source)
            self.follower.start()
        _DEPLOYMENTS.add(self)

    # ---- what serves ----------------------------------------------------------------

    @property
    def champion(self) -> Arm:
        """The arm that serves. Holding it keeps it, and it can be swapped in again."""
        return self._open_route().champion

    @property
    def pipeline(self) -> Pipeline:
        """The model that serves, with its steps."""
        return self.champion.pipeline

    @property
    def model(self) -> Model:
        """The model in the middle."""
        return self.champion.pipeline.model

    @property
    def version(self) -> int | None:
        """Number in the registry of what serves; None: it is in none."""
        return self.champion.version

    @property
    def registry(self) -> Registry | None:
        """Where versions come from."""
        return None if self._source is None else self._source.registry

    @property
    def registered_name(self) -> str | None:
        """The name in the registry that versions are of."""
        return None if self._source is None else self._source.name

    @property
    def alias(self) -> str | None:
        """The alias in the registry that says what serves."""
        return None if self._source is None else self._source.alias

    @property
    def watcher(self) -> _core.Watcher:
        """The counters; `monitor_model` hangs its sketches on them."""
        return self._watcher

    @property
    def program(self) -> _core.Program:
        """What runs the model; watching it again changes what is looked at."""
        return self.champion.program

    @property
    def troubles(self) -> dict[str, int]:
        """What failed beside serving, and how often."""
        return self._troubles.counts

    # ---- changing it ----------------------------------------------------------------

    def prepare(self, wanted: Any, *, verify: bool = True) -> Arm:
        """Load a version and try it out, without serving it.

        Parameters
        ----------
        wanted : int, str, ModelVersion, Model, Pipeline or Arm
            "digits/3" or 3 of the registry; or a model that is loaded.
        verify : bool, default=True
            False: it is run, so that it is warm, but not examined.

        Returns
        -------
        arm : Arm
            For `swap`, or for `Traffic`. An arm of the same version that is still held
            by someone is given again.

        Raises
        ------
        SwapError
            It is not fit to serve: it cannot be loaded, takes or gives other tensors,
            departs from its golden pairs, gives NaN where the champion does not, or
            is ten times as slow.
        InputError
            It is nothing that can be deployed here.
        """
        if isinstance(wanted, Arm):
            if wanted not in self._arms:
                raise InputError("the arm is of another deployment: prepare it here")
            return wanted
        with self._lock:
            held = list(self._arms)
        warm = {arm.digest: arm for arm in held if arm.digest is not None}
        del held
        arm = self._preparer.arm(wanted, self.champion, warm, verify=verify)
        with self._lock:
            self._arms.add(arm)
        return arm

    def swap(self, wanted: Any, *, verify: bool = True) -> Swap:
        """Serve another version from now on.

        It is loaded and tried out beside the one that serves. Then the next request is
        its own, and the engine's memory of the old one goes when its last request ends.
        The registry is not changed.

        Parameters
        ----------
        wanted, verify
            As `prepare` takes them.

        Returns
        -------
        swap : Swap

        Raises
        ------
        SwapError
            It is not fit to serve; the champion serves on.
        """
        begun = time.perf_counter()
        with self._swapping:
            arm = self.prepare(wanted, verify=verify)
            before = self.champion.version
            with self._lock:
                self._route = self._routed(arm, self._open_route())
            listener = self.listener
            if listener is not None:
                with self._troubles.guard("telling the monitor of a swap"):
                    listener.swapped(arm)
        reasons = () if verify else ("it was not examined (verify=False)",)
        return Swap(before, arm.version, time.perf_counter() - begun, reasons)

    @property
    def traffic(self) -> Traffic | None:
        """The candidate that is tried beside the champion."""
        return self._open_route().traffic

    @property
    def shadow(self) -> Shadow | None:
        """What runs copies of requests, while the traffic is a shadow's."""
        return self._open_route().shadow

    def set_traffic(self, traffic: Traffic | None) -> None:
        """Try a candidate beside the champion, or end that.

        Parameters
        ----------
        traffic : Traffic or None
            From the next request on.

        Raises
        ------
        InputError
            The candidate is an arm of another deployment.
        """
        shadow = None
        if traffic is not None:
            self.prepare(traffic.candidate)
            if traffic.mode == "shadow":
                shadow = Shadow(traffic, self._troubles)
        with self._lock:
            before = self._open_route()
            is_plain = self._batcher is None and self._deadline_s is None
            self._route = Route(before.champion, traffic, shadow, is_plain=is_plain)
        if before.shadow is not None:
            before.shadow.close()

    # ---- ending ---------------------------------------------------------------------

    @property
    def is_closed(self) -> bool:
        """Has `close` been called?"""
        return self._route is None

    def close(self) -> None:
        """End: requests from now on are refused, and memory is given back.

        Requests that are under way are answered. Closing twice is no error.
        """
        if self.follower is not None:
            self.follower.close()
        with self._lock:
            route, self._route = self._route, None
        if route is not None and route.shadow is not None:
            route.shadow.close()
        self._pool.close()

    def __enter__(self) -> Deployment:
        """Use the deployment in a ``with`` block, which closes it."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close it."""
        self.close()

    def _renew(self) -> None:
        """Begin again in a forked child: threads and their locks are not there."""
        self._lock = threading.Lock()
        self._swapping = threading.Lock()
        self._troubles.renew()
        self._pool.renew()
        if self._batcher is not None:
            self._batcher.renew()

    # ---- counters -------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        """Read all counters.

        Returns
        -------
        counters : dict
            Totals that only grow, of all processes that share the file of counters:
            ``n_requests`` and ``request_errors`` (by the exception's class) of the
            deployment; ``n_calls``, ``n_rows`` and ``errors`` of the model's program;
            ``stages``, the times of each (``n``, ``sum_s``, ``max_s``, ``p50_s``,
            ``p90_s``, ``p99_s``, ``p999_s``); ``inputs`` and ``outputs`` by name, the
            odd values among ``n_values`` that were looked at; ``n_rows_looked`` and
            ``look_s``, how much that was and what it took; ``n_processes``, alive.
            And ``clipping``, of this process: values at the ends of the range of each
            quantised tensor, and all that were looked at.
        """
        snapshot = self._watcher.snapshot()
        names = {"inputs": self.input_names, "outputs": self.output_names}
        for key, named in names.items():
            # as many as the counters tell apart
            snapshot[key] = dict(zip(named, snapshot[key], strict=False))
        return {
            "name": self.name,
            "version": None if self.is_closed else self.version,
            **snapshot,
            "clipping": {} if self.is_closed else self.model.clipping(),
        }

    @property
    def stats(self) -> dict[str, Any]:
        """Requests, errors and times so far, in brief.

        ``n_requests``, ``n_errors`` (requests that raised an exception), ``errors`` by
        the exception's class, ``n_rows`` that the model was given, ``latency_s``
        (``p50``, ``p90``, ``p99``, ``p999``, ``max`` of whole requests) and
        ``stages_s``, the time spent in each. `snapshot` tells more.
        """
        snapshot = self._watcher.snapshot()
        request = snapshot["stages"].pop("request")
        quantiles = ("p50", "p90", "p99", "p999", "max")
        return {
            "n_requests": snapshot["n_requests"],
            "n_errors": sum(snapshot["request_errors"].values()),
            "errors": snapshot["request_errors"],
            "n_rows": snapshot["n_rows"],
            "latency_s": {q: request[f"{q}_s"] for q in quantiles},
            "stages_s": {k: v["sum_s"] for k, v in snapshot["stages"].items()},
        }

    def __repr__(self) -> str:
        """Give the stages on one line."""
        if self.is_closed:
            return f"Deployment({self.name!r}, closed)"
        before, after = (
            [s.kind if isinstance(s, Step) else _name(s) for s in stage]
            for stage in (self.pipeline.preprocess, self.pipeline.postprocess)
        )
        return f"Deployment({' -> '.join([*before, self.model.name, *after])})"


def _name(step: Callable[..., Any]) -> str:
    name: str = getattr(step, "__name__", type(step).__name__)
    return name


_DEPLOYMENTS: weakref.WeakSet[Deployment] = weakref.WeakSet()


def _renew_all() -> None:
    for deployment in list(_DEPLOYMENTS):
        deployment._renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)
