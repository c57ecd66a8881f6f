"""Where the time of a model goes, and how close each part is to the limit."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trimtab import _core
from trimtab.errors import InputError
from trimtab.peaks import Peaks, measure_peaks
from trimtab.report import count_text, html_table, pyplot, text_table

__all__ = ["NodeProfile", "Profile", "profile_program"]

# Operators that read floating-point numbers and multiply bytes.
_BYTES_INSIDE = frozenset(["DynamicQuantizeMatMul"])
_HEADERS = [
    *("node", "op", "us", "%", "implementation", "dtype"),
    *("GOP/s", "GB/s", "% peak", "thr"),
]
_N_WARM_UP = 3


@dataclass(frozen=True)
class NodeProfile:
    """One step of the plan: a node of the model with those it absorbed.

    Parameters
    ----------
    name, op_type : str
        Of the node that gave the step its name.
    fused : tuple of str
        Nodes whose work the same step does.
    time_us : float
        Median time.
    implementation : str
        oneDNN's name of the primitive, or the kernel's.
    dtype : str
        Of what it computes with: of the first tensor that it reads.
    gops, gbps : float
        1e9 operations, and bytes read and written, a second.
    percent_of_peak : float
        Shortest possible time (`Peaks.least_s`) in percent of the time it took. It
        counts the operations of the definition: an algorithm that needs fewer
        (Winograd's) may exceed 100.
    threads : int
        Threads it ran on.
    """

    name: str
    op_type: str
    fused: tuple[str, ...]
    time_us: float
    implementation: str
    dtype: str
    gops: float
    gbps: float
    percent_of_peak: float
    threads: int


@dataclass(frozen=True)
class Profile:
    """Times of a model on one input; `repr` and notebooks show it as a table.

    Parameters
    ----------
    latency_ms : float
        Median time of a call.
    percent_of_peak : float
        Sum of the shortest possible times of all steps in percent of the latency.
        NaN when the shapes of the outputs depend on the data: such a model runs in
        pieces that are not timed one by one.
    nodes : tuple of NodeProfile
        The steps in the order in which they run. Of a model with operators that run
        in Python, those and one entry for everything else.
    repeat : int
        Calls that were timed.
    peaks : Peaks
        What the percentages refer to.

    Examples
    --------
    >>> profile = model.profile(x)                         # doctest: +SKIP
    >>> profile.latency_ms, profile.nodes[0].implementation  # doctest: +SKIP
    (0.412, 'brgconv:avx512_core')
    """

    latency_ms: float
    percent_of_peak: float
    nodes: tuple[NodeProfile, ...]
    repeat: int
    peaks: Peaks

    def _rows(self, limit: int) -> list[list[str | int | float]]:
        total = sum(node.time_us for node in self.nodes) or 1.0
        slowest = sorted(self.nodes, key=lambda node: -node.time_us)[:limit]
        return [
            [
                node.name[-40:] + (f" +{len(node.fused)}" if node.fused else ""),
                node.op_type,
                node.time_us,
                100 * node.time_us / total,
                node.implementation,
                node.dtype,
                node.gops,
                node.gbps,
                node.percent_of_peak,
                node.threads,
            ]
            for node in slowest
        ]

    def _summary(self) -> str:
        text = f"{self.latency_ms:.3f} ms"
        if not np.isnan(self.percent_of_peak):
            text += f", {self.percent_of_peak:.0f} % of peak"
        steps = count_text(len(self.nodes), "step")
        return f"{text}, {steps}, {count_text(self.peaks.n_threads, 'thread')}"

    def table(self, limit: int = 20) -> str:
        """Summary and the slowest steps as text.

        Parameters
        ----------
        limit : int, default=20
            Rows at most.

        Returns
        -------
        text : str
        """
        text = f"Profile: {self._summary()}"
        if self.nodes:
            text += "\n" + text_table(_HEADERS, self._rows(limit))
        if len(self.nodes) > limit:
            text += f"\n({len(self.nodes) - limit} faster steps are not shown)"
        return text

    def __repr__(self) -> str:
        """Give the table of the slowest steps."""
        return self.table()

    def _repr_html_(self) -> str:
        return f"<p>{self._summary()}</p>" + html_table(_HEADERS, self._rows(50))

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values."""
        return asdict(self)

    def to_json(self, path: str | Path | None = None) -> str:
        """Give all of it as JSON text, and write it to `path` if there is one.

        Parameters
        ----------
        path : path, optional
            File to write as well.

        Returns
        -------
        text : str
        """
        values = self.to_dict()
        if np.isnan(self.percent_of_peak):
            values["percent_of_peak"] = None
        text = json.dumps(values, indent=1)
        if path is not None:
            Path(path).write_text(text + "\n")
        return text

    def plot(self, limit: int = 20, ax: Any = None) -> Any:
        """Draw the slowest steps as bars (needs matplotlib).

        Parameters
        ----------
        limit : int, default=20
            Bars at most.
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        ax : matplotlib.axes.Axes

        Raises
        ------
        ImportError
            matplotlib is not installed.
        """
        plt = pyplot("Profile.plot")
        slowest = sorted(self.nodes, key=lambda node: -node.time_us)[:limit][::-1]
        if ax is None:
            _, ax = plt.subplots(figsize=(8, 1 + 0.25 * len(slowest)))
        bars = ax.barh(
            [f"{node.name[-30:]} ({node.op_type})" for node in slowest],
            [node.time_us for node in slowest],
        )
        ax.bar_label(bars, [f"{node.percent_of_peak:.0f} %" for node in slowest])
        ax.set_xlabel("time in us (label: percent of peak)")
        ax.set_title(self._summary())
        return ax


def _time_calls(
    program: _core.Program, inputs: Sequence[Any], repeat: int, fallback: Any
) -> tuple[list[float], dict[tuple[str, str], float]]:
    """Seconds of each of `repeat` calls, after a few untimed ones; and the mean of
    what nodes in Python took of them, by name and operator."""
    times: list[float] = []
    for _ in range(_N_WARM_UP):
        program(*inputs)
    before = fallback.times() if fallback is not None else {}
    for _ in range(repeat):
        start = time.perf_counter()
        program(*inputs)
        times.append(time.perf_counter() - start)
    after = fallback.times() if fallback is not None else {}
    spent = {key: (s - before.get(key, 0.0)) / repeat for key, s in after.items()}
    return times, {key: seconds for key, seconds in spent.items() if seconds > 0}


def _in_python(
    spent: dict[tuple[str, str], float], latency_s: float
) -> tuple[NodeProfile, ...]:
    """Nodes of the fallback, and all others together."""
    if not spent:
        return ()
    rest = max(latency_s - sum(spent.values()), 0.0)
    rows = [(*key, seconds, "onnx.reference") for key, seconds in spent.items()]
    rows.append(("everything else", "", rest, "engine"))
    return tuple(
        NodeProfile(name, op_type, (), s * 1e6, where, "", 0.0, 0.0, 0.0, 1)
        for name, op_type, s, where in rows
    )


def profile_program(
    program: _core.Program,
    inputs: Sequence[Any],
    *,
    repeat: int,
    threads: int,
    fallback: Any = None,
) -> Profile:
    """Time whole calls, then the steps one by one; see `Model.profile`.

    Parameters
    ----------
    program : _core.Program
        For the outputs wanted.
    inputs : sequence of ndarray
        In graph order.
    repeat : int
        Timed calls.
    threads : int
        Threads that a call may use; the peaks are measured for as many.
    fallback : Fallback, optional
        What runs the nodes that the engine lacks.

    Returns
    -------
    profile : Profile

    Raises
    ------
    InputError
        `repeat` is below 1.

    Examples
    --------
    >>> profile_program(program, [x], repeat=5, threads=1)  # doctest: +SKIP
    Profile: 0.412 ms, 61 % of peak, 12 steps, 1 thread
    """
    if repeat < 1:
        raise InputError(f"repeat must be at least 1, got {repeat}")
    peaks, one_thread = measure_peaks(threads), measure_peaks(1)
    calls, spent = _time_calls(program, inputs, repeat, fallback)
    latency_s = float(np.median(calls))
    try:
        times = program.time_steps(*inputs, repeat=repeat)
    except InputError:
        nodes_in_python = _in_python(spent, float(np.mean(calls)))
        return Profile(latency_s * 1e3, float("nan"), nodes_in_python, repeat, peaks)
    nodes: list[NodeProfile] = []
    least_s = 0.0
    for step, time_ns in zip(
        program.steps(*inputs), np.median(times, axis=0), strict=True
    ):
        name, op_type, fused, implementation, dtype, flops, n_bytes, n_threads = step
        if op_type in _BYTES_INSIDE:
            dtype = "int8"
        elif implementation and implementation.endswith("_bf16"):
            dtype = "bfloat16"  # of float32, rounded for its products
        own = peaks if n_threads > 1 else one_thread
        bound_s = own.least_s(flops, n_bytes, dtype)
        least_s += peaks.least_s(flops, n_bytes, dtype)
        time_s = max(float(time_ns), 1.0) * 1e-9
        nodes.append(
            NodeProfile(
                name,
                op_type,
                tuple(part for part in (fused or "").split(", ") if part),
                time_s * 1e6,
                implementation,
                dtype,
                flops / time_s / 1e9,
                n_bytes / time_s / 1e9,
                100 * bound_s / time_s,
                n_threads,
            )
        )
    percent = 100 * least_s / latency_s
    return Profile(latency_s * 1e3, percent, tuple(nodes), repeat, peaks)
