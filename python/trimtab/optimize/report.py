"""What optimising did, why, and what is proven of it: `OptimizationReport`."""

from __future__ import annotations

import html
import json
import math
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from trimtab.optimize.guard import Bound
from trimtab.optimize.quantizer import PRECISIONS
from trimtab.report import bytes_text, html_table, text_table, write_report

if TYPE_CHECKING:
    from trimtab.model import Model

__all__ = ["LayerReport", "OptimizationReport", "Point", "count_precisions"]

_HEADERS = ["layer", "op", "precision", "us f32", "us now", "SQNR dB", "sum dB", "why"]


@dataclass(frozen=True)
class LayerReport:
    """One layer.

    Parameters
    ----------
    name, op_type, precision, why : str
    sqnr_db : float or None
        At the model's output with only this layer in its precision; None for f32 and
        for what was not measured.
    cumulative_sqnr_db : float or None
        With this layer and all before it: their noises added up.
    low, high, clipped_share : float or None
        Range of its u8 activations, and the share of values outside.
    latency_us : dict of str to float
        By precision, conversions included.
    implementation : str
        oneDNN's name of the primitive in this precision.
    """

    name: str
    op_type: str
    precision: str
    why: str
    sqnr_db: float | None = None
    cumulative_sqnr_db: float | None = None
    low: float | None = None
    high: float | None = None
    clipped_share: float | None = None
    latency_us: dict[str, float] = field(default_factory=dict)
    implementation: str = ""


@dataclass(frozen=True)
class Point:
    """A point of the curve of drop against cost.

    Parameters
    ----------
    cost : float
        Estimated milliseconds of a call, or bytes of weights under "memory".
    drop : float
    upper : float
        Bound that was predicted on the search samples, or proven on the guard's.
    split : {"search", "guard"}
    n_layers : dict of str to int
        By precision.
    is_chosen : bool
    """

    cost: float
    drop: float
    upper: float
    split: str
    n_layers: dict[str, int]
    is_chosen: bool = False


@dataclass(frozen=True, eq=False)
class OptimizationReport:
    """What `trimtab.optimize_model` returns; shown as a table.

    Parameters
    ----------
    model : Model
        To use from now on; the one that was given where nothing better is proven.
    reason : str
        Why this one.
    metric, metric_reason : str
    goal : str
    max_drop : float
    bound : Bound or None
        What the guard samples prove; None where float32 is returned.
    speedup, speedup_low, speedup_high : float
        Against float32, timed in turns: median and quartiles.
    latency_ms, f32_latency_ms : float
    sqnr_db : float or None
        Of the model's output, on the search samples.
    layers : tuple of LayerReport
    curve : tuple of Point
    sizes : dict of str to int
        Bytes of the layers' weights before and after.
    n_samples : dict of str to int
        By split.
    seed : int
    seconds : dict of str to float
        By stage.
    notes : tuple of str

    Examples
    --------
    >>> report = trimtab.optimize_model("m.onnx", calibration=x)  # doctest: +SKIP
    >>> report.bound.upper, report.speedup                 # doctest: +SKIP
    (0.0042, 2.6)
    """

    model: Model
    reason: str
    metric: str
    metric_reason: str
    goal: str
    max_drop: float
    bound: Bound | None
    speedup: float
    speedup_low: float
    speedup_high: float
    latency_ms: float
    f32_latency_ms: float
    sqnr_db: float | None
    layers: tuple[LayerReport, ...]
    curve: tuple[Point, ...]
    sizes: dict[str, int]
    n_samples: dict[str, int]
    seed: int
    seconds: dict[str, float]
    notes: tuple[str, ...] = ()

    # ---- as text ------------------------------------------------------------

    def _counts(self) -> str:
        found = count_precisions(layer.precision for layer in self.layers)
        return ", ".join(f"{n} {p}" for p, n in found.items()) or "no layers"

    def _lines(self) -> list[str]:
        low, high = self.speedup_low, self.speedup_high
        before, after = (self.sizes.get(k, 0) for k in ("f32_bytes", "bytes"))
        splits = ", ".join(f"{n} {split}" for split, n in self.n_samples.items())
        lines = [
            f"{self.speedup:.2f} x as fast as f32 ({low:.2f} to {high:.2f}): "
            f"{self.latency_ms:.3f} ms, f32 {self.f32_latency_ms:.3f} ms",
            f"layers   {self._counts()}; weights {bytes_text(after)}, "
            f"f32 {bytes_text(before)}",
            f"metric   {self.metric} ({self.metric_reason}), budget {self.max_drop:g}",
            f"proof    {self.bound or 'none is needed: the model is float32'}",
            f"why      {self.reason}",
            f"data     {splits} samples; seed {self.seed}",
            f"time     {sum(self.seconds.values()):.1f} s",
        ]
        return lines + [f"note     {note}" for note in self.notes]

    def _rows(self) -> list[list[str | int | float]]:
        return [
            [
                layer.name[-40:],
                layer.op_type,
                layer.precision,
                _number(layer.latency_us.get("f32")),
                _number(layer.latency_us.get(layer.precision)),
                _number(layer.sqnr_db),
                _number(layer.cumulative_sqnr_db),
                layer.why,
            ]
            for layer in self.layers
        ]

    def __str__(self) -> str:
        """Summary and a table of the layers."""
        text = "OptimizationReport\n" + "\n".join(f"  {line}" for line in self._lines())
        return f"{text}\n{text_table(_HEADERS, self._rows())}" if self.layers else text

    def __repr__(self) -> str:
        """Summary and a table of the layers."""
        return str(self)

    def _repr_html_(self) -> str:
        lines = "<br>".join(html.escape(line) for line in self._lines())
        return f"<p>{lines}</p>" + html_table(_HEADERS, self._rows())

    # ---- as data ------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """All but the model as plain values; numbers that are not finite are None."""
        plain = {
            name: value for name, value in self.__dict__.items() if name != "model"
        }
        plain["bound"] = None if self.bound is None else asdict(self.bound)
        plain["layers"] = [asdict(layer) for layer in self.layers]
        plain["curve"] = [asdict(point) for point in self.curve]
        plain["notes"] = list(self.notes)
        values: dict[str, Any] = _plain(plain)
        return values

    def to_json(self) -> str:
        """All but the model as JSON text.

        Returns
        -------
        text : str
        """
        return json.dumps(self.to_dict(), indent=1, allow_nan=False)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the report, as JSON, or as HTML where the name says so.

        The model is saved by ``report.model.save``.

        Parameters
        ----------
        path : path
            Ends with ``.json`` or ``.html``.

        Raises
        ------
        OSError
            The file cannot be written.
        """
        write_report(path, lambda: f"<!doctype html>{self._repr_html_()}", self.to_json)

    def plot(self, ax: Any = None) -> Any:
        """Draw drop against cost, with the budget and the chosen point.

        Parameters
        ----------
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
        from trimtab.optimize.report_plot import draw_curve

        return draw_curve(self, ax)


def count_precisions(precisions: Iterable[str]) -> dict[str, int]:
    """Count layers by precision, the fastest first.

    Parameters
    ----------
    precisions : iterable of str
        Of each layer.

    Returns
    -------
    counts : dict of str to int

    Examples
    --------
    >>> count_precisions(["f32", "int8", "int8"])
    {'int8': 2, 'f32': 1}
    """
    names = list(precisions)
    return {p: names.count(p) for p in reversed(PRECISIONS) if p in names}


def _number(value: float | None) -> str | float:
    return "" if value is None or not math.isfinite(value) else value


def _plain(value: Any) -> Any:
    """Values as JSON has them."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value
