"""Formats that versions can be written in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from trimtab.registry.mlflow import export_mlflow
from trimtab.registry.oci import export_layout
from trimtab.registry.triton import export_triton
from trimtab.registry.version import ModelVersion

__all__ = ["EXPORTERS"]

#: Name -> what writes versions of a registry to a path.
EXPORTERS: dict[str, Callable[[Any, str, Sequence[ModelVersion]], None]] = {
    "oci": export_layout,
    "mlflow": export_mlflow,
    "triton": export_triton,
}
