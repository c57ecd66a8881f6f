"""Rules for layers, by families; the table says which class has which rule."""

from __future__ import annotations

from trimtab.formats.keras.table import LAYERS

__all__ = ["LAYERS"]
