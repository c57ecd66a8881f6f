"""What users write, with the types they may rely on; read by mypy, not run."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from typing_extensions import assert_type

import trimtab

x = np.ones((1, 4), np.float32)

model = trimtab.load_model("model.onnx", threads=2, limits=trimtab.Limits(max_nodes=9))
assert_type(model, trimtab.Model)
assert_type(model.inputs, tuple[trimtab.TensorSpec, ...])
assert_type(model.inputs[0].shape, "tuple[int | str | None, ...] | None")
assert_type(model.run({"x": x}), dict[str, npt.NDArray[Any]])
assert_type(model.stats, dict[str, int])
assert_type(model.taps.run(x, ["h"]), dict[str, npt.NDArray[Any]])

profile = model.profile(x, repeat=3)
assert_type(profile, trimtab.Profile)
assert_type(profile.latency_ms, float)
assert_type(profile.nodes[0].percent_of_peak, float)

with trimtab.load_model(b"...") as other:
    assert_type(other, trimtab.Model)

deployment = trimtab.deploy_model(model, preprocess_input=np.atleast_2d)
assert_type(deployment, trimtab.Deployment)
assert_type(deployment.predict_batch([x, x]), list[Any])

pipeline = trimtab.Pipeline(
    [trimtab.steps.DecodeImage(), *trimtab.steps.imagenet(), np.asarray],
    model,
    trimtab.steps.TopK(5, labels=("cat", "dog")),
)
assert_type(pipeline.fuse(), trimtab.Pipeline)
assert_type(pipeline.predict_batch(["a.png"]), list[Any])
assert_type(trimtab.steps.Resize(224, 224).method, str)
assert_type(
    trimtab.deploy_model(model, preprocess_input=[trimtab.steps.AddBatch()]),
    trimtab.Deployment,
)

assert_type(trimtab.measure_peaks().f32_gops, float)

try:
    model(x)
except trimtab.InputError as error:
    assert_type(error.where, str)
except trimtab.UnsupportedOpError as error:
    assert_type(error.nodes, tuple[Any, ...])
