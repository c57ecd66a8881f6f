"""External data of ONNX that points where it must not, or lies about what is there."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from .case import Case

UNSAFE, FORMAT = "UnsafeModelError", "ModelFormatError"


def model_with(folder: Path, entries: dict[str, str], dims: tuple[int, ...] = (4, 4)):
    """Write a MatMul whose weight is external, as `entries` say."""
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=dims)
    weight.data_location = TensorProto.EXTERNAL
    for key, value in entries.items():
        weight.external_data.add(key=key, value=value)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])],
        [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def weights_in(path: Path, n: int = 16) -> None:
    """A file of that many floats."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(np.ones(n, np.float32).tobytes())


def location(text: str, **entries: str) -> Callable[[Path], Path]:
    """A model in ``inner/`` whose data has this location; w.bin is above and beside."""

    def build(folder: Path) -> Path:
        inner = folder / "inner"
        inner.mkdir()
        weights_in(folder / "w.bin")
        weights_in(inner / "w.bin")
        return model_with(
            inner, {"location": text.replace("FOLDER", str(folder)), **entries}
        )

    return build


def with_file(make: Callable[[Path], None], **entries: str) -> Callable[[Path], Path]:
    """A model beside which `make` puts what is called w.bin."""

    def build(folder: Path) -> Path:
        make(folder / "w.bin")
        return model_with(folder, {"location": "w.bin", **entries})

    return build


def _link(path: Path) -> None:
    weights_in(path.with_name("real.bin"))
    path.symlink_to("real.bin")


def _link_outside(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def _hard_link(path: Path) -> None:
    weights_in(path.with_name("real.bin"))
    os.link(path.with_name("real.bin"), path)


def _sparse(path: Path) -> None:
    with open(path, "wb") as file:
        file.truncate(1 << 40)


def _in_linked_folder(folder: Path) -> Path:
    weights_in(folder / "real" / "w.bin")
    (folder / "link").symlink_to("real")
    return model_with(folder, {"location": "link/w.bin"})


def _sparse_and_large(folder: Path) -> Path:
    _sparse(folder / "w.bin")
    return model_with(folder, {"location": "w.bin"}, dims=(1 << 19, 1 << 19))


def _overflowing(folder: Path) -> Path:
    weights_in(folder / "w.bin")
    return model_with(folder, {"location": "w.bin"}, dims=(1 << 32, 1 << 32))


def _negative(folder: Path) -> Path:
    weights_in(folder / "w.bin")
    return model_with(folder, {"location": "w.bin"}, dims=(-4, -4))


def _bytes_twice(folder: Path) -> Path:
    path = model_with(folder, {"location": "w.bin"})
    weights_in(folder / "w.bin")
    model = onnx.ModelProto()
    model.ParseFromString(path.read_bytes())
    model.graph.initializer[0].raw_data = bytes(64)
    path.write_bytes(model.SerializeToString())
    return path


CASES = [
    Case("..", location("../w.bin"), UNSAFE),
    Case(".. in the middle", location("a/../../w.bin"), UNSAFE),
    Case(".. that stays inside", location("a/../w.bin"), UNSAFE),
    Case("absolute", location("FOLDER/inner/w.bin"), UNSAFE),
    Case("empty", location(""), UNSAFE),
    Case("dot", location("."), UNSAFE),
    Case("slash at the end", location("w.bin/"), UNSAFE),
    Case("two slashes", location("a//w.bin"), UNSAFE),
    Case("backslash", location("..\\w.bin"), UNSAFE),
    Case("NUL", location("w.bin\0x"), UNSAFE),
    Case("very long", location("a/" * 4000 + "w.bin"), UNSAFE),
    Case("home", location("~/w.bin"), FORMAT),
    Case("URL", location("http://127.0.0.1:9/w.bin"), UNSAFE),
    Case("missing", location("no.bin"), FORMAT),
    Case("link", with_file(_link), UNSAFE),
    Case("link outside", with_file(_link_outside), UNSAFE),
    Case("folder that is a link", _in_linked_folder, UNSAFE),
    Case("hard link", with_file(_hard_link), UNSAFE),
    Case("FIFO", with_file(lambda path: os.mkfifo(path)), UNSAFE),
    Case("folder", with_file(lambda path: path.mkdir()), UNSAFE),
    Case("offset past the end", location("w.bin", offset="1000000"), FORMAT),
    Case("offset of 19 digits", location("w.bin", offset="9" * 19), FORMAT),
    Case("offset of 40 digits", location("w.bin", offset="9" * 40), FORMAT),
    Case("negative offset", location("w.bin", offset="-8"), FORMAT),
    Case("offset in words", location("w.bin", offset="0x10"), FORMAT),
    Case("length too short", location("w.bin", length="8"), FORMAT),
    Case("length too long", location("w.bin", length="6400000000"), FORMAT),
    Case("negative length", location("w.bin", length="-1"), FORMAT),
    Case("file too short", with_file(lambda path: weights_in(path, 3)), FORMAT),
    Case("empty file", with_file(lambda path: weights_in(path, 0)), FORMAT),
    Case("sparse terabyte", _sparse_and_large, "ModelLimitError"),
    Case("dims that overflow", _overflowing, "ModelLimitError"),
    Case("negative dims", _negative, FORMAT),
    Case("external and raw data", _bytes_twice, FORMAT),
]
