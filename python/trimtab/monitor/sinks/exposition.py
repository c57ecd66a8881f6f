"""Families as text for scrapers: Prometheus 0.0.4 and OpenMetrics 1.0.

References
----------
https://prometheus.io/docs/instrumenting/exposition_formats/ and
https://prometheus.io/docs/specs/om/open_metrics_spec/
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import accumulate

from trimtab.monitor.sinks.family import Buckets, Family, Sample

__all__ = ["OPENMETRICS", "TEXT", "content_type", "expose"]

#: Content types.
TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

# kind -> ending of samples, and by format: type, ending of the family's name
_SHAPES = {
    "counter": ("_total", ("counter", "_total"), ("counter", "")),
    "gauge": ("", ("gauge", ""), ("gauge", "")),
    "histogram": ("", ("histogram", ""), ("histogram", "")),
    "info": ("_info", ("gauge", "_info"), ("info", "")),
    "unsuffixed": ("", ("counter", ""), ("unknown", "")),
}


def content_type(accept: str) -> str:
    """Choose the format that a scraper asks for.

    Parameters
    ----------
    accept : str
        The header.

    Returns
    -------
    content_type : str
        `OPENMETRICS` where it is named and not refused, else `TEXT`.

    Examples
    --------
    >>> content_type("application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.1")
    'application/openmetrics-text; version=1.0.0; charset=utf-8'
    """
    for part in accept.lower().split(","):
        name, *parameters = (item.strip() for item in part.split(";"))
        refused = {"q=0", "q=0.0", "q=0.00", "q=0.000"} & set(parameters)
        if name == "application/openmetrics-text" and not refused:
            return OPENMETRICS
    return TEXT


def expose(families: Iterable[Family], *, is_openmetrics: bool = False) -> bytes:
    r"""Write families as text.

    Parameters
    ----------
    families : iterable of Family
        Of different names; see `merge`.
    is_openmetrics : bool

    Returns
    -------
    text : bytes

    Examples
    --------
    >>> family = Family("trimtab_rows", "counter", "Rows.", (Sample((), 2.0),))
    >>> print(expose([family]).decode(), end="")
    # HELP trimtab_rows_total Rows.
    # TYPE trimtab_rows_total counter
    trimtab_rows_total 2
    """
    lines: list[str] = []
    for family in families:
        ending, *formats = _SHAPES[family.kind]
        kind, of_name = formats[is_openmetrics]
        name = family.name + of_name
        text = _escaped(family.help, is_label=is_openmetrics)
        lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
        if is_openmetrics and family.unit and kind != "unknown":
            lines.append(f"# UNIT {name} {family.unit}")
        for sample in family.samples:
            lines += _sample(family.name, ending, sample)
    if is_openmetrics:
        lines.append("# EOF")
    return "".join(line + "\n" for line in lines).encode()


def _sample(name: str, ending: str, sample: Sample) -> Iterator[str]:
    value = sample.value
    if not isinstance(value, Buckets):
        yield f"{name}{ending}{_labels(sample.labels)} {_number(value)}"
        return
    for bound, n in zip(
        (*value.bounds, math.inf), accumulate(value.counts), strict=True
    ):
        le = "+Inf" if math.isinf(bound) else repr(float(bound))
        pairs = (*sample.labels, ("le", le))
        yield f"{name}_bucket{_labels(pairs)} {n}"
    yield f"{name}_count{_labels(sample.labels)} {sum(value.counts)}"
    yield f"{name}_sum{_labels(sample.labels)} {_number(value.total)}"


def _labels(pairs: tuple[tuple[str, str], ...]) -> str:
    if not pairs:
        return ""
    return "{" + ",".join(f'{k}="{_escaped(v, is_label=True)}"' for k, v in pairs) + "}"


def _escaped(text: str, *, is_label: bool) -> str:
    text = text.replace("\\", r"\\").replace("\n", r"\n")
    return text.replace('"', r"\"") if is_label else text


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)
