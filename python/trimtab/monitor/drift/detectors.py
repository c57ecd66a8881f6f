"""The table of detectors, and which of them a feature gets by default."""

from __future__ import annotations

from trimtab.monitor.drift import (
    chi_square,
    jensen_shannon,
    kolmogorov_smirnov,
    missing_share,
    mmd,
    population_stability_index,
    wasserstein,
)
from trimtab.monitor.drift.detector import Detector

__all__ = ["AUTO", "DETECTORS"]

DETECTORS: dict[str, Detector] = {
    module.DETECTOR.name: module.DETECTOR
    for module in (
        population_stability_index,
        jensen_shannon,
        kolmogorov_smirnov,
        chi_square,
        wasserstein,
        missing_share,
        mmd,
    )
}

#: By kind of feature: what sees any change, what sees a moved mean best, and the gaps.
AUTO: dict[str, tuple[str, ...]] = {
    "numeric": ("population_stability_index", "kolmogorov_smirnov", "missing_share"),
    "categorical": ("population_stability_index", "jensen_shannon", "missing_share"),
}
