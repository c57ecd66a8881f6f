"""The picture of a rollout: how much of the traffic the candidate had, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trimtab.report import pyplot

if TYPE_CHECKING:
    from trimtab.rollout.result import RolloutResult

__all__ = ["draw_timeline", "shares_over_time"]

_COLOURS = {
    "PROMOTED": "#2e7d4f",
    "ROLLED_BACK": "#c8501e",
    "REJECTED": "#c8501e",
    "NEEDS_DATA": "#b8860b",
}
#: Share of the requests that the candidate answers in a state, where no step says it.
_SHARES = {"BAKING": 1.0, "PROMOTED": 1.0}


def shares_over_time(
    result: RolloutResult,
) -> tuple[list[float], list[float], list[tuple[float, str]]]:
    """Give the corners of the curve.

    Parameters
    ----------
    result : RolloutResult

    Returns
    -------
    times : list of float
        Seconds since the beginning.
    shares : list of float
        0 to 1.
    marks : list of (float, str)
        When which state began.

    Examples
    --------
    >>> times, shares, marks = shares_over_time(result)    # doctest: +SKIP
    """
    stages = result.stages
    if not stages:
        return [], [], []
    begun = stages[0]["begun"]
    times, shares = [0.0], [0.0]
    marks: list[tuple[float, str]] = []
    share = 0.0
    for stage in stages:
        now = max(stage["begun"] - begun, times[-1])
        state = stage["state"]
        times.append(now)
        shares.append(share)
        if state in ("CANARY", "PAUSED", "PROMOTING"):
            share = stage["share"] if stage["share"] is not None else share
        else:
            share = _SHARES.get(state, 0.0 if state != "ROLLING_BACK" else share)
        times.append(now)
        shares.append(share)
        if not marks or marks[-1][1] != state:
            marks.append((now, state))
    return times, shares, marks


def draw_timeline(result: RolloutResult, ax: Any = None) -> Any:
    """Draw the share of requests over time.

    Parameters
    ----------
    result : RolloutResult
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    ax : matplotlib.axes.Axes

    Raises
    ------
    ImportError
        matplotlib is not installed.

    Examples
    --------
    >>> draw_timeline(result)                              # doctest: +SKIP
    <Axes: ...>
    """
    plt = pyplot("RolloutResult.plot")
    if ax is None:
        _, ax = plt.subplots(figsize=(8, 3.5))
    times, shares, marks = shares_over_time(result)
    colour = _COLOURS.get(result.state, "#1f5fa8")
    ax.plot(times, [100 * share for share in shares], color=colour, lw=1.8)
    ax.fill_between(times, [100 * s for s in shares], color=colour, alpha=0.12, lw=0)
    for when, state in marks:
        ax.axvline(when, color="#7a8ca3", lw=0.5, ls=":")
        ax.text(
            when,
            104,
            state.lower(),
            rotation=60,
            fontsize=6,
            color="#55606e",
            ha="left",
            va="bottom",
        )
    ax.set(
        xlabel="seconds",
        ylabel="requests answered by the candidate, %",
        ylim=(-2, 103),
    )
    ax.set_title(
        f"{result.name}: version {result.version}, {result.state.lower()}", pad=48
    )
    return ax
