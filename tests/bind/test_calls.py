"""How a model is called, and what wrong calls say."""

from __future__ import annotations

import numpy as np
import pytest

import trimtab
from trimtab import _core

from . import models

A, B = np.full((2, 2), 5, np.float32), np.full((2, 2), 3, np.float32)


def test_inputs_go_by_position_or_by_name(subtract: trimtab.Model) -> None:
    for y in (
        subtract(A, B),
        subtract(A, b=B),
        subtract(b=B, a=A),
        subtract(**{"".join(["a"]): A, "b": B}),
        subtract.run({"b": B, "a": A})["y"],
        subtract.run((A, B))["y"],
    ):
        np.testing.assert_array_equal(y, 2)


def test_several_outputs_are_a_tuple_in_graph_order() -> None:
    model = trimtab.load_model(models.two_outputs(), threads=1)
    s, d = model(A, B)
    np.testing.assert_array_equal(s, 8)
    np.testing.assert_array_equal(d, 2)
    assert list(model.run((A, B), outputs=["d", "s"])) == ["d", "s"]
    np.testing.assert_array_equal(model.run((A, B), outputs=["d"])["d"], 2)


@pytest.mark.parametrize("n", [1, 8, 9, 40])
def test_any_number_of_inputs(n: int) -> None:
    model = trimtab.load_model(models.many_inputs(n), threads=1)
    xs = [np.full(3, i, np.float32) for i in range(n)]
    np.testing.assert_array_equal(model(*xs), sum(range(n)))
    named = {f"x{i}": x for i, x in reversed(list(enumerate(xs)))}
    np.testing.assert_array_equal(model(**named), sum(range(n)))


@pytest.mark.parametrize(
    ("args", "kwargs", "text"),
    [
        ((), {}, r"2 inputs \['a', 'b'\], got 0"),
        ((A,), {}, "got 1"),
        ((A, B, B), {}, "got 3"),
        ((A,), {"a": A}, "'a' is given twice"),
        ((A,), {"c": A}, "no input 'c'"),
        ((), {"a": A}, "'b' is missing"),
        ((A, B), {"b": B}, "'b' is given twice"),
    ],
)
def test_wrong_arguments_are_named(
    subtract: trimtab.Model, args, kwargs, text: str
) -> None:
    with pytest.raises(trimtab.InputError, match=text):
        subtract(*args, **kwargs)


def test_wrong_shapes_are_named(mlp: trimtab.Model) -> None:
    for shape in ((3, 63), (64,), (1, 3, 64)):
        with pytest.raises(trimtab.InputError, match="'x'") as error:
            mlp(np.zeros(shape, np.float32))
        assert isinstance(error.value, ValueError)


def test_shapes_that_do_not_go_together_are_named(subtract: trimtab.Model) -> None:
    with pytest.raises(trimtab.InputError, match=r"a \[2,2\], b \[3,2\].*'subtract'"):
        subtract(A, np.zeros((3, 2), np.float32))
    np.testing.assert_array_equal(subtract(A, B), 2)


def test_plans_of_recent_shapes_are_found_again(mlp: trimtab.Model) -> None:
    batches = [np.ones((n, 64), np.float32) for n in range(1, 8)]
    for _ in range(3):
        for x in batches:
            np.testing.assert_allclose(
                mlp(x), models.mlp_reference(x), rtol=1e-4, atol=1e-4
            )
    assert mlp.stats["n_compiles"] == len(batches)
    assert mlp.stats["n_runs"] == 3 * len(batches)


def test_equal_tensors_share_a_plan_whatever_their_strides_of_one_say() -> None:
    model = trimtab.load_model(models.doubled(), threads=1)
    whole = np.ones((8, 8), np.float32)
    for x in (whole[:1], whole[3:4], np.ones((1, 8), np.float32), whole[::8]):
        model(x)
    assert model.stats["n_compiles"] == 1


def test_types_of_the_core_are_sealed() -> None:
    for kind in (_core.Model, _core.Program, _core.Binding):
        with pytest.raises(TypeError):
            kind.extra = 1
        with pytest.raises(TypeError):
            type("Sub", (kind,), {})
    for kind in (_core.Program, _core.Binding):
        with pytest.raises(TypeError):
            kind()


@pytest.mark.parametrize(
    "options",
    [
        {"device": "tpu"},
        {"threads": -1},
    ],
)
def test_wrong_options_of_the_core_are_refused(options) -> None:
    with pytest.raises(trimtab.InputError):
        _core.Model(b"", [], **options)


def test_limits_of_the_core_are_read_by_name() -> None:
    with pytest.raises(AttributeError, match="max_model_bytes"):
        _core.Model(b"", [], limits=object())
    with pytest.raises(TypeError):
        _core.Model(b"", 5)
    with pytest.raises(TypeError):
        _core.Model(b"", ["text"])
    assert set(_core.limits_default()) == set(trimtab.Limits().to_dict())
    assert {k: v for k, (v, _) in _core.limits_default().items()} == (
        trimtab.Limits().to_dict()
    )


def test_the_gpu_is_refused_with_what_is_missing() -> None:
    if _core.dnnl_info()["n_gpus"]:
        pytest.skip("there is a GPU here")
    with pytest.raises(trimtab.DeviceError, match="GPU"):
        trimtab.load_model(models.mlp(), device="gpu")


# ---- callbacks ---------------------------------------------------------------------


def core_with(callback) -> _core.Program:
    from trimtab.formats import read_model
    from trimtab.wire import encode

    model = read_model(models.unknown_operator())
    return _core.Model(*encode(model), fallback=callback).program()


def test_a_callback_runs_unknown_nodes() -> None:
    seen = []

    def callback(graph: int, node: int, arrays: list) -> list:
        seen.append((graph, node, [a.shape for a in arrays]))
        return [arrays[0] * 3]

    program = core_with(callback)
    x = np.ones((2, 3), np.float32)
    np.testing.assert_array_equal(program(x), 3)
    assert seen
    assert set(map(str, seen)) == {str((0, 0, [(2, 3)]))}


def test_an_exception_of_a_callback_comes_out_as_it_is() -> None:
    class Broken(Exception):
        pass

    def callback(graph: int, node: int, arrays: list) -> list:
        raise Broken("on purpose")

    program = core_with(callback)
    for _ in range(3):
        with pytest.raises(Broken, match="on purpose"):
            program(np.ones((2, 3), np.float32))


@pytest.mark.parametrize(
    "result", [None, [], 5, [object()], [np.array([1j, None])], [[[1], [1, 2]]]]
)
def test_a_callback_that_returns_no_arrays_is_an_error(result) -> None:
    program = core_with(lambda graph, node, arrays: result)
    with pytest.raises(trimtab.UnsupportedOpError, match="fallback returned"):
        program(np.ones((2, 3), np.float32))
