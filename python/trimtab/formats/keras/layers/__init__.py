"""Rules, by families of layers; `trimtab.formats.keras.table` names them."""

from __future__ import annotations

__all__: list[str] = []
