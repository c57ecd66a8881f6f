"""TFLite files (.tflite), read without TensorFlow: see `reader`."""

from __future__ import annotations

from trimtab.formats.tflite.reader import read_tflite

__all__ = ["read_tflite"]
