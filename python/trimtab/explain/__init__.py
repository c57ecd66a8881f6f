"""Why a model answers as it does: what each part of an input adds to the answer."""

from __future__ import annotations

from trimtab.explain.explain import METHODS, explain_model
from trimtab.explain.explanation import Explanation

__all__ = ["METHODS", "Explanation", "explain_model"]
