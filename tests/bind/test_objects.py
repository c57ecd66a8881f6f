"""Strings, lists and None through the binding and the fallback."""

import gc
import pickle
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

import trimtab
from trimtab.fallback import Fallback, FallbackWarning
from trimtab.fallback_protos import captured_names
from trimtab.formats import read_model

STRING, F32, I64 = TensorProto.STRING, TensorProto.FLOAT, TensorProto.INT64


def value(name, dtype=STRING, shape=None):
    return helper.make_tensor_value_info(name, dtype, shape)


def load(nodes, inputs, outputs, constants=(), opset=20, **options):
    graph = helper.make_graph(nodes, "g", inputs, outputs, constants)
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 4)]
    model = helper.make_model(graph, opset_imports=opsets)
    return trimtab.load_model(model.SerializeToString(), **options)


def moving(op, inputs, **attributes):
    """A model of one operator, that the engine itself must run on strings."""
    node = helper.make_node(op, list(inputs), ["y"], **attributes)
    return load(
        [node],
        [value(n) if d == "s" else value(n, I64) for n, d in inputs.items()],
        [value("y")],
        fallback=False,
    )


def texts(shape, seed=0):
    rng = np.random.default_rng(seed)
    words = ["", "a", "Öl", "n\0l", "x" * 300, "日本語"]
    return rng.choice(np.array(words, object), shape)


MOVES = [
    ("Identity", {"x": "s"}, {}, [texts((2, 3))], lambda x: x),
    ("Transpose", {"x": "s"}, {}, [texts((2, 3, 4))], lambda x: x.T),
    ("Flatten", {"x": "s"}, {}, [texts((2, 3, 4))], lambda x: x.reshape(2, -1)),
    (
        "Reshape",
        {"x": "s", "n": "i"},
        {},
        [texts((2, 6)), np.int64([3, -1])],
        lambda x, n: x.reshape(3, -1),
    ),
    (
        "Gather",
        {"x": "s", "n": "i"},
        {"axis": 1},
        [texts((2, 6)), np.int64([5, 0, 0, -2])],
        lambda x, n: x[:, n],
    ),
    (
        "GatherElements",
        {"x": "s", "n": "i"},
        {},
        [texts((2, 6)), np.int64([[1, 0, 1, 0, 0, 1]])],
        lambda x, n: np.take_along_axis(x, n, 0),
    ),
    (
        "GatherND",
        {"x": "s", "n": "i"},
        {},
        [texts((2, 6)), np.int64([[1, 2], [0, 5]])],
        lambda x, n: x[n[:, 0], n[:, 1]],
    ),
    (
        "Concat",
        {"x": "s", "z": "s"},
        {"axis": 0},
        [texts((2, 6)), texts((1, 6), 1)],
        lambda x, z: np.concatenate([x, z]),
    ),
    (
        "Expand",
        {"x": "s", "n": "i"},
        {},
        [texts((3, 1)), np.int64([2, 3, 2])],
        lambda x, n: np.broadcast_to(x, n),
    ),
    (
        "Tile",
        {"x": "s", "n": "i"},
        {},
        [texts((3, 2)), np.int64([2, 1])],
        lambda x, n: np.tile(x, n),
    ),
    (
        "Slice",
        {"x": "s", "a": "i", "b": "i", "c": "i", "d": "i"},
        {},
        [texts((7,)), *(np.int64([i]) for i in (5, 0, 0, -2))],
        lambda x, *n: x[5:0:-2],
    ),
    (
        "Unsqueeze",
        {"x": "s", "n": "i"},
        {},
        [texts((3, 2)), np.int64([0])],
        lambda x, n: x[None],
    ),
    (
        "Squeeze",
        {"x": "s", "n": "i"},
        {},
        [texts((3, 1)), np.int64([1])],
        lambda x, n: x[:, 0],
    ),
]


@pytest.mark.parametrize("move", MOVES, ids=lambda move: move[0])
def test_strings_are_moved_by_the_engine(move):
    op, inputs, attributes, arrays, expected = move
    model = moving(op, inputs, **attributes)
    for _ in range(3):  # the plan of the first call, again
        got = model(*arrays)
        want = expected(*arrays)
        assert got.dtype == object
        assert got.shape == want.shape
        assert got.tolist() == want.tolist()


@pytest.mark.parametrize("move", MOVES, ids=lambda move: move[0])
def test_strings_of_the_file_are_moved_too(move):
    op, inputs, attributes, arrays, expected = move
    constants = []
    for name, array in zip(inputs, arrays, strict=True):
        items = array.reshape(-1).tolist()
        if array.dtype == object:
            items = [item.encode() for item in items]
        dtype = STRING if array.dtype == object else I64
        constants.append(helper.make_tensor(name, dtype, array.shape, items))
    node = helper.make_node(op, list(inputs), ["y"], **attributes)
    model = load([node], [], [value("y")], constants, fallback=False)
    for _ in range(2):
        got = model()
        assert got.tolist() == expected(*arrays).tolist()
    again = trimtab.load_model(b"".join(model._pieces(pipeline=None)))
    assert again().tolist() == expected(*arrays).tolist()


@given(st.lists(st.text(max_size=20), max_size=8))
@settings(max_examples=50, deadline=None)
def test_any_text_comes_back(items):
    model = IDENTITY
    x = np.empty(len(items), object)
    x[:] = items
    assert model(x).tolist() == items
    assert model(items).tolist() == items


IDENTITY = moving("Identity", {"x": "s"})


@pytest.mark.parametrize(
    "x",
    [
        np.array(["a", "bc"]),
        np.array([b"a", b"bc"]),
        np.array(["a", "bc"], object),
        ["a", "bc"],
        ("a", b"bc"),
        np.array(["a", "", "bc", ""])[::2],
    ],
    ids=["U", "S", "object", "list", "bytes", "strided"],
)
def test_strings_of_any_kind_are_taken(x):
    assert IDENTITY(x).tolist() == ["a", "bc"]
    assert IDENTITY("word").tolist() == "word"


def test_string_dtype_of_numpy_2_is_taken():
    if not hasattr(np.dtypes, "StringDType"):
        pytest.skip("NumPy 1")
    assert IDENTITY(np.array(["a", "bc"], np.dtypes.StringDType())).tolist() == [
        "a",
        "bc",
    ]


@pytest.mark.parametrize("x", [np.zeros(2), [1, 2], None, [None], [["a"], [1]]])
def test_what_is_no_text_is_refused(x):
    with pytest.raises(trimtab.InputTypeError, match="'x': expected"):
        IDENTITY(x)


def test_bytes_that_are_no_text_keep_their_bytes():
    (back,) = IDENTITY([b"\xff\xfe"]).tolist()
    assert back.encode("utf-8", "surrogateescape") == b"\xff\xfe"
    assert IDENTITY([back]).tolist() == [back]


def test_a_copy_is_refused_where_none_may_be_made():
    with pytest.raises(trimtab.InputError, match="cannot be read in place"):
        IDENTITY.run({"x": ["a"]}, copy=False)
    with pytest.raises(trimtab.InputError, match="cannot be read in place"):
        IDENTITY.bind({"x": np.array(["a"], object)})
    with pytest.raises(trimtab.InputError, match="cannot be written into an array"):
        IDENTITY.run({"x": ["a"]}, out={"y": np.empty(1, object)})


# ---- the fallback -------------------------------------------------------------------


def test_what_looks_into_strings_is_named_and_runs_in_python():
    nodes = [
        helper.make_node("Concat", ["x", "c"], ["xc"], "join", axis=0),
        helper.make_node(
            "StringNormalizer", ["xc"], ["low"], "fold", case_change_action="LOWER"
        ),
        helper.make_node("Gather", ["low", "n"], ["some"], "pick"),
        helper.make_node("Equal", ["some", "c"], ["y"], "same"),
    ]
    args = (
        nodes,
        [value("x"), value("n", I64)],
        [value("y", TensorProto.BOOL), value("low")],
        [helper.make_tensor("c", STRING, [1], [b"b"])],
    )
    with pytest.warns(FallbackWarning, match="2 nodes .*'fold', Equal 'same'"):
        model = load(*args)
    y, low = model(["A", "Z"], np.int64([2, 0]))
    assert y.tolist() == [True, False]
    assert low.tolist() == ["a", "z", "b"]
    with pytest.raises(trimtab.UnsupportedOpError, match="does not compute with") as e:
        load(*args, fallback=False)
    assert [node.name for node in e.value.nodes] == ["fold", "same"]
    copy = pickle.loads(pickle.dumps(model))
    assert copy(["B"], np.int64([0]))[0].tolist() == [True]


@pytest.mark.filterwarnings("ignore::trimtab.fallback.FallbackWarning")
def test_casts_to_and_from_strings():
    nodes = [
        helper.make_node("Cast", ["x"], ["s"], to=STRING),
        helper.make_node("Reshape", ["s", "shape"], ["t"]),
        helper.make_node("Cast", ["t"], ["y"], to=F32),
    ]
    shape = [helper.make_tensor("shape", I64, [2], [2, 1])]
    model = load(nodes, [value("x", I64)], [value("t"), value("y", F32)], shape)
    t, y = model(np.int64([3, -7]))
    assert t.tolist() == [["3"], ["-7"]]
    assert y.tolist() == [[3.0], [-7.0]]


@pytest.mark.filterwarnings("ignore::trimtab.fallback.FallbackWarning")
def test_a_loop_carries_and_stacks_strings():
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["again"]),
            helper.make_node("StringConcat", ["s", "x"], ["t"]),
            helper.make_node("Identity", ["s"], ["all"]),
        ],
        "body",
        [value("i", I64, []), value("go", TensorProto.BOOL, []), value("s")],
        [value("again", TensorProto.BOOL, []), value("t"), value("all")],
    )
    node = helper.make_node("Loop", ["n", "", "x"], ["y", "z"], body=body)
    model = load([node], [value("n", I64, []), value("x")], [value("y"), value("z")])
    y, z = model(np.int64(3), ["a", "b"])
    assert y.tolist() == ["aaaa", "bbbb"]
    assert z.tolist() == [["a", "b"], ["aa", "bb"], ["aaa", "bbb"]]
    y, z = model(np.int64(0), ["a", "b"])
    assert y.tolist() == ["a", "b"]
    assert z.shape[0] == 0


@pytest.mark.filterwarnings("ignore::trimtab.fallback.FallbackWarning")
def test_a_body_in_the_fallback_reads_what_is_around_it():
    """A body of a body, which reads tensors of the main graph."""
    inner = [
        helper.make_graph(
            [helper.make_node(op, ["s", "w"], [name])],
            name,
            [],
            [value(name, F32)],
        )
        for op, name in (("Add", "more"), ("Sub", "less"))
    ]
    choose = helper.make_node(
        "If", ["flag"], ["t"], then_branch=inner[0], else_branch=inner[1]
    )
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["again"]), choose],
        "body",
        [value("i", I64, []), value("go", TensorProto.BOOL, []), value("s", F32)],
        [value("again", TensorProto.BOOL, []), value("t", F32)],
    )
    graph = helper.make_graph(
        [helper.make_node("Loop", ["n", "yes", "x"], ["y"], "loop", body=body)],
        "g",
        [value(name, F32) for name in ("x", "w")]
        + [value(name, TensorProto.BOOL, []) for name in ("flag", "yes")]
        + [value("n", I64, [])],
        [value("y", F32)],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    engine = trimtab.load_model(proto.SerializeToString(), fallback=False)
    model = read_model(proto.SerializeToString())
    run = Fallback(model)
    names = captured_names(model.graph.nodes[0])
    assert sorted(names) == ["flag", "w"]
    x, w, n, yes = np.float32([1, 2]), np.float32(10), np.int64(3), np.array(True)
    for flag in (False, True):
        around = {"w": w, "flag": np.array(flag)}
        (y,) = run(len(model.graphs()) - 1, 0, [n, yes, x, *(around[k] for k in names)])
        want = x + 30 if flag else x - 30
        np.testing.assert_array_equal(y, want)
        np.testing.assert_array_equal(engine(x, w, np.array(flag), yes, n), want)


@pytest.mark.filterwarnings("ignore::trimtab.fallback.FallbackWarning")
def test_the_profile_tells_the_share_of_what_runs_in_python():
    nodes = [
        helper.make_node("StringConcat", ["x", "x"], ["xx"], "twice"),
        helper.make_node("Equal", ["xx", "x"], ["y"], "same"),
    ]
    model = load(nodes, [value("x")], [value("y", TensorProto.BOOL)])
    profile = model.profile(np.array(["a"] * 500, object), repeat=4)
    assert [node.op_type for node in profile.nodes] == ["StringConcat", "Equal", ""]
    assert all(node.time_us > 0 for node in profile.nodes)
    assert "onnx.reference" in profile.table()
    engine = moving("Transpose", {"x": "s"})
    assert engine.profile(np.array([["a"]], object), repeat=2).nodes == ()


# ---- memory, threads, failures -------------------------------------------------------


def sequence_model():
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["again"]),
            helper.make_node("SequenceInsert", ["s", "x"], ["t"]),
        ],
        "body",
        [
            value("i", I64, []),
            value("go", TensorProto.BOOL, []),
            helper.make_tensor_sequence_value_info("s", STRING, None),
        ],
        [
            value("again", TensorProto.BOOL, []),
            helper.make_tensor_sequence_value_info("t", STRING, None),
        ],
    )
    nodes = [
        helper.make_node("Loop", ["n", "", "s"], ["t"], body=body),
        helper.make_node("SequenceErase", ["t"], ["u"]),
        helper.make_node("ConcatFromSequence", ["u"], ["y"], axis=0),
    ]
    s, u = (helper.make_tensor_sequence_value_info(name, STRING, None) for name in "su")
    return load(
        nodes, [s, value("x"), value("n", I64, [])], [value("y"), u], fallback=False
    )


def test_many_calls_leave_no_memory_behind():
    model = sequence_model()
    args = ([np.array(["x" * 1000] * 50)], np.array(["y" * 1000]), np.int64(5))

    def resident():
        gc.collect()
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096

    for _ in range(50):
        model(*args)
    before = resident()
    for _ in range(600):
        y, u = model(*args)
    assert y.shape == (54,)
    assert len(u) == 5
    assert resident() - before < 8 << 20


def test_threads_share_a_model_with_strings():
    model = sequence_model()
    failures = []

    def work(seed):
        x = np.array([f"t{seed}"])
        for n in range(30):
            y, _ = model([np.array([f"s{seed}"])], x, np.int64(n % 4 + 1))
            if y.tolist() != [f"s{seed}"] + [f"t{seed}"] * (n % 4):
                failures.append((seed, y.tolist()))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_a_failing_allocation_leaves_everything_usable():
    from trimtab import _core

    model = sequence_model()
    args = ([np.array(["a", "b"])], np.array(["c"]), np.int64(3))
    want = model(*args)[0].tolist()
    _core.fail_alloc(0)
    model(*args)
    n = _core.fail_alloc(0)
    assert n > 20
    n_failed = 0
    for k in range(1, n + 1):
        _core.fail_alloc(k)
        try:
            got = model(*args)[0].tolist()
        except (MemoryError, trimtab.TrimtabError):
            n_failed += 1
        else:
            assert got == want
        finally:
            _core.fail_alloc(0)
    assert n_failed > 10
    assert model(*args)[0].tolist() == want


def test_watching_passes_objects_by():
    model = sequence_model()
    from trimtab import _core

    watcher = _core.Watcher()
    program = model.core.program()
    program.watch(watcher, every=1)
    y, _ = program([np.array(["a", "b"])], np.array(["c"]), np.int64(1))
    assert y.tolist() == ["a", "b"]


# ---- what needs arrays of numbers ----------------------------------------------------


def test_what_needs_numbers_says_so(tmp_path):
    for call in (
        trimtab.deploy_model,
        lambda model: trimtab.optimize_model(model, calibration=np.zeros((4, 1))),
        lambda model: model.save(tmp_path / "m.safetensors", golden="random"),
        lambda model: trimtab.Reference.from_model(model, ["a"]),
    ):
        with pytest.raises(trimtab.InputTypeError, match=r"arrays of numbers.*string"):
            call(IDENTITY)


def test_an_artefact_keeps_strings_and_kinds(tmp_path):
    nodes = [
        helper.make_node("SequenceInsert", ["s", "c"], ["y"]),
        helper.make_node("OptionalHasElement", ["o"], ["has"]),
    ]
    s, y = (helper.make_tensor_sequence_value_info(n, STRING, ["N"]) for n in "sy")
    optional = helper.make_optional_type_proto(helper.make_tensor_type_proto(F32, [2]))
    o = helper.make_value_info("o", optional)
    c = helper.make_tensor("c", STRING, [2], [b"", "ü".encode()])
    model = load(nodes, [s, o], [y, value("has", TensorProto.BOOL)], [c])
    model.save(tmp_path / "m.safetensors")
    again = trimtab.load_model(tmp_path / "m.safetensors")
    assert again.inputs == model.inputs
    assert again.outputs == model.outputs
    assert [str(v) for v in again.inputs] == [
        "s: sequence(string[N])",
        "o: optional(float32[2])",
    ]
    assert "kind" not in repr(again.outputs[1])
    assert "sequence of string" in again._repr_html_()
    y, has = again([np.array(["x"])], None)
    assert [part.tolist() for part in y] == [["x"], ["", "ü"]]
    assert not has


def test_a_damaged_artefact_of_strings_is_refused(tmp_path):
    c = helper.make_tensor("c", STRING, [2], [b"abc", b"defgh"])
    model = load([helper.make_node("Identity", ["c"], ["y"])], [], [value("y")], [c])
    path = tmp_path / "m.safetensors"
    model.save(path)
    data = path.read_bytes()
    at = data.index(b"\x03\0\0\0\x05\0\0\0abcdefgh")
    for length in (2, 4, 200, 2**31):
        path.write_bytes(data[:at] + length.to_bytes(4, "little") + data[at + 4 :])
        with pytest.raises(trimtab.ModelFormatError):
            trimtab.load_model(path)
