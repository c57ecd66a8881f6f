"""Losses of classes, against PyTorch in float64 and the reference of ONNX."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.ops.check import check_node, run_with_isa

import trimtab

torch = pytest.importorskip("torch", reason="the oracle: pip install torch")

NLL = "NegativeLogLikelihoodLoss"
SCE = "SoftmaxCrossEntropyLoss"


def by_torch(op_type, scores, targets, weights=None, ignored=None, reduction="mean"):
    """Loss and log-probabilities, in float64; the ignored class may be anything."""
    log_p = torch.from_numpy(scores.astype(np.float64))
    if op_type == SCE:
        log_p = torch.log_softmax(log_p, 1)
    loss = torch.nn.functional.nll_loss(
        log_p,
        torch.from_numpy(targets.astype(np.int64)),
        None if weights is None else torch.from_numpy(weights.astype(np.float64)),
        ignore_index=-(2**40) if ignored is None else ignored,
        reduction=reduction,
    )
    return [loss.numpy().astype(scores.dtype), log_p.numpy().astype(scores.dtype)]


def draw(rng, shape, dtype=np.float32, index=np.int64):
    scores = (rng.standard_normal(shape) * 3).astype(dtype)
    targets = rng.integers(0, shape[1], (shape[0], *shape[2:])).astype(index)
    return scores, targets, rng.uniform(0.1, 2, shape[1]).astype(dtype)


@settings(deadline=None, max_examples=60)
@given(
    op_type=st.sampled_from([NLL, SCE]),
    shape=st.tuples(
        st.integers(1, 150),
        st.integers(1, 40),
        st.sampled_from([(), (1,), (3,), (70,), (2, 35), (2, 3, 2)]),
    ).map(lambda s: (s[0], s[1], *s[2])),
    dtype=st.sampled_from([np.float32, np.float64, np.float16]),
    index=st.sampled_from([np.int32, np.int64]),
    reduction=st.sampled_from(["none", "sum", "mean"]),
    weighted=st.booleans(),
    ignored=st.sampled_from([None, 0, -1]),
    opset=st.sampled_from([12, 13, 22]),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_shape(
    op_type, shape, dtype, index, reduction, weighted, ignored, opset, seed
):
    rng = np.random.default_rng(seed)
    scores, targets, weights = draw(rng, shape, dtype, index)
    if ignored is not None:
        targets[rng.random(targets.shape) < 0.3] = ignored
        targets.flat[0] = 0 if shape[1] == 1 else 1  # something is left
    attrs = {"reduction": reduction}
    if ignored is not None:
        attrs["ignore_index"] = ignored
    inputs = [scores, targets, weights] if weighted else [scores, targets]
    want = by_torch(op_type, *inputs, ignored=ignored, reduction=reduction)
    outputs = 2 if op_type == SCE else 1
    check_node(
        op_type,
        inputs,
        attrs,
        opset,
        outputs=outputs,
        expected=want[:outputs],
        tolerance={"float64": 1e-12, "float32": 2e-6, "float16": 2e-3}[
            scores.dtype.name
        ],
    )


@pytest.mark.parametrize("op_type", [NLL, SCE])
@pytest.mark.parametrize("reduction", ["none", "mean"])
def test_the_reference_agrees(rng, op_type, reduction):
    scores, targets, weights = draw(rng, (3, 5, 6))
    check_node(op_type, [scores, targets, weights], {"reduction": reduction}, 13)


def test_only_the_log_probabilities(rng):
    scores, targets, _ = draw(rng, (40, 9, 70))
    want = by_torch(SCE, scores, targets)
    check_node(SCE, [scores, targets], outputs=["", "log"], expected=want[1:])


def test_large_scores_do_not_overflow(rng):
    scores, targets, _ = draw(rng, (65, 300))
    scores *= np.float32(1e4)
    want = by_torch(SCE, scores, targets, reduction="none")
    check_node(SCE, [scores, targets], {"reduction": "none"}, outputs=2, expected=want)


@pytest.mark.parametrize("op_type", [NLL, SCE])
def test_nothing_at_all(op_type):
    scores, targets = np.empty((0, 3, 2), np.float32), np.empty((0, 2), np.int64)
    nan, zero = np.float32(np.nan), np.float32(0)
    check_node(op_type, [scores, targets], expected=[np.array(nan)])
    check_node(
        op_type, [scores, targets], {"reduction": "sum"}, expected=[np.array(zero)]
    )
    check_node(
        op_type,
        [scores, targets],
        {"reduction": "none"},
        expected=[np.empty((0, 2), np.float32)],
    )


def test_nan_and_infinite_scores_spread_to_their_position_only():
    scores = np.array([[1, np.nan], [1, 2], [1, -np.inf], [np.inf, 1]], np.float32)
    targets = np.array([0, 1, 0, 1])
    want = by_torch(SCE, scores, targets, reduction="none")
    check_node(SCE, [scores, targets], {"reduction": "none"}, expected=want[:1])


@pytest.mark.parametrize("op_type", [NLL, SCE])
@pytest.mark.parametrize("target", [5, -1, 2**62, -(2**63)])
def test_a_target_that_is_no_class_is_refused(rng, op_type, target):
    scores, targets, _ = draw(rng, (70, 5, 3))
    targets[66, 1] = target
    with pytest.raises(trimtab.InputError, match=r"position 199 is outside \[0, 5\)"):
        check_node(op_type, [scores, targets], expected=[np.zeros((), np.float32)])


@pytest.mark.parametrize(
    ("scores", "targets", "weights", "attrs", "text"),
    [
        ((4, 3), (3,), None, {}, "expected"),
        ((4,), (4,), None, {}, "expected"),
        ((4, 3, 2), (4, 3), None, {}, "expected"),
        ((4, 3), (4,), (4,), {}, "one float32 for each of 3 classes"),
        ((4, 3), (4,), None, {"reduction": "max"}, "none, sum or mean, not 'max'"),
        ((4, 3), (4,), None, {"reduction": 3}, "reduction"),
    ],
)
def test_what_does_not_fit_is_refused(scores, targets, weights, attrs, text):
    inputs = [np.ones(scores, np.float32), np.zeros(targets, np.int64)]
    if weights is not None:
        inputs.append(np.ones(weights, np.float32))
    with pytest.raises(trimtab.TrimtabError, match=text):
        check_node(NLL, inputs, attrs, expected=[np.zeros((), np.float32)])


def test_the_sum_does_not_depend_on_the_threads(rng):
    scores, targets, weights = draw(rng, (5000, 33))
    got = [
        check_node(
            SCE,
            [scores, targets, weights],
            expected=by_torch(SCE, scores, targets, weights)[:1],
            threads=threads,
        )[0]
        for threads in (1, 2)
    ]
    assert got[0] == got[1]


CODE = """
import numpy as np, trimtab
from tests.ops.check import one_node_model
rng = np.random.default_rng(0)
for shape in [(70, 37), (3, 7, 150)]:
    x = rng.standard_normal(shape).astype(np.float32)
    t = rng.integers(0, shape[1], (shape[0], *shape[2:]))
    model = one_node_model("SoftmaxCrossEntropyLoss", [x, t], outputs=2)
    loss, log = trimtab.load_model(model.SerializeToString())(x0=x, x1=t)
    print(*np.round([float(loss), float(log.sum()) / log.size], 5))
"""


def test_every_instruction_set_gives_the_same():
    got = {run_with_isa(isa, CODE) for isa in ("scalar", "avx2", "avx512")}
    assert len(got) == 1
