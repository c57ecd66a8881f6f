"""Einsum against numpy.einsum in float64."""

import random

import ml_dtypes
import numpy as np
import pytest
from tests.ops.check import check_node, compare, one_node_model

import trimtab

# What transformers and their exporters write, and the corners of the grammar.
EQUATIONS = [
    ("ij,jk->ik", [(5, 7), (7, 3)]),
    ("ij,kj", [(5, 7), (3, 7)]),
    ("ij,jk->ki", [(5, 7), (7, 3)]),
    ("bsd,dnh->bsnh", [(2, 5, 12), (12, 3, 4)]),
    ("bsnh,nhd->bsd", [(2, 5, 3, 4), (3, 4, 12)]),
    ("bqhd,bkhd->bhqk", [(2, 5, 3, 4), (2, 6, 3, 4)]),
    ("bhqk,bkhd->bqhd", [(2, 3, 5, 6), (2, 6, 3, 4)]),
    ("...ij,...jk->...ik", [(2, 1, 5, 7), (3, 7, 4)]),
    ("...ij,jk", [(2, 5, 7), (7, 4)]),
    ("ii->i", [(4, 4)]),
    ("ii", [(4, 4)]),
    ("bii->b", [(3, 4, 4)]),
    ("iij,jk->ik", [(4, 4, 3), (3, 2)]),
    ("ij->ji", [(4, 3)]),
    ("ij->", [(4, 3)]),
    ("ij->j", [(4, 3)]),
    ("i...->...", [(4, 3, 2)]),
    ("...->...", [(4, 3, 2)]),
    ("i,i->", [(1000,), (1000,)]),
    ("i,j->ij", [(4,), (3,)]),
    ("i,i->i", [(4,), (4,)]),
    ("bi,bi->b", [(70, 9), (70, 9)]),
    ("ij,ij,ij->j", [(4, 3), (4, 3), (4, 3)]),
    ("ab,bc,cd,de->ae", [(2, 30), (30, 3), (3, 40), (40, 2)]),
    ("a,b,c->", [(50,), (60,), (70,)]),
    ("abc,cab->bca", [(2, 3, 4), (4, 2, 3)]),
    ("Aa,aA->A", [(2, 3), (3, 2)]),
    ("bA,Ba", [(2, 3), (4, 5)]),
    (" i j , j k -> i k ", [(5, 7), (7, 3)]),
    ("acbd,dbe->eca", [(2, 3, 4, 5), (5, 4, 6)]),
    ("ij,jk->ik", [(5, 1), (7, 3)]),
    ("ij,jk->ik", [(5, 0), (0, 3)]),
    ("ij,jk->ik", [(0, 4), (4, 3)]),
    ("abcdefghij->jihgfedcba", [(1, 2, 1, 2, 1, 2, 1, 2, 1, 2)]),
    (",", [(), ()]),
    ("", [()]),
]
TOLERANCES = {"float32": 2e-5, "float64": 1e-12, "float16": 5e-3, "bfloat16": 5e-2}


def want(equation, inputs):
    """In float64, or in the integer type, which wraps around."""
    is_float = inputs[0].dtype.name in TOLERANCES
    wide = [x.astype(np.float64) if is_float else x for x in inputs]
    return np.asarray(np.einsum(equation.replace(" ", ""), *wide), inputs[0].dtype)


def numbers(rng, shape, dtype):
    """Few of them where rounding of intermediate results would show."""
    dtype = np.dtype(dtype)
    if dtype.itemsize > 2 and dtype.kind == "f":
        return rng.standard_normal(shape).astype(dtype)
    return rng.integers(0 if dtype.kind == "u" else -4, 5, shape).astype(dtype)


@pytest.mark.parametrize(("equation", "shapes"), EQUATIONS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", ml_dtypes.bfloat16])
def test_equations(rng, equation, shapes, dtype):
    inputs = [numbers(rng, shape, dtype) for shape in shapes]
    tolerance = TOLERANCES.get(inputs[0].dtype.name)
    attributes = {"equation": equation}
    expected = [want(equation, inputs)]
    check_node("Einsum", inputs, attributes, expected=expected, tolerance=tolerance)
    if len(inputs) > 1 and inputs[-1].ndim:
        check_node(
            "Einsum",
            inputs,
            attributes,
            28,
            constants=[len(inputs) - 1],
            expected=expected,
            tolerance=tolerance,
        )


@pytest.mark.parametrize(
    "dtype",
    ["int8", "uint8", "int16", "uint16", "uint32", "int64", "uint64", "float16"],
)
def test_other_types(rng, dtype):
    for equation in ["ij,jk->ik", "ij,ij->j", "ij,k->i", "ij,ij,ij->"]:
        terms = equation.split("->")[0].split(",")
        inputs = [numbers(rng, [9] * len(t), dtype) * 3 for t in terms]
        check_node(
            "Einsum",
            [x.astype(dtype) for x in inputs],
            {"equation": equation},
            expected=[want(equation, inputs)],
            tolerance=TOLERANCES.get(dtype),
        )


def draw_equation(source):
    """Any equation that numpy.einsum knows, and shapes for it."""
    letters = source.sample("abcdefgXYZ", source.randint(1, 6))
    sizes = [1, 2, 3, 4, 5, 7] if source.random() < 0.95 else [0, 1, 2]
    dims = {letter: source.choice(sizes) for letter in letters}
    middle = [source.choice([1, 2, 3]) for _ in range(source.choice([0, 0, 0, 1, 2]))]
    terms, shapes = [], []
    for _ in range(source.choice([1, 2, 2, 2, 3, 3, 4])):
        n = source.randint(0, min(4, len(letters)))
        repeats = source.random() < 0.15
        term = source.choices(letters, k=n) if repeats else source.sample(letters, n)
        text, shape = "".join(term), [dims[letter] for letter in term]
        if middle and source.random() < 0.7:
            at = source.randint(0, n)
            cut = source.randint(0, 1) if source.random() < 0.2 else 0
            extra = [d if source.random() < 0.8 else 1 for d in middle[cut:]]
            text = text[:at] + "..." + text[at:]
            shape = shape[:at] + extra + shape[at:]
        terms.append(text)
        shapes.append(shape)
    equation = ",".join(terms)
    if source.random() < 0.25:
        return equation, shapes
    used = sorted({c for c in equation if c.isalpha()})
    out = "".join(source.sample(used, source.randint(0, len(used))))
    if "..." in equation:
        at = source.randint(0, len(out))
        out = out[:at] + "..." + out[at:]
    return f"{equation}->{out}", shapes


def in_some_order(x, source):
    if x.ndim == 0:
        return x
    order = source.sample(range(x.ndim), x.ndim)
    return np.ascontiguousarray(x.transpose(order)).transpose(np.argsort(order))


@pytest.mark.parametrize("seed", range(100))
def test_random_equations(seed):
    source, rng = random.Random(seed), np.random.default_rng(seed)
    equation, shapes = draw_equation(source)
    dtype = source.choice(["float32"] * 3 + ["float64", "int64", "uint8", "float16"])
    inputs = [in_some_order(numbers(rng, shape, dtype), source) for shape in shapes]
    check_node(
        "Einsum",
        inputs,
        {"equation": equation},
        constants=[i for i, x in enumerate(inputs[1:], 1) if x.ndim and i % 2],
        expected=[want(equation, inputs)],
        tolerance=TOLERANCES.get(dtype),
        strided=False,
    )


def test_an_ellipsis_that_the_result_lacks_is_summed(rng):
    """As the specification says; NumPy refuses it."""
    x = rng.standard_normal((4, 3, 2))
    attributes = {"equation": "i...->i"}
    check_node("Einsum", [x], attributes, expected=[x.sum((1, 2))], tolerance=1e-12)


def test_large_products_are_those_of_matmul(rng):
    """The same kernel, so the same bits."""
    a = rng.standard_normal((64, 96)).astype(np.float32)
    b = rng.standard_normal((96, 80)).astype(np.float32)
    results = []
    for op_type, attributes in [("Einsum", {"equation": "ij,jk->ik"}), ("MatMul", {})]:
        model = one_node_model(op_type, [a, b], attributes, constants=[1])
        loaded = trimtab.load_model(model.SerializeToString(), fallback=False)
        results.append(next(iter(loaded.run({"x0": a}).values())))
        results.append([n.implementation for n in loaded.profile({"x0": a}).nodes])
    np.testing.assert_array_equal(results[0], results[2])
    assert results[1] == results[3]


def test_nan_and_infinities(rng):
    a = rng.standard_normal((3, 4)).astype(np.float32)
    a[0, 1], a[1, 2] = np.nan, np.inf
    b = np.ones((4, 2), np.float32)
    model = one_node_model("Einsum", [a, b], {"equation": "ij,jk->ik"})
    loaded = trimtab.load_model(model.SerializeToString(), fallback=False)
    got = next(iter(loaded.run({"x0": a, "x1": b}).values()))
    compare(got, want("ij,jk->ik", [a, b]), 1e-5)


@pytest.mark.parametrize(
    ("equation", "shapes", "message"),
    [
        ("ij,jk->ik", [(2, 3)], "one term per input"),
        ("ij", [(2, 3), (2, 3)], "one term per input"),
        ("ij->ik", [(2, 3)], "a letter that no input has"),
        ("ij->ii", [(2, 3)], "a letter twice"),
        ("ij->i->j", [(2, 3)], "one term behind|without"),
        ("ij->i,j", [(2, 3)], "one term behind"),
        ("i-j", [(2, 3)], "without"),
        ("i", [(2, 3)], "1 letters, input 0 has 2 dims"),
        ("ijk", [(2, 3)], "3 letters, input 0 has 2 dims"),
        ("...ijk", [(2, 3)], "3 letters, input 0 has 2 dims"),
        ("...i...", [(2, 3)], "two ellipses"),
        ("i..j", [(2, 3)], "expected letters"),
        ("i1", [(2, 3)], "expected letters"),
        ("i\N{GREEK SMALL LETTER ALPHA}", [(2, 3)], "expected letters"),
        ("ii", [(2, 3)], "stands for 2 and"),
        ("ij,jk", [(2, 3), (4, 5)], "stands for 3 and"),
        ("abcdefghijk", [(1,) * 10], "too many letters"),
        ("a,b,c,d,e,f,g,h,i,j,k", [(2,)] * 11, "more than 10 dims"),
        ("a" + ",a" * 64, [(2,)] * 65, "more than 64 operands"),
    ],
)
def test_equations_that_make_no_sense_are_refused(equation, shapes, message):
    inputs = [np.zeros(shape, np.float32) for shape in shapes]
    model = one_node_model("Einsum", inputs, {"equation": equation})
    with pytest.raises(trimtab.TrimtabError, match=message):
        loaded = trimtab.load_model(model.SerializeToString(), fallback=False)
        loaded.run({f"x{i}": x for i, x in enumerate(inputs)})


def test_a_result_that_is_too_large_is_refused_before_memory_is_taken():
    inputs = [np.zeros(3000, np.float32) for _ in range(4)]
    model = one_node_model("Einsum", inputs, {"equation": "a,b,c,d->abcd"})
    with pytest.raises(trimtab.TrimtabError, match="max_tensor_bytes"):
        loaded = trimtab.load_model(model.SerializeToString(), fallback=False)
        loaded.run({f"x{i}": x for i, x in enumerate(inputs)})
