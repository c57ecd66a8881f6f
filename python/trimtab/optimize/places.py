"""Layers beside their neighbours: what a precision takes depends on theirs.

Between layers of unlike precisions stand conversions, so the fastest precision of a
layer by itself need not be the fastest in its place, and what is slow in one place may
be fast again where a neighbour went back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from trimtab.optimize.journal import Journal
from trimtab.optimize.latency import LayerTime
from trimtab.optimize.moves import Option
from trimtab.optimize.outcome import Choices, digest

__all__ = ["Places"]

# Times that layers are given what suits their neighbours better.
_N_SETTLED = 2
# What layers that are fast again in their place may add to the noise of the others.
_SHARE_OF_NOISE = 0.1


class Places:
    """Times layers in their places, and moves those that others suit better.

    Parameters
    ----------
    plain : callable
        () -> the model in float32.
    build : callable
        Choices -> model.
    time : callable
        Models by key -> key -> layer -> `LayerTime`, in turns.
    journal : Journal
    why : dict of str to str
        Layer -> why it is in float32; gets those that are sent back.
    """

    def __init__(
        self,
        plain: Callable[[], Any],
        build: Callable[[Choices], Any],
        time: Callable[[Mapping[str, Any]], Mapping[str, Mapping[str, LayerTime]]],
        journal: Journal,
        why: dict[str, str],
    ) -> None:
        self._plain = plain
        self._build = build
        self._time = time
        self._journal = journal
        self._why = why
        self._slow: set[str] = set()  # layers that were slow in some place

    def settled(self, choices: Choices, options: dict[str, list[Option]]) -> Choices:
        """Give layers the precision that is fastest beside their neighbours.

        The fastest of all may need conversions that another one does not.

        Parameters
        ----------
        choices : dict of str to str
        options : dict of str to list of Option
            What a layer was sent away from costs from now on what it takes there.

        Returns
        -------
        choices : dict of str to str
        """
        for _ in range(_N_SETTLED):
            before, _ = self._times_of(choices, choices)
            tried = dict(choices)
            for name, precision in choices.items():
                others = [
                    option
                    for option in options[name]
                    if option.precision not in ("f32", precision)
                    and option.cost < before[name]
                ]
                if precision != "f32" and others:
                    best = min(others, key=lambda option: option.cost)
                    tried[name] = best.precision
            before, after = self._times_of(choices, tried)
            moved = {
                name: precision
                for name, precision in tried.items()
                if precision != choices[name] and after[name] < before[name]
            }
            if not moved:
                break
            self._slow.update(moved)
            for name in moved:
                # what it was is no longer the cheapest
                options[name] = [
                    replace(option, cost=max(option.cost, before[name]))
                    if option.precision == choices[name]
                    else option
                    for option in options[name]
                ]
            choices = {**choices, **moved}
        return choices

    def _times_of(
        self, choices: Choices, others: Choices
    ) -> tuple[dict[str, float], dict[str, float]]:
        """Microseconds of each layer in two candidates, timed in turns."""
        what = f"{digest(choices)}:{digest(others)}"
        known = self._journal.get("place", what)
        if known is None:
            models = {"chosen": self._build(choices)}
            if others != choices:
                models["other"] = self._build(others)
            times = self._time(models)
            known = [
                {name: time.time_us for name, time in row.items()}
                for row in times.values()
            ]
            self._journal.put("place", what, known)
        return known[0], known[-1]

    def without_slow(
        self, choices: Choices, options: dict[str, list[Option]]
    ) -> Choices:
        """Send layers back that are slower in their place than in float32.

        Beside which layers one stands decides what its conversions cost, so it is
        timed again after each round.

        Parameters
        ----------
        choices : dict of str to str
        options : dict of str to list of Option
            Of what is sent back nothing but float32 stays.

        Returns
        -------
        choices : dict of str to str
        """
        choices = dict(choices)
        for _ in range(3):
            if set(choices.values()) <= {"f32"}:
                break
            what = digest(choices)
            slow = self._journal.get("slow", what)
            if slow is None:
                times = self._time(
                    {"f32": self._plain(), "chosen": self._build(choices)}
                )
                slow = {
                    name: [times["chosen"][name].time_us, times["f32"][name].time_us]
                    for name, precision in choices.items()
                    if precision != "f32"
                    and times["chosen"][name].time_us > times["f32"][name].time_us
                }
                self._journal.put("slow", what, slow)
            self._slow.update(slow)
            for name, (chosen, plain) in slow.items():
                self._why[name] = (
                    f"{choices[name]} is slower beside its neighbours: {chosen:.1f} "
                    f"against {plain:.1f} us"
                )
                choices[name] = "f32"
                options[name] = options[name][:1]
            if not slow:
                break
        return choices

    def fast_again(
        self, choices: Choices, options: Mapping[str, Sequence[Option]]
    ) -> Choices:
        """Let layers that were slow beside other neighbours try their place again.

        Only those that add little to the noise of what the search samples were content
        with, and are faster here.

        Parameters
        ----------
        choices : dict of str to str
        options : mapping of str to sequence of Option
            As they were in the beginning.

        Returns
        -------
        choices : dict of str to str
        """
        noise = {
            (name, option.precision): option.noise
            for name, row in options.items()
            for option in row
        }
        room = _SHARE_OF_NOISE * sum(noise[pair] for pair in choices.items())
        tried = dict(choices)
        for name in sorted(self._slow, key=lambda name: -options[name][0].cost):
            here = noise[name, choices[name]]
            fit = [option for option in options[name] if option.noise - here <= room]
            best = min(fit, key=lambda option: option.cost)
            if best.precision != "f32":
                room -= max(0.0, best.noise - here)
                tried[name] = best.precision
        if tried == choices:
            return choices
        before, after = self._times_of(choices, tried)
        return {
            name: tried[name] if after[name] < before[name] else precision
            for name, precision in choices.items()
        }
