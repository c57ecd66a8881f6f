"""HDF5 files that reach outside, or claim more than they hold."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .case import Case
from .keras_configs import LAMBDA

UNSAFE, FORMAT, LIMIT = "UnsafeModelError", "ModelFormatError", "ModelLimitError"


def dense_config(**fields: Any) -> str:
    """A legacy Keras model of one layer of 4 x 4."""
    return json.dumps(
        {
            "class_name": "Sequential",
            "config": {
                "name": "s",
                "layers": [
                    {
                        "class_name": "Dense",
                        "config": {
                            "name": "dense",
                            "batch_input_shape": [None, 4],
                            "dtype": "float32",
                            "units": 4,
                            "activation": "linear",
                            "use_bias": True,
                            **fields,
                        },
                    }
                ],
            },
        }
    )


def h5(
    kernel: Callable[[Any, Path], None], config: str | None = None
) -> Callable[[Path], Path]:
    """A legacy file whose kernel is made by `kernel` in the layer's group."""

    def build(folder: Path) -> Path:
        import h5py

        path = folder / "model.h5"
        with h5py.File(path, "w") as file:
            file.attrs["keras_version"] = b"2.4.0"
            file.attrs["backend"] = b"tensorflow"
            file.attrs["model_config"] = (config or dense_config()).encode()
            weights = file.create_group("model_weights")
            weights.attrs["layer_names"] = np.array([b"dense"])
            weights.attrs["keras_version"] = b"2.4.0"
            weights.attrs["backend"] = b"tensorflow"
            group = weights.create_group("dense")
            group.attrs["weight_names"] = np.array([b"dense/kernel:0", b"dense/bias:0"])
            inner = group.create_group("dense")
            inner.create_dataset("bias:0", data=np.zeros(4, np.float32))
            kernel(inner, folder)
        return path

    return build


def _good(group: Any, folder: Path) -> None:
    group.create_dataset("kernel:0", data=np.eye(4, dtype=np.float32))


def _external_storage(group: Any, folder: Path) -> None:
    group.create_dataset(
        "kernel:0", (4, 4), np.float32, external=[("/etc/passwd", 0, 64)]
    )


def _external_link(group: Any, folder: Path) -> None:
    import h5py

    os.mkfifo(folder / "other.h5")  # opening it would never end
    group["kernel:0"] = h5py.ExternalLink(str(folder / "other.h5"), "/kernel")


def _soft_link(group: Any, folder: Path) -> None:
    import h5py

    group["kernel:0"] = h5py.SoftLink("/model_weights")


def _soft_loop(group: Any, folder: Path) -> None:
    import h5py

    group["kernel:0"] = h5py.SoftLink(group.name + "/kernel:0")


def _virtual(group: Any, folder: Path) -> None:
    import h5py

    os.mkfifo(folder / "other.h5")
    layout = h5py.VirtualLayout((4, 4), np.float32)
    layout[:] = h5py.VirtualSource(str(folder / "other.h5"), "kernel", (4, 4))
    group.create_virtual_dataset("kernel:0", layout)


def _shape_bomb(group: Any, folder: Path) -> None:
    group.create_dataset("kernel:0", (1 << 20, 1 << 20), np.float32, chunks=(64, 64))


def _packed_bomb(group: Any, folder: Path) -> None:
    group.create_dataset(
        "kernel:0",
        data=np.zeros((1 << 12, 1 << 13), np.float32),
        chunks=(1 << 12, 1 << 13),
        compression="gzip",
    )


def _texts(group: Any, folder: Path) -> None:
    import h5py

    group.create_dataset("kernel:0", (4, 4), dtype=h5py.string_dtype())


def _references(group: Any, folder: Path) -> None:
    import h5py

    group.create_dataset("kernel:0", (4, 4), dtype=h5py.ref_dtype)


def _other_shape(group: Any, folder: Path) -> None:
    group.create_dataset("kernel:0", data=np.zeros((4, 5), np.float32))


def _a_group(group: Any, folder: Path) -> None:
    group.create_group("kernel:0")


def _missing(group: Any, folder: Path) -> None:
    pass


def cut(share: float) -> Callable[[Path], Path]:
    def build(folder: Path) -> Path:
        path = h5(_good)(folder)
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * share)])
        return path

    return build


def damaged(at: float) -> Callable[[Path], Path]:
    """A good file with 64 bytes of another kind in it."""

    def build(folder: Path) -> Path:
        path = h5(_good)(folder)
        content = bytearray(path.read_bytes())
        begin = int(len(content) * at)
        content[begin : begin + 64] = b"\xff" * 64
        path.write_bytes(content)
        return path

    return build


_LAMBDA_LAYER = dense_config().replace('"Dense"', '"Lambda"')

FILES: list[tuple[str, Callable[[Path], Path], str]] = [
    ("external storage", h5(_external_storage), UNSAFE),
    ("external link", h5(_external_link), UNSAFE),
    ("soft link", h5(_soft_link), UNSAFE),
    ("soft link to itself", h5(_soft_loop), UNSAFE),
    ("virtual dataset", h5(_virtual), UNSAFE),
    ("shape bomb", h5(_shape_bomb), LIMIT),
    ("packed bomb", h5(_packed_bomb), LIMIT),
    ("texts as weights", h5(_texts), FORMAT),
    ("references as weights", h5(_references), FORMAT),
    ("another shape", h5(_other_shape), FORMAT),
    ("a group as weight", h5(_a_group), FORMAT),
    ("a weight is missing", h5(_missing), FORMAT),
    ("Lambda", h5(_good, _LAMBDA_LAYER), UNSAFE),
    (
        "lambda as activation",
        h5(_good, dense_config(activation=LAMBDA)),
        UNSAFE,
    ),
    ("no configuration", h5(_good, "{}"), FORMAT),
    ("cut in the middle", cut(0.5), FORMAT),
    ("cut to its head", cut(0.05), FORMAT),
    ("damaged head", damaged(0.002), FORMAT),
]

CASES = [Case(name, build, error, needs="h5py") for name, build, error in FILES]
