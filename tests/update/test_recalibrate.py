"""Calibration: optima against SciPy, and graphs against what they should compute."""

import numpy as np
import pytest
from scipy.optimize import minimize, minimize_scalar

from trimtab.evaluate.task import Task
from trimtab.graph import Constant, Graph, Model, Node, Value
from trimtab.optimize.runnable import runnable
from trimtab.update import recalibrate
from trimtab.update.calibrate import (
    fit_line,
    fit_shares,
    fit_temperature,
    log_loss,
    log_softmax,
    shift_of,
    softened,
)
from trimtab.update.calibrated import with_calibration
from trimtab.update.context import LearnContext, Rows

from .networks import digits, digits_graph, digits_model, shifted

RNG = np.random.default_rng(3)


def problem(n, k, scale, seed=0):
    rng = np.random.default_rng(seed)
    z = scale * rng.standard_normal((n, k))
    p = np.exp(log_softmax(z / scale))
    codes = np.array([rng.choice(k, p=row) for row in p])
    return z, np.eye(k)[codes]


@pytest.mark.parametrize("scale", [0.01, 1.0, 7.0, 300.0])
@pytest.mark.parametrize("is_sigmoid", [False, True])
def test_the_temperature_is_the_most_likely_one(scale, is_sigmoid):
    z, t = problem(400, 5, scale)
    soft = softened(t, is_sigmoid=is_sigmoid)
    wanted = minimize_scalar(
        lambda log: log_loss(z / np.exp(log), soft, is_sigmoid=is_sigmoid),
        bounds=(np.log(scale) - 7, np.log(scale) + 7),
        method="bounded",
        options={"xatol": 1e-10},
    )
    found = fit_temperature(z, t, is_sigmoid=is_sigmoid)
    np.testing.assert_allclose(found, np.exp(wanted.x), rtol=1e-5)


def test_rows_that_are_all_right_do_not_ask_for_certainty():
    z = np.array([[3.0, -3.0], [-3.0, 3.0]] * 5)
    t = np.eye(2)[[0, 1] * 5]
    p = np.exp(log_softmax(z / fit_temperature(z, t, is_sigmoid=False)))
    np.testing.assert_allclose(p.max(1), 1 - 1 / 12, rtol=1e-6)  # (n + 1) / (n + 2)


@pytest.mark.parametrize(
    ("z", "t"),
    [
        (np.zeros((4, 3)), np.eye(3)[[0, 1, 2, 0]]),  # constants
        (np.array([[1e30, -1e30]] * 3), np.eye(2)[[1, 1, 1]]),  # all wrong
        (np.array([[1e-30, -1e-30]] * 3), np.eye(2)[[0, 0, 0]]),
        (np.ones((1, 1)), np.ones((1, 1))),
    ],
)
def test_a_temperature_is_always_a_positive_number(z, t):
    for is_sigmoid in (False, True):
        found = fit_temperature(z, t, is_sigmoid=is_sigmoid)
        assert 0 < found < np.inf


def test_shares_by_expectation_maximisation_are_the_most_likely_ones():
    k, old = 3, np.array([0.5, 0.3, 0.2])
    z, _ = problem(300, k, 2.0, seed=1)
    p = np.exp(log_softmax(z))
    extra = 0.5 * k * old

    def loss(free):
        shares = np.exp(log_softmax(np.append(free, 0.0)[None]))[0]
        return -np.log((p * shares / old).sum(1)).sum() - (extra * np.log(shares)).sum()

    wanted = minimize(loss, np.zeros(k - 1), tol=1e-10)
    shares = np.exp(log_softmax(np.append(wanted.x, 0.0)[None]))[0]
    np.testing.assert_allclose(fit_shares(p, old), shares, atol=1e-5)


def test_known_classes_are_counted():
    codes = np.array([0] * 30 + [2] * 10)
    shares = fit_shares(np.full((40, 3), 1 / 3), np.full(3, 1 / 3), codes=codes)
    np.testing.assert_allclose(shares, [30.5 / 41.5, 0.5 / 41.5, 10.5 / 41.5])
    assert abs(shift_of(np.full(3, 1 / 3), shares).mean()) < 1e-12


@pytest.mark.parametrize("what", ["nothing", "shift", "line"])
def test_a_line_is_chosen_where_it_predicts_rows_left_out(what):
    x = RNG.standard_normal((60, 2)) * 3 + 1
    noise = 0.5 * RNG.standard_normal((60, 2))
    truth = {"nothing": x + 0.02 * noise, "shift": x + 4, "line": 2 * x - 3}[what]
    truth = truth + (noise if what != "nothing" else 0)
    factor, shift, found = fit_line(x, truth)
    if what == "nothing":
        np.testing.assert_allclose(factor * x + shift, truth, atol=0.2)
        return
    assert found == what
    for j in range(2):
        if what == "line":
            wanted = np.polyfit(x[:, j], truth[:, j], 1)
            np.testing.assert_allclose([factor[j], shift[j]], wanted, rtol=1e-8)


def test_a_line_needs_values_that_differ():
    factor, shift, what = fit_line(np.ones((5, 1)), np.arange(5.0, 10.0)[:, None])
    assert (factor[0], shift[0], what) == (1.0, 6.0, "shift")
    assert fit_line(np.ones((1, 1)), np.zeros((1, 1)))[2] == "nothing"


# ---- in graphs ----------------------------------------------------------------------


def small(nodes, constants, k=3, out=("n", 3)):
    graph = Graph(
        "g",
        [Value("x", "float32", ("n", k))],
        [Value("y", "float32", out)],
        nodes,
        {name: Constant.of(value) for name, value in constants.items()},
    )
    return Model(graph, {"": 18})


X = RNG.standard_normal((9, 3)).astype(np.float32)
W = RNG.standard_normal((3, 3)).astype(np.float32)
QUANTISED = [
    Node("DequantizeLinear", ["q", "s"], ["w"]),
    Node("MatMul", ["x", "w"], ["z"]),
]
ENDS = {
    "a dense layer": (
        [Node("MatMul", ["x", "w"], ["z"]), Node("Softmax", ["z"], ["y"])],
        {"w": W},
    ),
    "quantised weights": (
        [*QUANTISED, Node("Softmax", ["z"], ["y"])],
        {"q": np.int8([[1, 2, 3], [4, -5, 6], [7, 8, -9]]), "s": np.float32(0.1)},
    ),
    "logits": ([*QUANTISED[:1], Node("MatMul", ["x", "w"], ["y"])], None),
    "probabilities of its own": (
        [
            Node("Abs", ["x"], ["a"]),
            Node("ReduceSum", ["a", "axis"], ["sum"]),
            Node("Div", ["a", "sum"], ["y"]),
        ],
        {"axis": np.array([-1])},
    ),
    "a sigmoid": ([*QUANTISED, Node("Sigmoid", ["z"], ["y"])], None),
}
for _name in ("logits", "a sigmoid"):
    ENDS[_name] = (ENDS[_name][0], ENDS["quantised weights"][1])


@pytest.mark.parametrize("n_times", [1, 2])
@pytest.mark.parametrize("name", ENDS)
def test_a_graph_gives_the_calibrated_answer(name, n_times):
    nodes, constants = ENDS[name]
    graph = small(nodes, constants)
    before = runnable(graph)(X).astype(np.float64)
    is_logit = name == "logits"
    z = before if is_logit else np.log(before)
    if name == "a sigmoid":
        z = np.log(before) - np.log1p(-before)
    factor, shift = np.array(0.5), np.array([0.2, -0.4, 0.1])
    for _ in range(n_times):
        graph = with_calibration(
            graph, "y", factor, shift, is_probability="prob" in name or "dense" in name
        )
        z = z * factor + shift
    wanted = {True: z, False: np.exp(log_softmax(z))}[is_logit]
    if name == "a sigmoid":
        wanted = 1 / (1 + np.exp(-z))
    np.testing.assert_allclose(runnable(graph)(X), wanted, rtol=2e-4, atol=1e-5)


def test_a_second_calibration_adds_no_nodes():
    graph = small(*ENDS["quantised weights"])
    once = with_calibration(graph, "y", np.array(0.5), np.ones(3))
    twice = with_calibration(once, "y", np.array(0.5), np.ones(3))
    assert twice.n_nodes == once.n_nodes == graph.n_nodes + 2
    assert len(small(*ENDS["quantised weights"]).graph.nodes) == graph.n_nodes


# ---- the learner --------------------------------------------------------------------


def context_of(model, fit, select, *, output, replay=None, **options):
    task = Task("multiclass", output, "", tuple(range(10)), **options)
    return LearnContext(model, model._graph_again(), fit, select, replay, task)


@pytest.mark.parametrize("end", ["softmax", "logits"])
def test_classes_stay_and_probabilities_hold(end):
    x, y = digits()
    sx = shifted(x)
    model = digits_model(end)
    output = {"softmax": "probabilities", "logits": "logits"}[end]
    context = context_of(
        model,
        Rows({"x": sx[:300]}, y[:300]),
        Rows({"x": sx[300:400]}, y[300:400]),
        output=output,
    )
    made = recalibrate.learn(context)
    before, after = model(sx[400:]), made.model(sx[400:])
    np.testing.assert_array_equal(before.argmax(1), after.argmax(1))
    losses = []
    for outputs in (before, after):
        z = np.log(np.maximum(outputs, 1e-30)) if end == "softmax" else outputs
        losses.append(log_loss(z, np.eye(10)[y[400:]], is_sigmoid=False))
    assert losses[1] < 0.75 * losses[0]
    assert made.detail["temperature"] > 2
    np.testing.assert_array_equal(model(sx[400:]), before)  # what serves is as it was


def test_other_shares_of_the_classes_move_the_bias():
    x, y = digits()
    model = digits_model()
    rare = np.where(y < 5, 1.0, 0.08)  # classes 5 to 9 have become rare
    keep = np.random.default_rng(0).random(len(y)) < rare
    noise = 0.35 * np.random.default_rng(1).standard_normal(x.shape)
    nx = (x + noise).astype(np.float32)
    new, held = np.flatnonzero(keep[:1000]), 1000 + np.flatnonzero(keep[1000:])
    fit, select = new[: len(new) * 3 // 4], new[len(new) * 3 // 4 :]
    context = context_of(
        model,
        Rows({"x": nx[fit]}, y[fit]),
        Rows({"x": nx[select]}, y[select]),
        replay=Rows({"x": nx[:800]}, y[:800]),
        output="probabilities",
    )
    made = recalibrate.learn(context)
    assert made.detail["what"] == "temperature and shares"
    right = [(m(nx[held]).argmax(1) == y[held]).mean() for m in (model, made.model)]
    assert right[1] > right[0] + 0.01


def test_numbers_get_a_line():
    graph = small(
        [Node("Gemm", ["x", "w", "b"], ["y"])],
        {"w": W[:, :1], "b": np.zeros(1, np.float32)},
        out=("n", 1),
    )
    model = runnable(graph)
    x = RNG.standard_normal((80, 3)).astype(np.float32)
    y = 3 * model(x).astype(np.float64) + 1
    rows = Rows({"x": x}, y)
    task = Task("regression", "values", "")
    made = recalibrate.learn(LearnContext(model, graph, rows, rows, None, task))
    np.testing.assert_allclose(made.model(x), y, rtol=1e-3, atol=1e-3)
    assert made.detail["what"] == "line"


def test_a_softmax_over_channels_is_calibrated_per_class():
    nodes = [Node("Mul", ["x", "s"], ["z"]), Node("Softmax", ["z"], ["y"])]
    nodes[1].attributes["axis"] = 1
    graph = Graph(
        "g",
        [Value("x", "float32", ("n", 3, 4))],
        [Value("y", "float32", ("n", 3, 4))],
        nodes,
        {"s": Constant.of(np.float32(9.0))},
    )
    graph = Model(graph, {"": 18})
    z, t = problem(400, 3, 1.0)
    x = z.reshape(100, 4, 3).transpose(0, 2, 1).astype(np.float32)
    labels = t.argmax(1).reshape(100, 4)
    model = runnable(graph)
    rows = Rows({"x": x}, labels)
    task = Task("multiclass", "probabilities", "", (0, 1, 2), class_axis=1)
    made = recalibrate.learn(LearnContext(model, graph, rows, rows, None, task))
    np.testing.assert_allclose(made.detail["temperature"], 9, rtol=0.3)
    assert made.model(x).shape == (100, 3, 4)


def test_the_network_of_these_tests_is_good():
    x, y = digits()
    assert (digits_model()(x[800:]).argmax(1) == y[800:]).mean() > 0.94
    assert digits_graph("logits").graph.outputs[0].name == "z"
