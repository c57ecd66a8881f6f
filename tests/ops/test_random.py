"""Random numbers: those of onnx.reference with a seed, else their distribution."""

import numpy as np
import pytest
import scipy.stats
from tests.ops.check import check_node, feeds_of, one_node_model

import trimtab

N = 200_000
LEAST_P = 1e-6  # of a test that has the right distribution: once in a million runs


def numbers(op_type, inputs, attrs, opset=22, *, threads=2):
    model = one_node_model(op_type, inputs, attrs, opset)
    loaded = trimtab.load_model(model.SerializeToString(), threads=threads)
    return np.asarray(loaded.run(feeds_of(inputs, ()))["y0"])


# onnx.TensorProto.DataType
CODES = {"float32": 1, "float64": 11, "float16": 10}


@pytest.mark.parametrize("seed", [0.0, 1.0, 12345.0, 7.9])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("like", [False, True])
def test_a_seed_gives_the_numbers_of_the_reference(seed, dtype, like):
    shape = (3, 1000)
    inputs = [np.empty(shape, dtype)] if like else []
    attrs = {"seed": seed} | ({} if like else {"shape": shape, "dtype": CODES[dtype]})
    state = np.random.RandomState(int(seed))
    want = (state.rand(*shape) * 3 - 1).astype(dtype)
    more = {"low": -1.0, "high": 2.0}
    name = "RandomUniformLike" if like else "RandomUniform"
    check_node(name, inputs, attrs | more, 22, expected=[want])
    state = np.random.RandomState(int(seed))
    want = (state.randn(*shape) * 2 + 5).astype(dtype)
    more = {"mean": 5.0, "scale": 2.0}
    name = "RandomNormalLike" if like else "RandomNormal"
    check_node(name, inputs, attrs | more, 22, expected=[want])


@pytest.mark.parametrize("seed", [None, 42.0])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_uniform(seed, dtype):
    attrs = {"shape": (N,), "dtype": CODES[dtype]}
    x = numbers("RandomUniform", [], attrs | ({} if seed is None else {"seed": seed}))
    assert x.dtype == dtype
    assert x.min() >= 0
    assert x.max() < 1  # in half precision too
    if dtype != "float16":
        assert scipy.stats.kstest(x, "uniform").pvalue > LEAST_P
    pairs = np.histogram2d(x[::2].astype(float), x[1::2].astype(float), 20)[0]
    assert scipy.stats.chisquare(pairs.ravel()).pvalue > LEAST_P


@pytest.mark.parametrize("seed", [None, 42.0])
def test_normal(seed):
    attrs = {"shape": (N,)} | ({} if seed is None else {"seed": seed})
    x = numbers("RandomNormal", [], attrs).astype(np.float64)
    assert scipy.stats.kstest(x, "norm").pvalue > LEAST_P
    assert abs(np.corrcoef(x[::2], x[1::2])[0, 1]) < 5 / np.sqrt(N / 2)
    assert abs(np.corrcoef(x[::2] ** 2, x[1::2] ** 2)[0, 1]) < 5 / np.sqrt(N / 2)


@pytest.mark.parametrize("seed", [None, 3.0])
@pytest.mark.parametrize("code", [None, 1, 11, 6, 9])
@pytest.mark.parametrize("opset", [15, 22])
def test_bernoulli_gives_one_with_the_probability(rng, seed, code, opset):
    p = np.repeat(np.array([0, 0.1, 0.5, 0.9, 1], np.float32), 20_000)
    attrs = {} if code is None else {"dtype": code}
    attrs |= {} if seed is None else {"seed": seed}
    y = numbers("Bernoulli", [p], attrs, opset)
    assert y.dtype == {None: "float32", 1: "float32", 11: "float64", 6: "int32"}.get(
        code, "bool"
    )
    means = y.reshape(5, -1).astype(float).mean(1)
    deviation = np.sqrt(p[::20_000] * (1 - p[::20_000]) / 20_000)
    assert (np.abs(means - p[::20_000]) <= 5 * deviation).all()
    if seed is not None:
        drawn = np.random.RandomState(int(seed)).rand(p.size)
        np.testing.assert_array_equal(y, (drawn < p).astype(y.dtype))


@pytest.mark.parametrize("seed", [None, 3.0])
@pytest.mark.parametrize("code", [6, 7])
def test_multinomial_follows_the_logarithms(seed, code):
    p = np.array([[0.1, 0, 0.6, 0.3], [0.25, 0.25, 0.25, 0.25]])
    with np.errstate(divide="ignore"):
        logs = (np.log(p) + 100).astype(np.float32)
    attrs = {"sample_size": 50_000, "dtype": code}
    attrs |= {} if seed is None else {"seed": seed}
    y = numbers("Multinomial", [logs], attrs)
    assert y.shape == (2, 50_000)
    assert y.dtype == {6: "int32", 7: "int64"}[code]
    for row, wanted in zip(y, p, strict=True):
        counts = np.bincount(row, minlength=4)
        assert counts[wanted == 0].sum() == 0
        test = scipy.stats.chisquare(counts[wanted > 0], 50_000 * wanted[wanted > 0])
        assert test.pvalue > LEAST_P


def test_calls_differ_without_a_seed_and_only_then():
    attrs = {"shape": (1000,)}
    for extra, same in ({}, False), ({"seed": 1.0}, True), ({"seed": np.nan}, False):
        model = one_node_model("RandomUniform", [], attrs | extra, 22)
        loaded = trimtab.load_model(model.SerializeToString())
        first, second = (np.asarray(loaded.run({})["y0"]) for _ in range(2))
        assert (first == second).all() == same


def test_nodes_of_one_graph_differ():
    from onnx import helper

    nodes = [
        helper.make_node("RandomNormal", [], [name], shape=[1000]) for name in "ab"
    ]
    outputs = [helper.make_tensor_value_info(name, 1, [1000]) for name in "ab"]
    graph = helper.make_graph(nodes, "g", [], outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    a, b = trimtab.load_model(model.SerializeToString()).run({}).values()
    assert (a != b).all()


@pytest.mark.parametrize("op_type", ["RandomUniform", "RandomNormal"])
def test_shapes(op_type):
    for shape in [(), (0,), (2, 0, 3), (1,), (513,)]:
        model = one_node_model(op_type, [], {"shape": (1,)})
        model.graph.node[0].attribute[0].ints[:] = shape
        loaded = trimtab.load_model(model.SerializeToString())
        assert np.shape(loaded.run({})["y0"]) == shape


@pytest.mark.parametrize(
    ("op_type", "inputs", "attrs", "text"),
    [
        ("RandomUniform", [], {}, "'shape'"),
        ("RandomUniform", [], {"shape": (-1,)}, "dim of -1"),
        ("RandomUniform", [], {"shape": (2,), "dtype": 7}, "'dtype' is 7"),
        ("RandomNormal", [], {"shape": (2,), "dtype": 99}, "'dtype' is 99"),
        ("RandomNormal", [], {"shape": (1 << 40, 1 << 40)}, "RandomNormal"),
        ("RandomNormal", [], {"shape": (2,), "seed": "x"}, "seed"),
        ("Bernoulli", [np.ones(2, np.int32)], {}, "float type"),
        ("Multinomial", [np.ones(2, np.float32)], {}, "rank 2"),
        ("Multinomial", [np.ones((2, 0), np.float32)], {}, "class"),
        ("Multinomial", [np.ones((2, 2), np.float32)], {"sample_size": -1}, "-1"),
        ("Multinomial", [np.ones((2, 2), np.float32)], {"dtype": 1}, "dtype"),
        ("Multinomial", [np.full((2, 2), np.nan, np.float32)], {}, "row 0"),
        ("Multinomial", [np.full((2, 2), -np.inf, np.float32)], {}, "row 0"),
    ],
)
def test_what_cannot_be_drawn_is_refused(op_type, inputs, attrs, text):
    with pytest.raises(trimtab.TrimtabError, match=text):
        numbers(op_type, inputs, attrs)
