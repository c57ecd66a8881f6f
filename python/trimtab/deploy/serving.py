"""The part of a deployment that answers requests."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable, Sequence
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from trimtab import _core
from trimtab.deploy.arm import Arm
from trimtab.deploy.canary import serve_canary
from trimtab.deploy.pool import Pool
from trimtab.deploy.response import Response
from trimtab.deploy.route import Route
from trimtab.deploy.visit import Visit
from trimtab.errors import InputError
from trimtab.monitor.troubles import Troubles
from trimtab.processing.step import Context

if TYPE_CHECKING:
    from trimtab.deploy.batcher import Batcher
    from trimtab.deploy.listener import Listener

__all__ = ["Serving"]

#: Threads of asynchronous requests, where nothing is batched; else as many as a batch.
_N_THREADS, _MAX_THREADS = 4, 32


class Serving:
    """Answers requests; see `trimtab.Deployment`.

    Parameters
    ----------
    champion : Arm
    watcher : Watcher
    batcher : Batcher or None
    max_queue : int
        Of asynchronous requests.
    deadline_s : float or None

    Raises
    ------
    InputError
        A number is out of range.
    """

    def __init__(
        self,
        champion: Arm,
        watcher: _core.Watcher,
        *,
        batcher: Batcher | None,
        max_queue: int,
        deadline_s: float | None,
    ) -> None:
        if max_queue < 1:
            raise InputError(f"max_queue: expected 1 or more, got {max_queue}")
        self._watcher = watcher
        self._batcher = batcher
        self._deadline_s = _checked_s(deadline_s)
        n_threads = max(_N_THREADS, batcher.max_batch if batcher else 0)
        self._pool = Pool(min(n_threads, _MAX_THREADS), max_queue)
        self._troubles = Troubles("serving", "Deployment.troubles")
        self._lock = threading.Lock()  # of changes of the route
        self._route: Route | None = None
        self._route = self._routed(champion)
        #: Hears of some calls, and of those with an id; `monitor_model` sets it.
        self.listener: Listener | None = None

    def _routed(self, champion: Arm, like: Route | None = None) -> Route:
        """A route to a champion, and to whom else the last one led."""
        traffic, shadow = (like.traffic, like.shadow) if like else (None, None)
        is_plain = self._batcher is None and self._deadline_s is None
        return Route(champion, traffic, shadow, is_plain=is_plain)

    def _open_route(self) -> Route:
        route = self._route
        if route is None:
            raise InputError("the deployment is closed: deploy the model again")
        return route

    # ---- one request ----------------------------------------------------------------

    def __call__(
        self,
        request: Any,
        *,
        request_id: Any = None,
        key: Any = None,
        deadline_s: float | None = None,
    ) -> Any:
        """Answer one request.

        Parameters
        ----------
        request : object
            What the first step takes; without steps what the model takes: an
            array, a tuple of arrays in graph order, or a dict by input name.
        request_id : hashable, optional
            Names the request for labels that come later (`Monitor.label`); a list of
            one for each row, where the model is given several. Nothing is kept
            without a monitor.
        key : str, bytes or int, optional
            Whose request it is: while a candidate is tried, those of one key go the
            same way. By default the request's id.
        deadline_s : float, optional
            By then the model must have begun; by default the deployment's.

        Returns
        -------
        answer : object
            What the last step returns; without steps what the model returns.

        Raises
        ------
        InputError
            The preprocessed input does not fit the model's signature.
        OverloadedError
            Too many requests wait to be run together.
        DeadlineError
            It was too late before the model ran.
        """
        route = self._route
        if route is None or not route.is_plain or deadline_s is not None:
            return self._serve(request, request_id, key, deadline_s)[0].answer
        run = route.request
        if run is not None:
            return self._answer_bare(request, route, run, request_id)
        begun = perf_counter_ns()
        context: Context = {}
        pipeline = route.pipeline
        try:
            pipeline.model.core  # noqa: B018 (refused if it is closed)
            values = pipeline._values(request, context)
            ready = perf_counter_ns()
            answer = self._predict(values, route, route.program, request_id)
            ran = perf_counter_ns()
            answer = pipeline._answer(answer, context)
        except BaseException as error:
            self._watcher.count_error(error)
            raise
        self._watcher.count_request(begun, ready, ran)
        return answer

    def _answer_bare(
        self, request: Any, route: Route, run: _core.Program, request_id: Any
    ) -> Any:
        """Answer where there are no steps; `run` counts what it is called for."""
        pipeline = route.pipeline
        try:
            if pipeline.model._core is None:
                pipeline.model.core  # noqa: B018 (raises)
            values = pipeline._values(request, {})
        except BaseException as error:
            self._watcher.count_error(error)
            raise
        return self._predict(values, route, run, request_id)

    def _predict(
        self, values: Sequence[Any], route: Route, run: _core.Program, request_id: Any
    ) -> Any:
        """Run the model; of some calls, and of those with an id, somebody hears."""
        listener = self.listener
        if listener is None:
            return route.pipeline._predict(values, run)
        is_due = listener.due()
        if not is_due and request_id is None:
            return route.pipeline._predict(values, run)
        begun = perf_counter_ns()
        result = route.pipeline._predict(values, run)
        if is_due:
            listener.saw(values, result, (perf_counter_ns() - begun) * 1e-9)
        if request_id is not None:
            listener.answered(request_id, result)
        return result

    def _serve(
        self,
        request: Any,
        request_id: Any,
        key: Any,
        deadline_s: float | None,
        begun_ns: int | None = None,
    ) -> tuple[Visit, Route]:
        """Answer a request wherever the route leads, with all that may stand there."""
        route = self._open_route()
        begun_ns = begun_ns or perf_counter_ns()
        deadline_s = self._deadline_s if deadline_s is None else _checked_s(deadline_s)
        deadline_ns = None if deadline_s is None else begun_ns + int(1e9 * deadline_s)
        visit = Visit(request, request_id, begun_ns, deadline_ns)
        traffic, key = route.traffic, request_id if key is None else key
        try:
            if traffic is not None and traffic.mode == "canary":
                serve_canary(
                    visit,
                    route.champion,
                    traffic,
                    is_candidates=traffic.takes(key),
                    run=self._run,
                    troubles=self._troubles,
                )
                self._hear(visit)
            else:
                visit.compute(route.champion, self._run)
                self._hear(visit)
                if route.shadow is not None and traffic and traffic.takes(key):
                    route.shadow.offer(visit)
                visit.finish()
        except BaseException as error:
            self._watcher.count_error(error)
            raise
        self._watcher.count_request(visit.begun_ns, visit.ready_ns, visit.ran_ns)
        return visit, route

    def _run(self, arm: Arm, values: Sequence[Any], deadline_ns: int | None) -> Any:
        """Run an arm's model, together with others where that is wanted."""
        if self._batcher is not None:
            return self._batcher.run(arm, values, deadline_ns)
        return arm.pipeline._predict(values, arm.program)

    def _hear(self, visit: Visit) -> None:
        """As `_predict` does."""
        listener = self.listener
        if listener is None:
            return
        if listener.due():
            listener.saw(visit.values or (), visit.told, visit.model_s)
        if visit.request_id is not None:
            listener.answered(visit.request_id, visit.told)

    def respond(
        self,
        request: Any,
        *,
        request_id: Any = None,
        key: Any = None,
        deadline_s: float | None = None,
    ) -> Response:
        """Answer one request, and say which version did.

        Parameters
        ----------
        request, request_id, key, deadline_s
            As a call takes them.

        Returns
        -------
        response : Response
        """
        visit, route = self._serve(request, request_id, key, deadline_s)
        arm = visit.arm or route.champion
        return Response(
            visit.answer,
            arm.version,
            "champion" if arm is route.champion else "candidate",
            request_id,
            visit.seconds,
        )

    async def predict_async(
        self,
        request: Any,
        *,
        request_id: Any = None,
        key: Any = None,
        deadline_s: float | None = None,
    ) -> Any:
        """Answer one request on another thread, while the event loop goes on.

        Parameters
        ----------
        request, request_id, key, deadline_s
            As a call takes them.

        Returns
        -------
        answer : object

        Raises
        ------
        OverloadedError
            `max_queue` requests wait for a thread already.
        """
        begun_ns = perf_counter_ns()
        self._open_route()
        future = self._pool.submit(
            self._serve, request, request_id, key, deadline_s, begun_ns
        )
        visit, _ = await asyncio.wrap_future(future)
        return visit.answer

    # ---- several --------------------------------------------------------------------

    def predict_batch(
        self, requests: Iterable[Any], *, request_ids: Sequence[Any] | None = None
    ) -> list[Any]:
        """Answer several requests at once; see `Pipeline.predict_batch`.

        They are the champion's, also while a candidate is tried.

        Parameters
        ----------
        requests : iterable
            As for a single call; each has its batch dim (usually of size 1).
        request_ids : sequence of hashable, optional
            One for each request; see `__call__`.

        Returns
        -------
        answers : list

        Raises
        ------
        InputError
            There are more or fewer ids than requests, or a request cannot be taken.
        """
        requests = list(requests)
        if request_ids is not None and len(request_ids) != len(requests):
            raise InputError(
                f"request_ids: expected {len(requests)}, one for each request, got "
                f"{len(request_ids)}"
            )
        route = self._open_route()
        begun = perf_counter_ns()
        contexts: list[Context] = [{} for _ in requests]
        pipeline = route.pipeline
        try:
            pipeline.model.core  # noqa: B018 (refused if it is closed)
            batch = pipeline._batch(requests, contexts)
            ready = perf_counter_ns()
            results = pipeline._predict_batch(batch, route.program)
            ran = perf_counter_ns()
            self._tell(batch, results, request_ids, (ran - ready) * 1e-9)
            answers = pipeline._answers(results, contexts)
        except BaseException as error:
            self._watcher.count_error(error, len(requests))
            raise
        self._watcher.count_request(begun, ready, ran, len(requests))
        return answers

    def _tell(
        self,
        batch: list[dict[str, Any]],
        results: list[Any],
        request_ids: Sequence[Any] | None,
        seconds: float,
    ) -> None:
        """As `_predict` does, of requests that were run together."""
        listener = self.listener
        if listener is None:
            return
        for i, (inputs, result) in enumerate(zip(batch, results, strict=True)):
            if listener.due():
                listener.saw(tuple(inputs.values()), result, seconds / len(batch))
            if request_ids is not None:
                listener.answered(request_ids[i], result)


def _checked_s(deadline_s: float | None) -> float | None:
    if deadline_s is not None and not 0.0 < deadline_s < 1e6:
        raise InputError(f"deadline_s: expected seconds above 0, got {deadline_s!r}")
    return deadline_s
