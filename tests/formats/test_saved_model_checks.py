"""SavedModels are judged before TensorFlow sees them: needs none."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import trimtab
from trimtab import (
    InputError,
    Limits,
    ModelFormatError,
    ModelLimitError,
    UnsafeModelError,
    UnsupportedOpError,
)
from trimtab.formats.saved_model import _natural
from trimtab.formats.saved_model_ops import (
    CONVERTIBLE,
    check_operators,
    signature_functions,
)
from trimtab.formats.saved_model_proto import parse_saved_model
from trimtab.source import Source

from .saved_models import STRING, saved_model, write

HAS_TENSORFLOW = importlib.util.find_spec("tensorflow") is not None
HONEST = {"f": [("StatefulPartitionedCall", ["g"])], "g": ["MatMul", "ReadVariableOp"]}

UNSAFE = """
ReadFile WriteFile MatchingFiles PyFunc PyFuncStateless EagerPyFunc SaveV2 Save
SaveSlices RestoreV2 Restore MergeV2Checkpoints LoadAndRemapMatrix ImmutableConst
InitializeTableFromTextFile InitializeTableFromTextFileV2 TextLineReaderV2
TFRecordReaderV2 WholeFileReaderV2 LMDBReader TFRecordDataset TextLineDataset
FixedLengthRecordDatasetV2 CacheDatasetV2 SnapshotDatasetV2 SqlDataset SaveDatasetV2
LoadDataset DataServiceDatasetV4 CSVDatasetV2 GeneratorDataset ParseExampleDatasetV2
IteratorGetNext OneShotIterator DebugIdentityV2 DebugNumericSummaryV2 RpcCall RpcServer
_Send _Recv _HostSend RecordInput DumpTensor DistributedSave DTensorRestoreV2
GenerateVocabRemapping FixedUnigramCandidateSampler CreateSummaryFileWriter LoadLibrary
FileSystemSetConfiguration DatasetToTFRecord
""".split()


def check(saved: Any, *, known: bool = True) -> None:
    check_operators(saved.meta_graphs[0], "serving_default", lambda op: known)


# ---- operators ---------------------------------------------------------------


def test_an_honest_model_passes() -> None:
    check(saved_model(HONEST))


@pytest.mark.parametrize("op", UNSAFE)
def test_operators_that_reach_out_are_refused_by_name(op: str) -> None:
    with pytest.raises(UnsafeModelError, match=f"function 'f' has the operator '{op}'"):
        check(saved_model({"f": ["MatMul", op]}))


def test_none_of_them_is_on_the_list_of_what_may_run() -> None:
    assert not CONVERTIBLE & set(UNSAFE)


@pytest.mark.parametrize("position", range(3))
def test_a_called_function_is_looked_at_however_it_is_named(position: int) -> None:
    called = ["a", "b", "c"]
    functions = {"f": [("While", called)], "a": [], "b": [], "c": []}
    functions[called[position]] = ["ReadFile"]
    with pytest.raises(UnsafeModelError, match="ReadFile"):
        check(saved_model(functions, concrete=["f"]))


def test_an_operator_that_is_a_function_is_looked_into() -> None:
    with pytest.raises(UnsafeModelError, match="ReadFile"):
        check(saved_model({"f": ["g"], "g": ["ReadFile"]}, concrete=["f"]))


@pytest.mark.parametrize(
    "where", ["_create_resource", "_initialize", "_destroy_resource"]
)
def test_what_a_table_runs_at_loading_is_looked_at(where: str) -> None:
    functions = {"f": ["MatMul"], "g": ["Bincount2"]}
    saved = saved_model(functions, called={where: "g"}, concrete=["f"])
    with pytest.raises(UnsupportedOpError, match="Bincount2"):
        check(saved)


def test_what_restores_an_object_is_looked_at() -> None:
    saved = saved_model({"f": [], "g": ["Foo"]}, restored=["g"], concrete=[])
    with pytest.raises(UnsupportedOpError, match="Foo"):
        check(saved)


def test_unsafe_operators_of_functions_that_an_object_may_call_are_refused() -> None:
    with pytest.raises(UnsafeModelError, match="'train' has the operator 'WriteFile'"):
        check(saved_model({"f": ["MatMul"], "train": ["WriteFile"]}))


def test_what_saves_the_checkpoint_is_never_called_and_may_be_there() -> None:
    """Every SavedModel has it in its library, and no object refers to it."""
    functions = {**HONEST, "save": ["SaveV2", "MergeV2Checkpoints"]}
    check(saved_model(functions, concrete=["f", "g"]))


def test_other_signatures_may_have_operators_without_a_counterpart() -> None:
    functions = {**HONEST, "h": ["Foo"]}
    signatures = {"serving_default": "f", "other": "h"}
    saved = saved_model(functions, signatures=signatures)
    check(saved)
    with pytest.raises(UnsupportedOpError, match=r"Foo \(in h\)"):
        check_operators(saved.meta_graphs[0], "other", lambda op: True)


def test_all_operators_without_a_counterpart_are_listed() -> None:
    with pytest.raises(UnsupportedOpError, match=r"Bar \(in f\), Foo \(in g\)"):
        check(saved_model({"f": ["Bar", "g"], "g": ["Foo"]}))
    with pytest.raises(UnsupportedOpError, match="and 12 more"):
        check(saved_model({"f": [f"Op{i}" for i in range(20)]}))


def test_operators_that_are_not_tensorflows_are_unsafe() -> None:
    with pytest.raises(UnsafeModelError, match="not one of TensorFlow's own"):
        check(saved_model({"f": ["MyOp"]}), known=False)


def test_functions_that_call_each_other_are_walked_once() -> None:
    functions = {"f": [("If", ["g", "f"])], "g": [("If", ["f", "g"])]}
    check(saved_model(functions))
    chain = {f"f{i}": [f"f{i + 1}"] for i in range(5000)}
    check(saved_model({"f": ["f0"], **chain, "f5000": ["MatMul"]}))


def test_a_function_that_is_missing_is_an_error() -> None:
    with pytest.raises(ModelFormatError, match="no function 'g'"):
        check(saved_model({"f": []}, called={"_initialize": "g"}))


def test_two_functions_of_one_name_are_an_error() -> None:
    saved = saved_model({"f": ["MatMul"]})
    saved.meta_graphs[0].graph_def.library.function.add().signature.name = "f"
    with pytest.raises(ModelFormatError, match="one name"):
        check(saved)


@pytest.mark.parametrize("index", [-1, 99])
def test_an_object_that_is_missing_is_an_error(index: int) -> None:
    saved = saved_model(HONEST)
    nodes = saved.meta_graphs[0].object_graph_def.nodes
    nodes[0].children.add(node_id=index, local_name="_initialize")
    with pytest.raises(ModelFormatError, match="object"):
        check(saved)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_mutants_are_read_or_refused(data: st.DataObject) -> None:
    """Any bytes: a documented error, or a model that has been looked through."""
    content = bytearray(
        saved_model(HONEST, called={"_initialize": "g"}).SerializeToString()
    )
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(
            st.integers(0, 255)
        )
    try:
        saved = parse_saved_model(bytes(content))
        if saved.meta_graphs and saved.meta_graphs[0].object_graph_def.nodes:
            signature_functions(saved.meta_graphs[0])
            check(saved)
    except (ModelFormatError, UnsupportedOpError):
        pass


# ---- the folder --------------------------------------------------------------


def test_the_operators_are_looked_at_before_tensorflow_is_asked_for(
    tmp_path: Path,
) -> None:
    path = write(saved_model({"f": ["ReadFile"]}), tmp_path / "m")
    with pytest.raises(UnsafeModelError, match="ReadFile"):
        trimtab.load_model(path)


@pytest.mark.skipif(HAS_TENSORFLOW, reason="TensorFlow is here")
def test_without_tensorflow_the_error_has_the_command(tmp_path: Path) -> None:
    path = write(saved_model(HONEST), tmp_path / "m")
    with pytest.raises(ImportError, match=r"pip install 'trimtab\[tensorflow\]'"):
        trimtab.load_model(path)


def test_inputs_of_strings_are_refused(tmp_path: Path) -> None:
    path = write(saved_model(HONEST, dtype=STRING), tmp_path / "m")
    with pytest.raises(UnsupportedOpError, match="input 'x' is a tensor of strings"):
        trimtab.load_model(path)


def test_signatures_are_listed_when_one_must_be_chosen(tmp_path: Path) -> None:
    signatures = {"encode": "f", "decode": "f"}
    path = write(saved_model(HONEST, signatures=signatures), tmp_path / "m")
    with pytest.raises(InputError, match=r"\['decode', 'encode'\] by signature="):
        trimtab.load_model(path)
    with pytest.raises(InputError, match="no signature 'x'; there are"):
        trimtab.load_model(path, signature="x")


def test_no_signature_at_all_is_an_error(tmp_path: Path) -> None:
    path = write(saved_model(HONEST, signatures={}), tmp_path / "m")
    with pytest.raises(ModelFormatError, match="has no signature"):
        trimtab.load_model(path)


@pytest.mark.parametrize("n_graphs", [0, 2])
def test_models_of_tensorflow_1_are_told(tmp_path: Path, n_graphs: int) -> None:
    saved = saved_model(HONEST)
    graph = saved.meta_graphs.pop()
    saved.meta_graphs.extend([graph] * n_graphs)
    with pytest.raises(ModelFormatError, match=f"found {n_graphs}"):
        trimtab.load_model(write(saved, tmp_path / "m"))


def test_a_graph_without_objects_or_tag_is_told(tmp_path: Path) -> None:
    saved = saved_model(HONEST)
    saved.meta_graphs[0].meta_info_def.tags[:] = ["train"]
    with pytest.raises(ModelFormatError, match=r"tag 'serve', found \['train'\]"):
        trimtab.load_model(write(saved, tmp_path / "a"))
    saved = saved_model(HONEST)
    saved.meta_graphs[0].ClearField("object_graph_def")
    with pytest.raises(ModelFormatError, match="written by TensorFlow 1"):
        trimtab.load_model(write(saved, tmp_path / "b"))


@pytest.mark.parametrize("content", [b"", b"\xff" * 100, b"\x12\xff\xff\xff\xff\x07"])
def test_a_damaged_description_is_an_error(tmp_path: Path, content: bytes) -> None:
    path = write(saved_model(HONEST), tmp_path / "m")
    Path(path, "saved_model.pb").write_bytes(content)
    with pytest.raises(ModelFormatError, match=r"saved_model\.pb"):
        trimtab.load_model(path)


@pytest.mark.parametrize("name", ["saved_model.pb", "variables/variables.index"])
@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_only_regular_files_are_opened(tmp_path: Path, name: str, kind: str) -> None:
    path = Path(write(saved_model(HONEST), tmp_path / "m"), name)
    if kind == "link":
        path.rename(tmp_path / "elsewhere")
        path.symlink_to(tmp_path / "elsewhere")
    else:
        path.unlink()
        os.mkfifo(path) if kind == "pipe" else path.mkdir()
    with pytest.raises(UnsafeModelError, match=name):
        trimtab.load_model(tmp_path / "m")


def test_a_linked_folder_of_weights_is_refused(tmp_path: Path) -> None:
    path = Path(write(saved_model(HONEST), tmp_path / "m"), "variables")
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnsafeModelError, match="'variables' is a symbolic link"):
        trimtab.load_model(tmp_path / "m")


def test_a_file_instead_of_the_folder_of_weights_is_an_error(tmp_path: Path) -> None:
    path = Path(write(saved_model(HONEST), tmp_path / "m"))
    (path / "variables" / "variables.index").unlink()
    (path / "variables").rmdir()
    (path / "variables").write_bytes(b"")
    with pytest.raises(ModelFormatError, match="expected a folder"):
        trimtab.load_model(path)


def test_size_and_number_of_files_are_bounded(tmp_path: Path, monkeypatch) -> None:
    path = Path(write(saved_model(HONEST), tmp_path / "m"))
    with pytest.raises(ModelLimitError, match="max_model_bytes is 100"):
        trimtab.load_model(path, limits=Limits(max_model_bytes=100))
    monkeypatch.setattr("trimtab.formats.saved_model._MAX_FILES", 5)
    for index in range(5):
        (path / "variables" / f"shard{index}").write_bytes(b"")
    with pytest.raises(ModelLimitError, match="more than 5 files"):
        trimtab.load_model(path)


def test_a_bomb_of_messages_meets_the_limit_of_the_child(tmp_path: Path) -> None:
    """upb takes some 80 bytes for an empty message of two: 2 GB of these 25 MB."""
    path = write(saved_model(HONEST), tmp_path / "m")
    nodes = b"\x1a\x00" * 12_500_000  # FunctionDef.node_def
    nested = nodes
    for tag in (b"\x0a", b"\x12", b"\x12", b"\x12"):  # function, library, graph, meta
        size, text = len(nested), b""
        while size > 127:
            text, size = text + bytes([size & 127 | 128]), size >> 7
        nested = tag + text + bytes([size]) + nested
    Path(path, "saved_model.pb").write_bytes(nested)
    with pytest.raises(ModelLimitError, match="more memory than its size"):
        trimtab.load_model(path)


def test_the_option_is_for_this_format_only(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="it is for saved_model"):
        trimtab.load_model(b"\x08\x07\x12\x00", signature="serve")


def test_a_folder_is_pickled_by_the_digest_of_all_its_files(tmp_path: Path) -> None:
    path = write(saved_model(HONEST), tmp_path / "m")
    frozen = Source.of(path).frozen()
    assert frozen.open() == path
    index = Path(path, "variables", "variables.index")
    index.write_bytes(b"other")
    with pytest.raises(ModelFormatError, match="not the file that was pickled"):
        frozen.open()
    index.write_bytes(b"")
    assert frozen.open() == path
    index.rename(index.with_name("renamed"))
    with pytest.raises(ModelFormatError, match="not the file that was pickled"):
        frozen.open()


def test_a_folder_that_changed_is_not_pickled(tmp_path: Path) -> None:
    path = write(saved_model(HONEST), tmp_path / "m")
    source = Source.of(path)
    Path(path, "variables", "variables.index").write_bytes(b"longer")
    with pytest.raises(ModelFormatError, match="has changed since"):
        source.frozen()


def test_outputs_are_ordered_by_number() -> None:
    names = [f"output_{i}" for i in range(12)]
    assert sorted(names[::-1], key=_natural) == names
    assert sorted(["b", "a10", "a9", "B", ""], key=_natural) == [
        *("", "B", "a9", "a10", "b")
    ]
