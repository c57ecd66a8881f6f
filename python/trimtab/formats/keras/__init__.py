"""Keras models, read without Keras: archives, HDF5 files and live objects."""

from __future__ import annotations

__all__: list[str] = []
