"""Statistics that need nothing but NumPy: what may be claimed from so many samples."""

from __future__ import annotations

from trimtab.stats.paired import drop_upper_bound, power_table
from trimtab.stats.resampling import mean_upper_bound, statistic_upper_bound

__all__ = [
    "drop_upper_bound",
    "mean_upper_bound",
    "power_table",
    "statistic_upper_bound",
]
