"""Keras models, read without Keras: archives, HDF5 files and live objects.

Enters: ``.keras`` and ``.h5`` files, objects. Leaves: `trimtab.graph.Model`. Nothing of
a file is run: layers are looked up in `table.LAYERS`, an allow-list of rules.
"""

from __future__ import annotations

from trimtab.formats.keras.read import read_keras, read_keras_h5, read_keras_object

__all__ = ["read_keras", "read_keras_h5", "read_keras_object"]
