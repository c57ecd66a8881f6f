"""Cheaper models with the same answers."""

from __future__ import annotations

from trimtab.optimize.bf16 import to_bf16

__all__ = ["to_bf16"]
