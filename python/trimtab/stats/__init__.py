"""Statistics that need nothing but NumPy: what may be claimed from so many samples."""

from __future__ import annotations

from trimtab.stats.bootstrap import bootstrap_interval, paired_bootstrap
from trimtab.stats.cross_validation import corrected_resampled_t_test
from trimtab.stats.delong import delong_interval, delong_test
from trimtab.stats.e_process import (
    BoundedMeanTest,
    EProcess,
    PairedTest,
    TwoProportionTest,
)
from trimtab.stats.intervals import clopper_pearson, mean_interval, wilson_interval
from trimtab.stats.mcnemar import mcnemar_test
from trimtab.stats.multiplicity import benjamini_hochberg, holm
from trimtab.stats.paired import drop_upper_bound, power_table
from trimtab.stats.quantile_test import QuantileTest
from trimtab.stats.resampling import mean_upper_bound, statistic_upper_bound
from trimtab.stats.result import TestResult
from trimtab.stats.samples import required_samples

__all__ = [
    "BoundedMeanTest",
    "EProcess",
    "PairedTest",
    "QuantileTest",
    "TestResult",
    "TwoProportionTest",
    "benjamini_hochberg",
    "bootstrap_interval",
    "clopper_pearson",
    "corrected_resampled_t_test",
    "delong_interval",
    "delong_test",
    "drop_upper_bound",
    "holm",
    "mcnemar_test",
    "mean_interval",
    "mean_upper_bound",
    "paired_bootstrap",
    "power_table",
    "required_samples",
    "statistic_upper_bound",
    "wilson_interval",
]
