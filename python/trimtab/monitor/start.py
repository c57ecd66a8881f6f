"""`monitor_model`: what it is given, made into what a monitor needs."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from trimtab.errors import InputError
from trimtab.monitor.monitor import Monitor
from trimtab.monitor.reference import Reference
from trimtab.monitor.windows import Clock, SystemClock, Window

if TYPE_CHECKING:
    from trimtab.deploy.deployment import Deployment
    from trimtab.model import Model

__all__ = ["deployment_of", "monitor_model", "policy_of", "reference_of", "store_of"]


def monitor_model(
    deployment: Deployment | Model | None = None,
    *,
    reference: Any = None,
    window: Window | int | str | timedelta = 1000,
    methods: Any = "auto",
    alpha: float = 0.05,
    min_rows: int = 100,
    sinks: Any = (),
    labels: Any = None,
    estimator: Any = None,
    alerts: Any = "auto",
    budget: float | None = 0.01,
    interval_s: float = 0.25,
    history: int = 100,
    name: str | None = None,
    version: str = "",
    clock: Clock | None = None,
    background: bool = True,
) -> Monitor:
    """Watch how a deployed model is doing.

    Parameters
    ----------
    deployment : Deployment or Model, optional
        What serves; a model is put into a deployment (``monitor.deployment``). None:
        whoever serves calls `Monitor.observe`, or `Monitor.merge`.
    reference : Reference, or data, optional
        What traffic is compared with. Data are run through the model, or are a plain
        table where there is none. By default the reference that the model's artefact
        holds; where there is none, the first traffic becomes it.
    window : int, str, timedelta or Window, default=1000
        Rows of a window, or its time ("5m"); `Window` for sliding ones.
    methods : str, sequence of str or mapping, default="auto"
        Of `trimtab.monitor.drift.detect`.
    alpha : float, default=0.05
        False-discovery rate over the features of a window.
    min_rows : int, default=100
        Features with fewer values in a window are not judged.
    sinks : str, Sink or sequence of these, optional
        Where records go: "jsonl:events.jsonl", "prometheus::9464", ... or objects.
    labels : LabelStore or False, optional
        Joins labels with predictions; by default one with the usual metrics. False:
        none.
    estimator : ConfidencePerformance, optional
        Estimates a metric before labels come.
    alerts : AlertPolicy, "auto" or None, default="auto"
        When drift is worth waking somebody.
    budget : float or None, default=0.01
        Share of the serving time that looking may take. None: every call is looked
        at, whatever it costs.
    interval_s : float, default=0.25
        Between two looks of the background thread.
    history : int, default=100
        Windows that are kept for the report.
    name, version : str, optional
        Of the model, in records; by default those of the deployment.
    clock : Clock, optional
        For tests.
    background : bool, default=True
        False: no thread; windows are judged in `observe` and `check`.

    Returns
    -------
    monitor : Monitor

    Raises
    ------
    InputError
        An argument is none of these, or the reference fits nothing of the model.

    Examples
    --------
    >>> import numpy as np
    >>> rows = np.random.default_rng(0).normal(size=(3000, 2))
    >>> monitor = monitor_model(reference=rows[:1000], background=False)
    >>> monitor.observe(rows[1000:2000])
    >>> monitor.check().state
    'ok'
    >>> monitor.observe(rows[2000:] + [3, 0])
    >>> monitor.check().window.drifted
    ('x0',)
    """
    from trimtab.monitor.drift import detect

    detect((), (), methods=methods, alpha=alpha)  # what is none is refused now
    served = deployment_of(deployment)
    model = None if served is None else served.model
    found = reference_of(reference, model)
    chosen = Window.of(window)
    return Monitor(
        served,
        reference=found,
        window=chosen,
        judge={
            "methods": methods,
            "alpha": alpha,
            "min_rows": min_rows,
            "estimator": estimator,
        },
        sinks=sinks,
        labels=store_of(labels, found, model, window=chosen, clock=clock),
        alerts=policy_of(alerts),
        budget=budget,
        interval_s=interval_s,
        history=history,
        name=name or ("model" if model is None else model.name),
        version=version or _version_of(served),
        clock=clock or SystemClock(),
        background=background,
    )


def _version_of(served: Deployment | None) -> str:
    version = None if served is None else served.version
    return "" if version is None else str(version)


def deployment_of(given: Any) -> Deployment | None:
    """Take a deployment, or put a model into one.

    Parameters
    ----------
    given : Deployment, Model or None

    Returns
    -------
    deployment : Deployment or None

    Raises
    ------
    InputError
        It is none of these.

    Examples
    --------
    >>> deployment_of(None) is None
    True
    """
    from trimtab.deploy.deployment import Deployment
    from trimtab.deploy.start import deploy_model
    from trimtab.model import Model

    if isinstance(given, Model):
        return deploy_model(given)
    if given is None or isinstance(given, Deployment):
        return given
    raise InputError(
        "monitor_model: expected what deploy_model or load_model returned, got "
        f"{type(given).__name__}"
    )


def reference_of(given: Any, model: Model | None) -> Reference | None:
    """Take a reference, or make one of data.

    Parameters
    ----------
    given : Reference, data or None
    model : Model or None

    Returns
    -------
    reference : Reference or None
        None: nobody knows one.

    Raises
    ------
    InputError
        The data fit nothing of the model, or the reference is of another model.

    Examples
    --------
    >>> reference_of([[1.0], [2.0]], None)
    Reference(1 features of 2 rows: x0)
    """
    if given is None:
        return None if model is None else model.reference
    if not isinstance(given, Reference):
        if model is None:
            return Reference.from_data(given)
        return Reference.from_model(model, given)
    if model is not None:
        known = {
            "input": [spec.name for spec in model.inputs],
            "output": [spec.name for spec in model.outputs],
            "tap": list(model.taps),
        }
        for table in given.tables:
            side, tensor = table.spec.side, table.spec.tensor
            if tensor not in known.get(side, [tensor]):
                raise InputError(
                    f"reference: the model has no {side} {tensor!r}; it has "
                    f"{known[side]}. Make the reference with this model "
                    "(Reference.from_model)"
                )
    return given


def store_of(
    given: Any,
    reference: Reference | None,
    model: Model | None,
    *,
    window: Window | None = None,
    clock: Clock | None = None,
) -> Any:
    """Take a store of labels, or make the usual one.

    Parameters
    ----------
    given : LabelStore, False or None
    reference : Reference or None
    model : Model or None
    window : Window, optional
        Of predictions, whose labels are counted together.
    clock : Clock, optional

    Returns
    -------
    store : LabelStore or None

    Raises
    ------
    InputError
        It is no store.

    Examples
    --------
    >>> store_of(False, None, None) is None
    True
    """
    if given is False:
        return None
    if given is not None:
        if callable(getattr(given, "predicted", None)):
            return given
        raise InputError(
            f"labels: expected a LabelStore or False, got {type(given).__name__}"
        )
    from trimtab.monitor.labels import LabelStore

    return LabelStore(
        _usual_metrics(reference),
        window=window or 1000,
        classes=None if model is None else model.class_names,
        clock=clock,
    )


def _usual_metrics(reference: Reference | None) -> Any:
    """By what the first output is."""
    kinds = [
        table.spec.kind
        for table in (() if reference is None else reference.tables)
        if table.spec.side == "output"
    ]
    is_value = kinds[:1] == ["value"]
    return (
        ["root_mean_squared_error", "mean_absolute_error"] if is_value else ["accuracy"]
    )


def policy_of(given: Any) -> Any:
    """Take a policy of alerts, or the usual one.

    Parameters
    ----------
    given : AlertPolicy, "auto" or None

    Returns
    -------
    policy : AlertPolicy or None

    Raises
    ------
    InputError
        It is no policy.

    Examples
    --------
    >>> policy_of(None) is None
    True
    """
    if given is None:
        return None
    if given == "auto":
        from trimtab.monitor.alert import AlertPolicy

        return AlertPolicy()
    if not callable(getattr(given, "update", None)):
        raise InputError(
            f"alerts: expected an AlertPolicy, 'auto' or None, got {given!r}"
        )
    return given
