"""8-bit floats and types below a byte: Cast, to the bit.

The truth of a cast is the definition, in float64: the nearest of the type's values,
found among all of them. onnx.reference says the same wherever it is right; where it
is not, the test says what the specification wants.
"""

import itertools

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from onnx import TensorProto, helper
from onnx.reference.ops.op_cast import cast_to
from tests.ops.check import run_with_isa
from tests.ops.small import BITS, FLOATS, INTS, SMALL, codes_of, model_of, same_bits

import trimtab

WHOLE = {
    "FLOAT": np.float32,
    "DOUBLE": np.float64,
    "FLOAT16": np.float16,
    "BFLOAT16": ml_dtypes.bfloat16,
    "BOOL": np.bool_,
    "INT8": np.int8,
    "UINT8": np.uint8,
    "INT16": np.int16,
    "UINT16": np.uint16,
    "INT32": np.int32,
    "UINT32": np.uint32,
    "INT64": np.int64,
    "UINT64": np.uint64,
}
MODELS: dict = {}


def cast(x, source, target, **attributes):
    """Runs a Cast of one dim; models are kept."""
    key = (source, target, *attributes.items())
    if key not in MODELS:
        node = helper.make_node(
            "Cast", ["x"], ["y"], to=getattr(TensorProto, target), **attributes
        )
        model = model_of([node], {"x": (source, ["N"])}, {"y": (target, ["N"])})
        MODELS[key] = trimtab.load_model(model.SerializeToString(), fallback=False)
    return MODELS[key](x)


def by_definition(x, target, saturate):
    """Codes of the nearest values in float64: half to the even code."""
    dtype = FLOATS[target]
    n_codes = 1 << BITS.get(target, 8)
    sign_bit = n_codes // 2
    info = ml_dtypes.finfo(dtype)
    values = np.arange(sign_bit, dtype=np.uint8).view(dtype).astype(np.float64)
    values = values[np.isfinite(values)]
    step = values[-1] - values[-2]
    with np.errstate(invalid="ignore"):  # NaN that signals
        size = np.abs(x).astype(np.float64)
    grid = np.append(values, values[-1] + step)  # what would come next
    at = np.clip(np.searchsorted(grid, size), 1, len(grid) - 1)
    below, above = size - grid[at - 1], grid[at] - size
    up = (above < below) | ((above == below) & (at % 2 == 0))
    code = np.where(up, at, at - 1)
    too_large = code >= len(values)
    is_fnuz = target.endswith("UZ")
    beyond = {"FLOAT8E4M3FN": 0x7F, "FLOAT8E5M2": 0x7C}.get(target, 0x80)
    if saturate or not target.startswith("FLOAT8"):
        beyond = len(values) - 1
    code = np.where(too_large, beyond, code)
    sign = np.signbit(x) & ~(is_fnuz & (code == 0))
    is_nan = np.isnan(x)
    nan = {"FLOAT8E4M3FN": 0x7F, "FLOAT8E5M2": 0x7E}.get(target, 0x80 if is_fnuz else 0)
    code = np.where(is_nan, nan, code)
    if nan == 0:
        sign = np.where(is_nan, ~np.signbit(x), sign)  # as ml_dtypes has it
    assert float(info.max) == values[-1]
    return (code | np.where(sign, sign_bit, 0)).astype(np.uint8)


def same_values(got, want):
    """The same bits, but any NaN for NaN."""
    assert got.dtype == want.dtype
    got, want = got.astype(np.float64), want.astype(np.float64)
    np.testing.assert_array_equal(got, want)
    real = ~np.isnan(want)
    np.testing.assert_array_equal(np.signbit(got)[real], np.signbit(want)[real])


def all_halves(dtype):
    return np.arange(1 << 16, dtype=np.uint16).view(dtype)


def critical_singles(target):
    """Floats around every value of a type and every tie, and the odd ones."""
    values = np.unique(np.abs(codes_of(target).astype(np.float64)))
    values = values[np.isfinite(values)]
    ties = (values[1:] + values[:-1]) / 2
    least = [values[-1] * 1.0625, values[-1] * 1.125, values[-1] * 1.25, 1e30]
    x = np.concatenate([values, ties, least]).astype(np.float32)
    x = np.concatenate([x, np.nextafter(x, np.float32(9e37)), np.nextafter(x, -x)])
    odd = np.array([0, 1, 0x7FFFFF, 0x7F7FFFFF, 0x7F800000, 0x7FC00001, 0x7F800001])
    x = np.concatenate([x, odd.astype(np.uint32).view(np.float32)])
    return np.concatenate([x, -x])


# ---- to floats ---------------------------------------------------------------------


@pytest.mark.parametrize("saturate", [0, 1])
@pytest.mark.parametrize("target", FLOATS)
@pytest.mark.parametrize("source", ["FLOAT16", "BFLOAT16"])
def test_every_float_of_16_bits_becomes_the_nearest(source, target, saturate):
    x = all_halves(WHOLE[source])
    got = cast(x, source, target, saturate=saturate)
    assert got.dtype == FLOATS[target]
    np.testing.assert_array_equal(
        got.view(np.uint8), by_definition(x.astype(np.float32), target, saturate)
    )
    with np.errstate(all="ignore"):
        same_bits(got, cast_to(x, getattr(TensorProto, target), bool(saturate)))


@pytest.mark.parametrize("saturate", [0, 1])
@pytest.mark.parametrize("target", FLOATS)
@pytest.mark.parametrize("source", ["FLOAT", "DOUBLE"])
def test_floats_around_values_and_ties_become_the_nearest(source, target, saturate):
    with np.errstate(invalid="ignore"):
        x = critical_singles(target).astype(WHOLE[source])
    got = cast(x, source, target, saturate=saturate)
    np.testing.assert_array_equal(
        got.view(np.uint8), by_definition(x, target, saturate)
    )


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(np.uint32, 257, elements=st.integers(0, 2**32 - 1)),
    st.sampled_from(sorted(FLOATS)),
    st.booleans(),
)
def test_any_floats_become_the_nearest(bits, target, saturate):
    x = bits.view(np.float32)
    got = cast(x, "FLOAT", target, saturate=int(saturate))
    np.testing.assert_array_equal(
        got.view(np.uint8), by_definition(x, target, saturate)
    )


@pytest.mark.parametrize("target", FLOATS)
def test_doubles_are_rounded_once(target):
    values = np.unique(np.abs(codes_of(target).astype(np.float64)))
    values = values[np.isfinite(values)]
    ties = (values[1:] + values[:-1]) / 2
    x = np.concatenate([ties, np.nextafter(ties, np.inf), np.nextafter(ties, 0)])
    got = cast(x, "DOUBLE", target)
    np.testing.assert_array_equal(got.view(np.uint8), by_definition(x, target, True))


@pytest.mark.parametrize("target", FLOATS)
@pytest.mark.parametrize("source", [n for n in WHOLE if "INT" in n or n == "BOOL"])
def test_integers_become_the_nearest(source, target):
    dtype = np.dtype(WHOLE[source])
    if source == "BOOL":
        x = np.array([False, True])
    elif dtype.itemsize == 1:
        x = np.arange(256).astype(np.uint8).view(dtype)
    else:
        info = np.iinfo(dtype)
        x = np.concatenate(
            [np.arange(-70000, 70000, 7), [info.min, info.max, info.max - 1]]
        )
        x = np.array([v for v in x.tolist() if info.min <= v <= info.max], dtype)
    for saturate in (0, 1):
        got = cast(x, source, target, saturate=saturate)
        want = by_definition(x.astype(np.float64), target, saturate)
        np.testing.assert_array_equal(got.view(np.uint8), want)


# ---- to powers of two --------------------------------------------------------------


@pytest.mark.parametrize("mode", ["up", "down", "nearest"])
@pytest.mark.parametrize("saturate", [0, 1])
@pytest.mark.parametrize("source", ["FLOAT16", "BFLOAT16", "FLOAT"])
def test_normal_floats_become_powers_of_two_as_the_reference_has_it(
    source, saturate, mode
):
    if source == "FLOAT":
        x = np.random.default_rng(0).integers(0, 2**32, 50000, np.uint32)
        x = np.concatenate([x, np.arange(511) << 22, (np.arange(511) << 22) + 1])
        x = x.astype(np.uint32).view(np.float32)
    else:
        x = all_halves(WHOLE[source])
    got = cast(x, source, "FLOAT8E8M0", saturate=saturate, round_mode=mode)
    wide = np.abs(x.astype(np.float32))
    with np.errstate(all="ignore"):
        want = cast_to(x, TensorProto.FLOAT8E8M0, bool(saturate), mode)
    normal = ~(wide < 2.0**-126) & (wide != np.inf)
    same_bits(got[normal], want[normal])


@pytest.mark.parametrize("source", ["FLOAT16", "BFLOAT16"])
def test_nearest_power_of_two_is_that_of_ml_dtypes(source):
    x = all_halves(WHOLE[source])
    x = x[~np.signbit(x)]
    got = cast(x, source, "FLOAT8E8M0", saturate=0, round_mode="nearest")
    with np.errstate(all="ignore"):
        want = x.astype(np.float32).astype(ml_dtypes.float8_e8m0fnu)
    same_bits(got, want)


def test_special_values_become_powers_of_two_as_the_table_has_it_but_the_tiny():
    # the last, below 2^-127: without saturation the table says NaN, ml_dtypes 2^-127
    x = np.array([0, np.nan, np.inf, 1.99 * 2.0**127, 2.0**-127, 2.0**-140], np.float32)
    # the table of Cast: "saturate + up", "non-saturate + nearest"
    got = cast(x, "FLOAT", "FLOAT8E8M0")
    assert got.view(np.uint8).tolist() == [0, 255, 254, 254, 0, 0]
    got = cast(x, "FLOAT", "FLOAT8E8M0", saturate=0, round_mode="nearest")
    assert got.view(np.uint8).tolist() == [255, 255, 255, 255, 0, 0]


def test_directed_rounding_sees_the_last_bit_of_wide_numbers():
    x = np.array([4 + 2.0**-50, 4 - 2.0**-50, 4], np.float64)
    for mode, want in (("up", [130, 129, 129]), ("down", [129, 128, 129])):
        got = cast(x, "DOUBLE", "FLOAT8E8M0", round_mode=mode)
        assert got.view(np.uint8).tolist() == want
    n = np.array([2**62 + 1, 2**62, 2**62 - 1, -(2**63)], np.int64)
    got = cast(n, "INT64", "FLOAT8E8M0", round_mode="up")
    assert got.view(np.uint8).tolist() == [127 + 63, 127 + 62, 127 + 62, 127 + 63]
    got = cast(n, "INT64", "FLOAT8E8M0", round_mode="down")
    assert got.view(np.uint8).tolist() == [127 + 62, 127 + 62, 127 + 61, 127 + 63]


# ---- to integers below a byte ------------------------------------------------------


@pytest.mark.parametrize("target", INTS)
@pytest.mark.parametrize("source", WHOLE)
def test_integers_below_a_byte_keep_the_low_bits(source, target):
    rng = np.random.default_rng(1)
    dtype = np.dtype(WHOLE[source])
    if source in ("FLOAT16", "BFLOAT16"):
        x = all_halves(dtype)
        with np.errstate(invalid="ignore"):
            x = x[np.isfinite(x)]
    elif dtype.kind == "f":
        x = np.concatenate([rng.standard_normal(999) * s for s in (1, 30, 1e6, 1e12)])
        x = x.astype(dtype)
    elif source == "BOOL":
        x = np.array([True, False])
    else:
        info = np.iinfo(dtype)
        x = rng.integers(info.min, info.max, 999, dtype, endpoint=True)
    bits = BITS[target]
    whole = [int(v) & ((1 << bits) - 1) for v in x.astype(object)]
    if dtype.kind == "V":
        whole = [int(v) & ((1 << bits) - 1) for v in x.astype(np.float64).tolist()]
    got = cast(x, source, target)
    assert got.view(np.uint8).tolist() == whole
    if dtype.kind == "f":
        odd = np.array([np.nan, np.inf, -np.inf], dtype)
        assert cast(odd, source, target).view(np.uint8).tolist() == [0, 0, 0]


# ---- from small types --------------------------------------------------------------


@pytest.mark.parametrize("target", WHOLE)
@pytest.mark.parametrize("source", SMALL)
def test_every_small_element_becomes_its_value(source, target):
    x = codes_of(source)
    dtype = np.dtype(WHOLE[target])
    exact = x.astype(np.float32)
    if dtype.kind in "iu" and source in INTS:
        want = x.astype(np.int64).astype(dtype)
    elif dtype.kind in "iu":
        info = np.iinfo(dtype)
        wide = np.trunc(np.nan_to_num(exact.astype(np.float64), nan=0.0))
        whole = [
            min(max(int(v), info.min), info.max)
            if np.isfinite(v)
            else (info.max if v > 0 else info.min)
            for v in np.where(np.isinf(exact), exact, wide)
        ]
        # the largest double that the type holds, as other casts have it
        want = np.array(whole, dtype)
        big = np.abs(wide) >= 2.0**62
        got = cast(x, source, target)
        np.testing.assert_array_equal(got[~big], want[~big])
        return
    else:
        with np.errstate(all="ignore"):
            want = exact.astype(dtype)
    same_values(cast(x, source, target), want)


@pytest.mark.parametrize(("source", "target"), list(itertools.permutations(SMALL, 2)))
def test_small_types_become_one_another_by_their_values(source, target):
    x = codes_of(source)
    wide = x.astype(np.float32)
    got = cast(x, source, target)
    assert got.dtype == SMALL[target]
    same_bits(got, cast(wide, "FLOAT", target))


@pytest.mark.parametrize("source", SMALL)
def test_bits_above_the_element_do_not_count(source):
    bits = BITS.get(source, 8)
    codes = np.arange(256).astype(np.uint8)
    got = cast(codes.view(SMALL[source]), source, "FLOAT")
    want = (codes & ((1 << bits) - 1)).view(SMALL[source]).astype(np.float32)
    np.testing.assert_array_equal(got, want)


def test_casts_take_strided_and_empty_tensors():
    node = helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT8E4M3FN)
    model = model_of(
        [node], {"x": ("FLOAT", ["N", "M"])}, {"y": ("FLOAT8E4M3FN", None)}
    )
    model = trimtab.load_model(model.SerializeToString(), fallback=False)
    x = np.random.default_rng(2).standard_normal((37, 53)).astype(np.float32)
    for view in (x, x.T, x[::2, ::3], x[:0], x[:, :0]):
        same_bits(model(view), view.astype(ml_dtypes.float8_e4m3fn))


def test_a_large_cast_is_split_over_threads():
    x = np.random.default_rng(3).standard_normal(300_001).astype(np.float32) * 100
    got = cast(x, "FLOAT", "FLOAT8E5M2")
    same_bits(got, x.astype(ml_dtypes.float8_e5m2))
    same_values(cast(got, "FLOAT8E5M2", "FLOAT"), got.astype(np.float32))


@pytest.mark.parametrize("saturate", [0, 1])
@pytest.mark.parametrize("target", [*SMALL, "FLOAT"])
def test_cast_like_does_what_cast_does(target, saturate):
    node = helper.make_node("CastLike", ["x", "like"], ["y"], saturate=saturate)
    source = "FLOAT" if target != "FLOAT" else "FLOAT8E5M2FNUZ"
    x = critical_singles("FLOAT8E5M2") if source == "FLOAT" else codes_of(source)
    with np.errstate(invalid="ignore"):
        x = x[np.abs(x.astype(np.float64)) < 2**31]
    model = model_of(
        [node], {"x": (source, ["N"]), "like": (target, [0])}, {"y": (target, ["N"])}
    )
    model = trimtab.load_model(model.SerializeToString(), fallback=False)
    like = np.zeros(0, (SMALL | WHOLE)[target])
    got = model.run({"x": x, "like": like})["y"]
    same_bits(got, cast(x, source, target, saturate=saturate))


SUMMARY = """
import hashlib, sys
import numpy as np
from tests.ops.check import run_with_isa
from tests.ops.small import SMALL
from tests.ops.test_small_types import cast, critical_singles
digest = hashlib.sha256()
for name in SMALL:
    for saturate in (0, 1):
        x = critical_singles("FLOAT8E4M3FN")[:1003]
        y = cast(x, "FLOAT", name, saturate=saturate)
        digest.update(y.tobytes() + cast(y, name, "FLOAT").tobytes())
print(digest.hexdigest())
"""


def test_every_instruction_set_gives_the_same_bits():
    found = {isa: run_with_isa(isa, SUMMARY) for isa in ("scalar", "avx2", "avx512")}
    assert len(set(found.values())) == 1, found


# ---- refused -------------------------------------------------------------------------


def test_a_round_mode_that_does_not_exist_is_refused():
    with pytest.raises(trimtab.TrimtabError, match="'up', 'down' or 'nearest'"):
        cast(np.ones(1, np.float32), "FLOAT", "FLOAT8E8M0", round_mode="sideways")


def test_a_type_that_does_not_exist_is_refused():
    node = helper.make_node("Cast", ["x"], ["y"], to=77)
    model = model_of([node], {"x": ("FLOAT", [1])}, {"y": ("FLOAT", [1])})
    with pytest.raises(trimtab.TrimtabError, match="77"):
        trimtab.load_model(model.SerializeToString(), fallback=False)(
            np.ones(1, np.float32)
        )
