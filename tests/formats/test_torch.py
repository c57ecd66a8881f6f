"""torch modules, exported programs and .pt2 files, against torch itself."""

from __future__ import annotations

import functools
import io
import json
import pickle
import sys
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")

import trimtab  # noqa: E402
from trimtab import (  # noqa: E402
    InputError,
    ModelFormatError,
    UnsafeModelError,
    UnsupportedOpError,
)
from trimtab.formats import torch_onnx  # noqa: E402
from trimtab.formats.torch_program import check_program  # noqa: E402

from .torch_modules import CASES, Case, Tied  # noqa: E402

pytestmark = pytest.mark.filterwarnings(
    "error::UserWarning", "ignore::trimtab.fallback.FallbackWarning"
)


def flat(tree: Any) -> list[np.ndarray]:
    return [leaf.detach().numpy() for leaf in torch.utils._pytree.tree_leaves(tree)]


def make(name: str) -> torch.nn.Module:
    torch.manual_seed(0)
    return CASES[name].make().eval()


@functools.cache
def loaded(name: str) -> tuple[torch.nn.Module, trimtab.Model]:
    """A module and the model of it, made once for all tests."""
    case, module = CASES[name], make(name)
    model = trimtab.load_model(module, example_inputs=case.inputs(3), **case.options)
    return module, model


def check(module: torch.nn.Module, model: trimtab.Model, case: Case, n: int) -> None:
    inputs = case.inputs(n)
    named = inputs if isinstance(inputs, dict) else {}
    given = () if named else inputs
    with torch.no_grad():
        expected = flat(module(*given, **named))
    arrays = [value.numpy() for value in named.values() or given]
    found = model.run(tuple(arrays))
    for result, truth in zip(found.values(), expected, strict=True):
        assert result.shape == truth.shape
        np.testing.assert_allclose(result, truth, case.tolerance, case.tolerance)


# ---- modules ---------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_a_module_gives_what_torch_gives_for_any_batch(name: str) -> None:
    module, model = loaded(name)
    assert tuple(spec.name for spec in model.outputs) == CASES[name].outputs
    for n in (1, 3, 5):
        check(module, model, CASES[name], n)


def test_inputs_are_called_as_the_arguments_and_dims_as_the_user_calls_them() -> None:
    _, neumf = loaded("neumf")
    assert [str(spec) for spec in neumf.inputs] == [
        "user: int64[batch]",
        "item: int64[batch]",
    ]
    _, named = loaded("named")
    assert [spec.name for spec in named.inputs] == ["x", "weight"]
    _, sequence = loaded("sequence")
    assert str(sequence.inputs[0]) == "src: float32[rows,time,16]"


def test_dims_of_one_row_and_states_whose_first_dim_is_not_the_batch() -> None:
    gru = torch.nn.GRU(4, 6, batch_first=True).eval()
    x, state = torch.randn(2, 3, 4), torch.randn(1, 2, 6)
    with pytest.warns(UserWarning, match="fixes dim 0 of 'hx' \\(1\\)"):
        model = trimtab.load_model(gru, example_inputs=(x, state))
    with torch.no_grad():
        expected = flat(gru(x, state))
    for found, truth in zip(model(x.numpy(), state.numpy()), expected, strict=True):
        np.testing.assert_allclose(found, truth, 1e-5, 1e-5)


class Counts(torch.nn.Module):
    """A buffer that each call writes to."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.count += 1
        return x + self.count


def test_the_users_module_is_left_as_it_was(capfd: Any) -> None:
    module = torch.nn.Sequential(
        torch.nn.Linear(4, 4), torch.nn.BatchNorm1d(4), torch.nn.Dropout(), Counts()
    )
    module[1].eval()  # as when fine-tuning with frozen statistics
    module[0].bias.grad = torch.ones(4)
    module[0].register_forward_hook(lambda *_: None)
    before = {key: value.clone() for key, value in module.state_dict().items()}
    with pytest.warns(UserWarning, match="writes to the buffers"):
        trimtab.load_model(module, example_inputs=(torch.randn(5, 4),))
    assert [part.training for part in module] == [True, False, True, True]
    assert module.training
    assert torch.equal(module[0].bias.grad, torch.ones(4))
    assert len(module[0]._forward_hooks) == 1
    assert all(p.requires_grad for p in module.parameters())
    for key, value in module.state_dict().items():
        assert torch.equal(value, before[key]), key
    assert torch.is_grad_enabled()
    assert "".join(capfd.readouterr()) == ""


def test_training_goes_on_without_changing_the_loaded_model() -> None:
    module, model = make("tied"), None
    tokens = CASES["tied"].inputs(2)[0]
    model = trimtab.load_model(module, example_inputs=(tokens,))
    before = model(tokens.numpy())
    with torch.no_grad():
        module.embedding.weight.zero_()
    np.testing.assert_array_equal(model(tokens.numpy()), before)


def test_tied_weights_are_held_once() -> None:
    from trimtab.formats import read_model

    model = read_model(Tied(), example_inputs=CASES["tied"].inputs(2))
    large = [c.data for c in model.graph.constants.values() if c.n_bytes > 1 << 14]
    assert len({data.ctypes.data for data in large}) == 1


# ---- what is refused, and how -----------------------------------------------------


def test_missing_examples_are_asked_for_by_name() -> None:
    with pytest.raises(InputError, match=r"example_inputs=\(user, item,\)"):
        trimtab.load_model(make("neumf"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((np.zeros((2, 6)),), "Double"),
        ((torch.zeros(2, 7),), "shapes cannot be multiplied"),
        ((torch.zeros(2, 6), torch.zeros(2, 6)), "positional argument"),
        ("text", "expected a tuple of arrays"),
    ],
)
def test_examples_that_do_not_fit_are_told_by_forwards_own_error(
    given: Any, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        trimtab.load_model(make("mlp"), example_inputs=given)


class Unsupported(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.linalg.eigvals(x).real


def test_an_operator_without_onnx_is_named(capfd: Any) -> None:
    with pytest.raises(UnsupportedOpError, match=r"aten\.linalg_eig") as caught:
        trimtab.load_model(Unsupported(), example_inputs=(torch.eye(3)[None],))
    assert len(str(caught.value)) < 2500
    assert "".join(capfd.readouterr()) == ""


@pytest.mark.parametrize("name", ["torch", "onnxscript"])
def test_a_missing_package_is_told_with_the_command(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r"pip install 'trimtab\[torch\]'"):
        torch_onnx.import_torch()


# ---- the other exporter ------------------------------------------------------------


@pytest.mark.parametrize("name", ["cnn", "dict", "lstm"])
def test_torchscript_takes_over_where_torch_export_fails(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("torch.export cannot trace this")

    monkeypatch.setattr(torch.export, "export", fail)
    case, module = CASES[name], make(name)
    with pytest.warns(UserWarning, match="older exporter"):
        model = trimtab.load_model(module, example_inputs=case.inputs(2))
    check(module, model, case, 2)
    check(module, model, case, 4)


def test_scripted_modules_are_converted() -> None:
    module = make("mlp")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scripted = torch.jit.trace(module, CASES["mlp"].inputs(2))
    with pytest.warns(UserWarning, match="older exporter"):
        model = trimtab.load_model(scripted, example_inputs=CASES["mlp"].inputs(2))
    check(module, model, CASES["mlp"], 3)


# ---- exported programs and .pt2 files ---------------------------------------------


@functools.cache
def program(name: str = "dict") -> Any:
    case = CASES[name]
    dims = tuple({0: torch.export.Dim("batch")} for _ in case.inputs(2))
    return torch.export.export(make(name), case.inputs(3), dynamic_shapes=dims)


@functools.cache
def saved(name: str = "dict") -> bytes:
    file = io.BytesIO()
    torch.export.save(program(name), file)
    return file.getvalue()


def old_layout(name: str = "dict") -> bytes:
    """As torch 2.4 to 2.7 wrote it."""
    from torch._export.serde.serialize import serialize

    artifact, file = serialize(program(name)), io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("version", "8.8")
        archive.writestr("serialized_exported_program.json", artifact.exported_program)
        archive.writestr("serialized_state_dict.pt", artifact.state_dict)
        archive.writestr("serialized_constants.pt", artifact.constants)
        archive.writestr("serialized_example_inputs.pt", artifact.example_inputs)
    return file.getvalue()


def test_an_exported_program_is_converted() -> None:
    model = trimtab.load_model(program())
    assert str(model.inputs[0]) == "x: float32[batch,6]"
    check(make("dict"), model, CASES["dict"], 4)


@pytest.mark.parametrize("name", ["dict", "cnn"])
def test_a_pt2_file_is_read(name: str, tmp_path: Path) -> None:
    (tmp_path / "net.pt2").write_bytes(saved(name))
    model = trimtab.load_model(tmp_path / "net.pt2")
    assert tuple(spec.name for spec in model.outputs) == CASES[name].outputs
    check(make(name), model, CASES[name], 4)


def test_a_pt2_file_of_the_old_layout_is_read_from_bytes() -> None:
    check(make("dict"), trimtab.load_model(old_layout()), CASES["dict"], 4)


# ---- hostile archives ---------------------------------------------------------------


def changed(content: bytes, changes: dict[str, bytes | None]) -> bytes:
    """An archive with members replaced or added, by the end of their names."""
    file, left = io.BytesIO(), dict(changes)
    with (
        zipfile.ZipFile(io.BytesIO(content)) as old,
        zipfile.ZipFile(file, "w") as new,
    ):
        root = old.namelist()[0].split("/")[0] + "/"
        for name in old.namelist():
            end = next((end for end in changes if name.endswith(end)), None)
            data = old.read(name) if end is None else left.pop(end, changes[end])
            new.writestr(name, data or b"")
        for name, data in left.items():
            new.writestr(root + name, data or b"")
    return file.getvalue()


def with_program(change: Any) -> bytes:
    """The file with its JSON changed."""
    with zipfile.ZipFile(io.BytesIO(saved())) as archive:
        name = next(n for n in archive.namelist() if n.endswith("models/model.json"))
        tree = json.loads(archive.read(name))
    change(tree)
    return changed(saved(), {"models/model.json": json.dumps(tree).encode()})


class Bomb:
    def __reduce__(self) -> Any:
        return (eval, ("__import__('pathlib').Path('/tmp/trimtab-bomb').touch()",))


def torch_saved(value: Any) -> bytes:
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


def table_with_pickle() -> dict[str, bytes | None]:
    entry = {"path_name": "weight_0", "is_param": True, "use_pickle": True}
    table = {"config": {"body.weight": {**entry, "tensor_meta": None}}}
    return {
        "weights/model_weights_config.json": json.dumps(table).encode(),
        "data/weights/weight_0": torch_saved({"w": Bomb()}),
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"data/constants/opaque_obj_0": pickle.dumps(Bomb())},
        {"data/constants/custom_obj_0": torch_saved(Bomb())},
        {"data/aotinductor/model/evil.so": b"\x7fELF"},
        {"constants.pkl": pickle.dumps(Bomb())},
        {"data/weights/model.pt": torch_saved({"w": Bomb()})},
        table_with_pickle(),
    ],
    ids=["opaque", "custom", "compiled", "torchscript", "weights", "use_pickle"],
)
def test_archives_with_objects_or_code_are_refused(
    changes: dict[str, bytes | None],
) -> None:
    with pytest.raises(UnsafeModelError):
        trimtab.load_model(changed(saved(), changes))
    assert not Path("/tmp/trimtab-bomb").exists()


def test_sample_inputs_are_never_unpickled() -> None:
    hostile = changed(saved(), {"sample_inputs/model.pt": torch_saved(Bomb())})
    check(make("dict"), trimtab.load_model(hostile), CASES["dict"], 2)
    assert not Path("/tmp/trimtab-bomb").exists()


def program_json() -> Any:
    with zipfile.ZipFile(io.BytesIO(saved())) as archive:
        name = next(n for n in archive.namelist() if n.endswith("models/model.json"))
        return json.loads(archive.read(name))


EVIL = "__import__('os').system('true')"


@pytest.mark.parametrize(
    "text",
    [
        EVIL,
        "Symbol('s0').func",
        "(lambda: 1)()",
        "[x for x in (1,)]",
        "s0.__class__",
        "Symbol(\"__import__('os')\")",
        "f'{s0}'",
        "exec('1')",
        "s0 if 1 else 2",
        "2**s0",
        "s0 :=",
        "",
    ],
)
def test_sizes_are_arithmetic_only(text: str) -> None:
    tree = program_json()
    tensor = tree["graph_module"]["graph"]["tensor_values"]["x"]
    tensor["sizes"][0] = {"as_expr": {"expr_str": text, "hint": None}}
    with pytest.raises(UnsafeModelError):
        check_program(json.dumps(tree).encode(), trimtab.Limits())


@pytest.mark.parametrize(
    "text",
    [
        "Symbol('s77', positive=True, integer=True)",
        "FloorDiv(Symbol('s0') + 1, 2)",
        "2*s77 - 1",
        "Max(1, Mod(s0, 8))",
        "s0**2",
        "Eq(u0, 1)",
    ],
)
def test_sizes_that_torch_writes_pass(text: str) -> None:
    tree = program_json()
    tensor = tree["graph_module"]["graph"]["tensor_values"]["x"]
    tensor["sizes"][0] = {"as_expr": {"expr_str": text, "hint": None}}
    check_program(json.dumps(tree).encode(), trimtab.Limits())


@pytest.mark.parametrize(
    "target",
    [
        "torch.load",
        "torch.os.system",
        "torch.ops.load_library",
        "torch.ops.aten.from_file.default",
        "torch.ops.evil.run.default",
        "_operator.methodcaller",
        "_operator.attrgetter",
        "math.__loader__.load_module",
        "#evil:op",
        "print",
    ],
)
def test_only_operators_of_torch_are_looked_up(target: str) -> None:
    tree = program_json()
    tree["graph_module"]["graph"]["nodes"][0]["target"] = target
    with pytest.raises(UnsafeModelError, match="operator"):
        check_program(json.dumps(tree).encode(), trimtab.Limits())


def _rename_tensor(tree: Any) -> None:
    tree["graph_module"]["graph"]["nodes"][0]["outputs"][0]["as_tensor"]["name"] = (
        "x = 1\nimport os"
    )


def _name_argument(tree: Any) -> None:
    call = tree["graph_module"]["module_call_graph"][0]["signature"]
    call["forward_arg_names"] = ["x=print(1)"]


def _import_container(tree: Any) -> None:
    call = tree["graph_module"]["module_call_graph"][0]["signature"]
    context = json.dumps({"default_factory_module": "os"})
    spec = {"type": "collections.defaultdict", "context": context, "children_spec": []}
    call["out_spec"] = json.dumps([1, spec])


def _import_enum(tree: Any) -> None:
    call = tree["graph_module"]["module_call_graph"][0]["signature"]
    context = json.dumps([{"__enum__": True, "fqn": "os:system", "name": "x"}])
    spec = {"type": "builtins.dict", "context": context, "children_spec": []}
    call["out_spec"] = json.dumps([1, spec])


def _custom_object(tree: Any) -> None:
    tree["graph_module"]["graph"]["custom_obj_values"] = {"o": {"class_fqn": "os"}}


@pytest.mark.parametrize(
    "change",
    [_rename_tensor, _name_argument, _import_container, _import_enum, _custom_object],
)
def test_texts_that_would_become_code_are_refused(change: Any) -> None:
    tree = program_json()
    change(tree)
    with pytest.raises(UnsafeModelError):
        check_program(json.dumps(tree).encode(), trimtab.Limits())


def test_guards_are_dropped_and_traces_too() -> None:
    tree = program_json()
    tree["guards_code"] = [EVIL]
    tree["graph_module"]["graph"]["nodes"][0]["metadata"] = {"custom": EVIL}
    kept = json.loads(check_program(json.dumps(tree).encode(), trimtab.Limits()))
    assert kept["guards_code"] == []
    assert EVIL not in json.dumps(kept)


def test_damaged_programs_and_weights_give_one_readable_error() -> None:
    def too_many_outputs(tree: Any) -> None:
        tree["graph_module"]["graph"]["nodes"][0]["inputs"] = []

    with pytest.raises(ModelFormatError, match="cannot read the program"):
        trimtab.load_model(with_program(too_many_outputs))
    with pytest.raises(ModelFormatError, match="do not fit"):
        trimtab.load_model(changed(saved(), {"data/weights/weight_0": b"\0" * 8}))
    with pytest.raises(ModelFormatError):
        trimtab.load_model(saved()[: len(saved()) // 2])


# ---- a real net ---------------------------------------------------------------------


@pytest.mark.parametrize("exporter", ["dynamo", "torchscript"])
def test_efficientnet_lite0_loads_from_the_module(
    exporter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples = Path(__file__).parents[2] / "examples" / "export"
    monkeypatch.syspath_prepend(str(examples))
    torch.manual_seed(0)
    net = __import__("efficientnet_lite0").build().eval()
    for part in net.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.1)
            part.running_var.uniform_(0.5, 1.5)
    x = torch.randn(2, 3, 224, 224)
    if exporter == "torchscript":
        monkeypatch.setattr(torch.export, "export", None)
        with pytest.warns(UserWarning, match="older exporter"):
            model = trimtab.load_model(net, example_inputs=(x,))
    else:
        model = trimtab.load_model(net, example_inputs=(x[:1],))
    with torch.no_grad():
        expected = net(x).numpy()
    scale = np.abs(expected).max()
    np.testing.assert_allclose(model(x.numpy()) / scale, expected / scale, 0, 1e-5)
