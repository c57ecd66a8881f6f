"""The search: which layers run in which precision, and the proof of the result.

Enters: what makes candidates and what times them, samples, a metric and a budget.
Leaves: an `Outcome`. All layers begin in their fastest precision; those that hurt most
for what they save go back, as few as the search samples ask for; what comes out is
judged once, on the guard samples.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from trimtab.optimize.guard import Bound, bound_drop, drop_of, predict_bound
from trimtab.optimize.journal import Journal
from trimtab.optimize.latency import LayerTime
from trimtab.optimize.moves import (
    Move,
    Option,
    cheapest,
    configuration,
    plan_moves,
    without,
)
from trimtab.optimize.outcome import (
    Choices,
    Goal,
    Judged,
    Outcome,
    Trial,
    digest,
)
from trimtab.optimize.places import Places
from trimtab.optimize.precision import INTEGER
from trimtab.optimize.progress import Deadline, Progress
from trimtab.optimize.quantizer import Backend
from trimtab.optimize.samples import Samples, run_samples
from trimtab.types import Array

__all__ = ["Search"]

# Samples of the search set that sensitivities are measured on.
_N_SENSITIVITY = 32
_LEAST_NOISE = 1e-12
# Layers that are tried in their fast precision again, at the end.
_N_BACK = 16
# Safer points that the guard judges too: shares of the moves that are left. The first
# is the chosen point with what was tried back and kept.
_LADDER = (0.0, 0.015, 0.03, 0.06, 0.1, 0.2, 0.35, 0.5)
# Faster points that the guard judges last: the search samples are for them, but would
# not prove them.
_N_BOLDER = 2
# Shares of the time budget after which a stage makes do with what it has.
_SENSITIVITY_SHARE = 0.4
_SEARCH_SHARE = 0.75


class Search:
    """One search; `run` does it.

    Parameters
    ----------
    backend : Backend
    timer : Timer
    model : Model
        In float32.
    search, guard : Judged
    goal : Goal
    inputs : mapping of str to ndarray
        What is timed.
    deadline : Deadline
    journal : Journal
    progress : Progress
    output : str, optional
        Of the model, that counts.
    """

    def __init__(
        self,
        backend: Backend,
        timer: Any,
        model: Any,
        search: Judged,
        guard: Judged,
        goal: Goal,
        *,
        inputs: Mapping[str, Array],
        deadline: Deadline,
        journal: Journal,
        progress: Progress,
        output: str | None = None,
    ) -> None:
        self._backend = backend
        self._timer = timer
        self._model = model
        self._search = search
        self._guard = guard
        self._goal = goal
        self._inputs = inputs
        self._deadline = deadline
        self._journal = journal
        self._progress = progress
        self._output = output
        self._built: tuple[str, Any] | None = None
        self._f32: Any = None
        self._names = [layer.name for layer in backend.layers]
        #: The best so far: float32 until something is proven.
        self.outcome = Outcome(
            dict.fromkeys(self._names, "f32"), "nothing is proven yet"
        )

    # ---- the whole of it ----------------------------------------------------

    def run(self) -> Outcome:
        """Search, then prove.

        Returns
        -------
        outcome : Outcome
        """
        outcome = self.outcome
        is_timed = self._goal.name != "memory"
        outcome.times = self._layer_table()
        options = self._options()
        every = {name: list(row) for name, row in options.items()}
        places = self._places() if is_timed else None
        start = self._start(options, places)
        if set(start.values()) <= {"f32"}:
            return self._stay("no layer is faster in another precision than in f32")
        moves = plan_moves(options)
        position = self._bisect(start, moves)
        plain = without(options, "int8_winograd")
        if position and plain != options:
            # what is given up for it may cost more than it saves
            others = self._start(plain, places), plan_moves(plain)
            at = self._bisect(*others)
            ends = (
                configuration(start, moves[:position]),
                configuration(others[0], others[1][:at]),
            )
            if self._estimate(ends[1]) < self._estimate(ends[0]):
                start, moves, position, options = *others, at, plain
        if position == len(moves):
            why = (
                " found in time" if self._deadline.is_over_share(_SEARCH_SHARE) else ""
            )
            return self._stay(
                f"no candidate{why} stays within the budget on the search samples"
            )
        chosen = self._back(start, moves, position)
        ladder = self._ladder(chosen, start, moves, position)
        if places is not None:
            ladder = [
                places.without_slow(places.fast_again(rung, every), options)
                for rung in ladder
            ]
        ladder = self._faster_than_f32(ladder)
        if not ladder:
            return self._stay("no candidate as a whole is faster than f32")
        return self._prove(ladder)

    def _start(
        self, options: dict[str, list[Option]], places: Places | None
    ) -> Choices:
        """Where the search begins: what is fastest, each layer in its place."""
        start = cheapest(options)
        if places is None:
            return start
        return places.without_slow(places.settled(start, options), options)

    def _stay(self, reason: str) -> Outcome:
        self.outcome.reason = f"f32: {reason}"
        return self.outcome

    # ---- what layers cost and how much they hurt ---------------------------

    def _layer_table(self) -> dict[str, dict[str, LayerTime]]:
        """Precision -> layer -> time, each precision wherever it is possible."""
        known = self._journal.get("times", "all")
        if known is not None:
            return {
                precision: {name: LayerTime(*pair) for name, pair in times.items()}
                for precision, times in known.items()
            }
        self._progress.begin("latency of layers", 1)
        models = {"f32": self._plain()}
        for precision in self._goal.precisions:
            # Winograd's layers stand among integer ones.
            wanted = (precision, "int8") if precision in INTEGER else (precision,)
            chosen = {
                layer.name: next(p for p in wanted if p in layer.precisions)
                for layer in self._backend.layers
                if not set(wanted).isdisjoint(layer.precisions)
            }
            if precision != "f32" and chosen:
                models[precision] = self._backend.build(chosen, quick=True)
        times: dict[str, dict[str, LayerTime]] = self._timer.layers(
            models, self._names, self._inputs
        )
        plain = {
            precision: {name: [t.time_us, t.implementation] for name, t in row.items()}
            for precision, row in times.items()
        }
        self._journal.put("times", "all", plain)
        self._progress.step()
        return times

    def _cost(self, layer: str, precision: str) -> float:
        if self._goal.name == "memory":
            return float(self._backend.weight_bytes(layer, precision))
        return self.outcome.times[precision][layer].time_us

    def _options(self) -> dict[str, list[Option]]:
        """What each layer may become: f32, and what is cheaper than it."""
        options = {
            name: [Option("f32", self._cost(name, "f32"), 0.0)] for name in self._names
        }
        wanted = []
        for layer in self._backend.layers:
            for precision in self._goal.precisions:
                if precision == "f32" or precision not in layer.precisions:
                    continue
                cost, plain = (self._cost(layer.name, p) for p in (precision, "f32"))
                if cost < plain:
                    wanted.append((layer.name, precision, cost))
                    continue
                self.outcome.why[layer.name] = (
                    f"{precision} is not cheaper: {cost:.1f} against {plain:.1f}"
                )
        for name, _, _ in wanted:
            self.outcome.why.pop(name, None)
        noises = self._sensitivities([(name, p) for name, p, _ in wanted])
        for name, precision, cost in wanted:
            # Even a layer that seemed exact must have a way back to float32.
            noise = max(noises[name, precision], _LEAST_NOISE)
            options[name].append(Option(precision, cost, noise))
        return options

    def _sensitivities(
        self, pairs: Sequence[tuple[str, str]]
    ) -> dict[tuple[str, str], float]:
        """Noise at the model's output with one layer alone in a precision."""
        chosen = range(min(len(self._search.samples), _N_SENSITIVITY))
        samples = self._search.samples.take(list(chosen))
        noises: dict[tuple[str, str], float] = {}
        self._progress.begin("sensitivity of layers", len(pairs))
        for name, precision in pairs:
            known = self._journal.get("noise", f"{precision}:{name}")
            if known is None and self._deadline.is_over_share(_SENSITIVITY_SHARE):
                break
            if known is None:
                known = self._noise(name, precision, samples)
                self._journal.put("noise", f"{precision}:{name}", known)
            noises[name, precision] = float(known)
            self._progress.step()
        # What there was no time for counts as usual for its precision.
        for name, precision in pairs:
            if (name, precision) not in noises:
                alike = [x for (_, p), x in noises.items() if p == precision]
                noises[name, precision] = float(np.median(alike)) if alike else 1e-3
        self.outcome.noises = noises
        return noises

    def _noise(self, name: str, precision: str, samples: Samples) -> float:
        """Noise of a layer alone; of Winograd's what it adds to int8, among such."""
        if precision == "int8" or precision not in INTEGER:
            return self._noise_with({name: precision}, samples)
        among = {y.name: "int8" for y in self._backend.layers if "int8" in y.precisions}
        before = self._journal.get("noise", "int8")
        if before is None:
            before = self._noise_with(among, samples)
            self._journal.put("noise", "int8", before)
        alone = self._journal.get("noise", f"int8:{name}")
        if alone is None:
            alone = self._noise_with({name: "int8"}, samples)
        more = self._noise_with({**among, name: precision}, samples) - before
        return float(alone + max(more, 0.0))

    def _noise_with(self, choices: Choices, samples: Samples) -> float:
        model = self._backend.build(choices, quick=True)
        outputs = run_samples(model, samples, output=self._output)
        return min(self._search.noise(outputs), 1e9)

    def _places(self) -> Places:
        return Places(
            self._plain,
            self._model_of,
            lambda models: self._timer.layers(models, self._names, self._inputs),
            self._journal,
            self.outcome.why,
        )

    def _plain(self) -> Any:
        """The prepared graph in float32, whose layers go by the names used here."""
        if self._f32 is None:
            self._f32 = self._backend.build({}, quick=True)
        return self._f32

    # ---- searching ----------------------------------------------------------

    def _model_of(self, choices: Choices) -> Any:
        """Build a candidate; the last one is kept."""
        what = digest(choices)
        if self._built is None or self._built[0] != what:
            self._built = None
            self._built = what, self._backend.build(choices)
        return self._built[1]

    def _estimate(self, choices: Choices) -> float:
        return sum(self._cost(name, p) for name, p in choices.items())

    def _try(self, choices: Choices) -> bool:
        """Is the bound that the guard would give within the budget?"""
        what = digest(choices)
        known = self._journal.get("trial", what)
        if known is None:
            scored, noise = self._search.judge(self._model_of(choices), self._output)
            predicted = predict_bound(
                self._search.metric,
                self._search.before,
                scored,
                len(self._guard.samples),
                alpha=self._goal.alpha,
            )
            numbers = (drop_of(self._search.before, scored), predicted, noise)
            known = [min(x, 1e9) for x in numbers]
            self._journal.put("trial", what, known)
        drop, predicted, noise = known
        if all(trial.choices != choices for trial in self.outcome.trials):
            self.outcome.trials.append(
                Trial(dict(choices), self._estimate(choices), drop, predicted, noise)
            )
        self._progress.step()
        return bool(predicted <= self._goal.max_drop)

    def _bisect(self, start: Choices, moves: Sequence[Move]) -> int:
        """Fewest moves after which the search samples are content."""
        self._progress.begin("search", math.ceil(math.log2(len(moves) + 1)) + 1)
        low, high = 0, len(moves)
        middle = 0  # the fastest first: it often passes
        while low < high:
            if middle and self._deadline.is_over_share(_SEARCH_SHARE):
                break
            if self._try(configuration(start, moves[:middle])):
                high = middle
            else:
                low = middle + 1
            middle = (low + high) // 2
        return high

    def _back(self, start: Choices, moves: Sequence[Move], position: int) -> Choices:
        """Undo moves that turn out not to be needed, the most expensive first."""
        choices = configuration(start, moves[:position])
        undone = sorted(moves[:position], key=lambda move: -move.cost)[:_N_BACK]
        self._progress.begin("back", len(undone))
        for move in undone:
            if self._deadline.is_over_share(_SEARCH_SHARE):
                break
            if choices[move.layer] != move.after:
                continue
            tried = {**choices, move.layer: move.before}
            if self._try(tried):
                choices = tried
        return choices

    def _ladder(
        self, chosen: Choices, start: Choices, moves: Sequence[Move], position: int
    ) -> list[Choices]:
        """The chosen point after safer ones, then faster ones."""
        rungs = [chosen]
        if not self._deadline.is_over_share(_SEARCH_SHARE):
            left = len(moves) - position
            for share in _LADDER:
                step = position + math.ceil(left * share)
                rung = configuration(start, moves[:step])
                if rung not in rungs and set(rung.values()) != {"f32"}:
                    rungs.append(rung)
        return rungs[::-1] + self._bolder(chosen)

    def _bolder(self, chosen: Choices) -> list[Choices]:
        """Faster points, the likeliest first: other samples may prove them."""
        limit, cost = self._goal.max_drop, self._estimate(chosen)
        found: list[Choices] = []
        for trial in sorted(self.outcome.trials, key=lambda trial: trial.predicted):
            is_open = trial.drop <= limit < trial.predicted
            if is_open and trial.cost < cost and len(found) < _N_BOLDER:
                found.append(dict(trial.choices))
                cost = trial.cost
        return found

    def _faster_than_f32(self, ladder: list[Choices]) -> list[Choices]:
        """Rungs that are faster as a whole, each once."""
        kept: list[Choices] = []
        for rung in ladder:
            if rung in kept or set(rung.values()) <= {"f32"}:
                continue
            if self._goal.name != "memory":
                known = self._journal.get("whole", digest(rung))
                if known is None:
                    timings = self._timer.models(
                        [self._model, self._model_of(rung)], self._inputs
                    )
                    known = timings[1].ratio
                    self._journal.put("whole", digest(rung), known)
                if known >= 1:
                    continue
            kept.append(rung)
        return kept

    # ---- proving ------------------------------------------------------------

    def _prove(self, ladder: Sequence[Choices]) -> Outcome:
        """Judge the rungs on the guard samples, from the safest on.

        The order is fixed before a guard sample is seen, and the first rung that fails
        ends it: so each may use all of alpha, and the chance that any bound given out
        is too low stays alpha (Maurer, Hothorn, Lehmacher 1995).
        """
        outcome, limit = self.outcome, self._goal.max_drop
        self._progress.begin("proof", len(ladder))
        for i, rung in enumerate(ladder):
            bound, noise = self._bound(rung)
            outcome.judged.append((dict(rung), bound))
            self._progress.step()
            if not bound.upper <= limit:
                why = f"{bound}, more than {limit:g}"
                if i == 0:
                    return self._stay(f"the guard samples do not prove it: {why}")
                outcome.reason = f"the next faster point is not proven: {why}"
                return outcome
            outcome.choices, outcome.bound, outcome.noise = dict(rung), bound, noise
            outcome.reason = (
                "proven on the guard samples: the best point of the search"
                if i == len(ladder) - 1
                else "proven on the guard samples; faster points were not judged"
            )
        return outcome

    def _bound(self, choices: Choices) -> tuple[Bound, float]:
        """What the guard samples prove, and the noise on them."""
        what = digest(choices)
        known = self._journal.get("guard", what)
        if known is not None:
            return Bound(**known["bound"]), known["noise"]
        scored, noise = self._guard.judge(self._model_of(choices), self._output)
        bound = bound_drop(
            self._guard.metric,
            self._guard.before,
            scored,
            alpha=self._goal.alpha,
            seed=self._goal.seed,
        )
        noise = min(noise, 1e9)
        self._journal.put("guard", what, {"bound": asdict(bound), "noise": noise})
        return bound, noise
