"""Metrics by name: functions named as scikit-learn's, streaming, with intervals."""

from __future__ import annotations

from trimtab.metrics.accumulate import Accumulator
from trimtab.metrics.interval import Interval
from trimtab.metrics.metric import Metric
from trimtab.metrics.table import METRICS, find_metric

__all__ = ["METRICS", "Accumulator", "Interval", "Metric", "find_metric"]
