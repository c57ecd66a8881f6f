"""Steps of optimizers as nodes, against the definition in float64 and PyTorch."""

import numpy as np
import pytest
from onnx import helper

import trimtab

torch = pytest.importorskip("torch", reason="the oracle: pip install torch")

DOMAIN = "ai.onnx.preview.training"
MEMORIES = {"Adagrad": 1, "Adam": 2, "Momentum": 1}
USUAL = {
    "alpha": 0.9, "beta": 0.999, "epsilon": 1e-6, "decay_factor": 0.0,
    "norm_coefficient": 0.0, "norm_coefficient_post": 0.0, "mode": "",
}  # fmt: skip
MOMENTUM = {"alpha": 0.9, "beta": 0.7, "norm_coefficient": 0.01}


def model_of(op_type, dtypes, shapes, attrs):
    roles = [f"x{i}" for i in range(len(shapes))]
    names = [f"{role}{k}" for role in "XGVH"[: 2 + MEMORIES[op_type]] for k in roles]
    outs = [f"{role}_new{k}" for role in "XVH"[: 1 + MEMORIES[op_type]] for k in roles]
    codes = [helper.np_dtype_to_tensor_dtype(np.dtype(t)) for t in dtypes]

    def info(name, i):
        return helper.make_tensor_value_info(name, codes[i], shapes[i])

    inputs = [
        helper.make_tensor_value_info("R", 1, []),
        helper.make_tensor_value_info("T", 7, []),
        *(info(name, i % len(shapes)) for i, name in enumerate(names)),
    ]
    outputs = [info(name, i % len(shapes)) for i, name in enumerate(outs)]
    node = helper.make_node(op_type, ["R", "T", *names], outs, domain=DOMAIN, **attrs)
    graph = helper.make_graph([node], "g", inputs, outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid(DOMAIN, 1)])


def by_definition(op_type, rate, count, x, g, v, h, a):
    """New weights and memories, in float64; attributes are float32."""
    a = {
        k: v if k == "mode" else float(np.float32(v)) for k, v in {**USUAL, **a}.items()
    }
    g = a["norm_coefficient"] * x + g
    if op_type == "Adagrad":
        rate = rate / (1 + count * a["decay_factor"])
        v = v + g * g
        return x - rate * g / (np.sqrt(v) + a["epsilon"]), v
    if op_type == "Adam":
        alpha, beta = a["alpha"], a["beta"]
        v, h = alpha * v + (1 - alpha) * g, beta * h + (1 - beta) * g * g
        if count > 0:
            rate = rate * np.sqrt(1 - beta**count) / (1 - alpha**count)
        x = x - rate * v / (np.sqrt(h) + a["epsilon"])
        return (1 - a["norm_coefficient_post"]) * x, v, h
    v = a["alpha"] * v + (a["beta"] if count > 0 else 1) * g
    step = g + a["alpha"] * v if a["mode"] == "nesterov" else v
    return x - rate * step, v


@pytest.mark.parametrize(
    ("op_type", "attrs"),
    [
        ("Adagrad", {}),
        ("Adagrad", {"norm_coefficient": 0.1, "decay_factor": 0.2, "epsilon": 1e-3}),
        ("Adam", {}),
        ("Adam", {"alpha": 0.8, "beta": 0.95, "norm_coefficient": 0.1}),
        ("Adam", {"norm_coefficient_post": 0.25, "epsilon": 1e-2}),
        ("Momentum", {"mode": "standard", **MOMENTUM}),
        ("Momentum", {"mode": "nesterov", **MOMENTUM}),
    ],
)
@pytest.mark.parametrize("count", [0, 1, 17])
@pytest.mark.parametrize(
    "shapes", [[(5,)], [(), (3, 4), (0, 2)], [(40_000,), (7, 3, 2)]]
)
@pytest.mark.parametrize("dtypes", [["float32"] * 3, ["float64", "float32", "float64"]])
def test_the_definition(rng, op_type, attrs, count, shapes, dtypes):
    arrays = [
        [rng.standard_normal(s).astype(t) for s, t in zip(shapes, dtypes, strict=False)]
        for _ in range(4)
    ]
    arrays[2:] = [[np.abs(x) for x in row] for row in arrays[2:]]  # sums of squares
    model = model_of(op_type, dtypes[: len(shapes)], shapes, attrs)
    loaded = trimtab.load_model(model.SerializeToString(), threads=2, fallback=False)
    flat = [x for row in arrays[: 2 + MEMORIES[op_type]] for x in row]
    rate, t = np.float32(0.05), np.int64(count)
    got = loaded.run(
        dict(zip([v.name for v in loaded.inputs], [rate, t, *flat], strict=True))
    )
    for i in range(len(shapes)):
        wide = [row[i].astype(np.float64) for row in arrays]
        want = by_definition(op_type, float(rate), count, *wide, attrs)
        for role, w in zip("XVH", want, strict=False):
            y = got[f"{role}_newx{i}"]
            assert y.dtype == arrays[0][i].dtype
            tolerance = 1e-5 if y.dtype == np.float32 else 1e-7
            np.testing.assert_allclose(y, w, rtol=tolerance, atol=tolerance)


def test_many_steps_of_momentum_are_those_of_pytorch(rng):
    x = rng.standard_normal(20).astype(np.float32)
    weights = torch.nn.Parameter(torch.from_numpy(x.copy()))
    theirs = torch.optim.SGD([weights], 0.1, momentum=0.9, nesterov=True)
    attrs = {"mode": "nesterov", "alpha": 0.9, "beta": 1.0, "norm_coefficient": 0.0}
    model = model_of("Momentum", ["float32"], [(20,)], attrs)
    loaded = trimtab.load_model(model.SerializeToString())
    v = np.zeros_like(x)
    for t in range(10):
        g = rng.standard_normal(20).astype(np.float32)
        weights.grad = torch.from_numpy(g)
        theirs.step()
        feeds = [np.float32(0.1), np.int64(t), x, g, v]
        x, v = loaded.run(
            dict(zip([i.name for i in loaded.inputs], feeds, strict=True))
        ).values()
    np.testing.assert_allclose(x, weights.detach().numpy(), rtol=1e-5, atol=1e-6)


def test_only_some_outputs(rng):
    model = model_of("Adam", ["float32"], [(5,)], {})
    model.graph.node[0].output[1] = ""
    del model.graph.output[1]
    loaded = trimtab.load_model(model.SerializeToString())
    x = [rng.random(5).astype(np.float32) for _ in range(4)]
    feeds = [np.float32(0.1), np.int64(1), *x]
    got = loaded.run(dict(zip([i.name for i in loaded.inputs], feeds, strict=True)))
    wide = [y.astype(np.float64) for y in x]
    want = by_definition("Adam", float(np.float32(0.1)), 1, *wide, {})
    np.testing.assert_allclose(got["X_newx0"], want[0], rtol=1e-5)
    np.testing.assert_allclose(got["H_newx0"], want[2], rtol=1e-5)


@pytest.mark.parametrize(
    ("op_type", "attrs", "change", "text"),
    [
        ("Momentum", {"mode": "fast", **MOMENTUM}, None, "not 'fast'"),
        ("Momentum", {"mode": "standard"}, None, "'alpha' is missing"),
        ("Adam", {}, lambda n: n.input.append("R"), "inputs"),
        ("Adam", {}, lambda n: n.output.append("more"), "outputs"),
        ("Adam", {}, lambda n: n.input.__setitem__(1, "R"), "one int64"),
        ("Adagrad", {}, lambda n: n.input.__setitem__(3, "R"), "one shape"),
        ("Adagrad", {}, lambda n: n.input.__setitem__(3, ""), "input"),
    ],
)
def test_what_does_not_fit_is_refused(op_type, attrs, change, text):
    model = model_of(op_type, ["float32"], [(5,)], attrs)
    if change is not None:
        change(model.graph.node[0])
    with pytest.raises(trimtab.TrimtabError, match=text):
        loaded = trimtab.load_model(model.SerializeToString())
        feeds = {i.name: np.ones(i.shape, i.dtype) for i in loaded.inputs}
        loaded.run(feeds)
