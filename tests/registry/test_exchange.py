"""Export and import: every byte comes back, and nothing else gets in."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import types
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import trimtab
from trimtab import InputError, Registry, RegistryError
from trimtab.registry.archive import Archive, TarWriter

from .conftest import check_whole, linear
from .test_registry import X, damage

ROOT = Path(__file__).parents[2]
MLFLOW = ("mlflow-skinny==3.17.*", "pandas>=2", "onnx>=1.16", "safetensors>=0.4")


def contents(path: Path) -> dict[str, bytes]:
    """Files of a folder or of a tar file, as Python's own reader has them."""
    if path.is_dir():
        return {
            str(p.relative_to(path)): p.read_bytes()
            for p in path.rglob("*")
            if p.is_file()
        }
    with tarfile.open(path, "r:") as archive:
        return {m.name: archive.extractfile(m).read() for m in archive if m.isfile()}


# ---- OCI ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["out", "out.tar"])
def test_what_is_exported_is_imported_as_it_was(
    name: str, filled: Registry, tmp_path: Path
) -> None:
    filled.set_alias("digits", "challenger", 3)
    filled.export(tmp_path / name)
    other = Registry(tmp_path / "other")
    found = other.import_(tmp_path / name, aliases=True)
    assert [str(version) for version in found] == ["digits/1", "digits/2", "digits/3"]
    for version in found:
        original = filled.get(str(version))
        assert version == original
        assert version.manifest == original.manifest
        assert Path(version.path).read_bytes() == Path(original.path).read_bytes()
        np.testing.assert_array_equal(version.load(threads=1)(X), X * version.version)
    assert other.get("digits@champion").version == 2
    assert other.get("digits@challenger").version == 3
    assert other.import_(tmp_path / name) == found  # once more: nothing new
    assert other.versions("digits") == [1, 2, 3]
    check_whole(other.path)


def test_a_layout_is_what_the_image_specification_says(
    filled: Registry, tmp_path: Path
) -> None:
    """Image layout 1.0.0: descriptors lead to blobs of that digest and size."""
    filled.export(tmp_path / "out")
    files = contents(tmp_path / "out")
    assert json.loads(files["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    index = json.loads(files["index.json"])
    assert index["schemaVersion"] == 2
    todo = list(index["manifests"])
    reached = set()
    for descriptor in todo:
        path = f"blobs/sha256/{descriptor['digest'].removeprefix('sha256:')}"
        data = files[path]
        reached.add(path)
        assert len(data) == descriptor["size"]
        assert hashlib.sha256(data).hexdigest() == path.rsplit("/")[-1]
        if "manifest" in descriptor["mediaType"]:
            manifest = json.loads(data)
            todo += [manifest["config"], *manifest["layers"]]
    assert reached == set(files) - {"oci-layout", "index.json"}
    names = [m["annotations"]["org.opencontainers.image.ref.name"] for m in todo[:3]]
    assert names == ["digits:1", "digits:2", "digits:3"]


def test_folder_and_tar_hold_the_same_and_the_same_again(
    filled: Registry, tmp_path: Path
) -> None:
    for name in ("a", "a.tar", "b.tar"):
        filled.export(tmp_path / name)
    assert contents(tmp_path / "a") == contents(tmp_path / "a.tar")
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()


def test_tar_files_of_others_are_read(filled: Registry, tmp_path: Path) -> None:
    """Of Python's writer in its formats, with folders and times."""
    filled.export(tmp_path / "out")
    for kind in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        path = tmp_path / f"{kind}.tar"
        with tarfile.open(path, "w:", format=kind) as archive:
            archive.add(tmp_path / "out", ".")
        other = Registry(tmp_path / f"r{kind}")
        assert len(other.import_(path)) == 3
        check_whole(other.path)


def test_numbers_that_are_taken_are_not_kept(
    filled: Registry, artefacts: list[Path], tmp_path: Path
) -> None:
    filled.export(tmp_path / "out", "digits/2", "digits/3")
    other = Registry(tmp_path / "other")
    assert [v.version for v in other.import_(tmp_path / "out")] == [2, 3]
    other = Registry(tmp_path / "another")
    for file in artefacts[3:]:
        other.register("digits", file)
    found = other.import_(tmp_path / "out", aliases=True)
    assert [v.version for v in found] == [3, 4]
    assert other.get("digits@champion").version == 3
    assert other.import_(tmp_path / "out", name="copy")[0].name == "copy"
    check_whole(other.path)


def test_targets_that_are_there_are_left_alone(
    filled: Registry, tmp_path: Path
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/x").write_text("x")
    (tmp_path / "x.tar").write_text("x")
    for name in ("full", "x.tar"):
        for format in ("oci", "triton"):
            with pytest.raises(RegistryError):
                filled.export(tmp_path / name, format=format)
    assert (tmp_path / "x.tar").read_text() == "x"
    with pytest.raises(InputError, match="oci"):
        filled.export(tmp_path / "y", format="zip")
    with pytest.raises(InputError, match="no version"):
        Registry(tmp_path / "empty").export(tmp_path / "y")


def test_what_is_damaged_is_not_exported(filled: Registry, tmp_path: Path) -> None:
    damage(filled.get("digits/2").path)
    for format in ("oci", "mlflow", "triton"):
        with pytest.raises(RegistryError, match="digest"):
            filled.export(tmp_path / format, "digits/2", format=format)


# ---- hostile layouts ----------------------------------------------------------------


@pytest.fixture
def layout(filled: Registry, tmp_path: Path) -> dict[str, bytes]:
    """The files of a sound one."""
    filled.export(tmp_path / "sound")
    return contents(tmp_path / "sound")


def written(files: dict[str, bytes], path: Path) -> Path:
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def refused(source: Path, tmp_path: Path, match: str | None = None) -> None:
    """Nothing is taken, and nothing is left."""
    other = Registry(tmp_path / "victim")
    before = sorted(str(p) for p in tmp_path.rglob("*") if "victim" not in str(p))
    with pytest.raises(RegistryError, match=match):
        other.import_(source, aliases=True)
    assert other.names() == []
    check_whole(other.path)
    after = sorted(str(p) for p in tmp_path.rglob("*") if "victim" not in str(p))
    assert before == after


def test_every_changed_byte_of_a_blob_is_noticed(
    layout: dict[str, bytes], tmp_path: Path
) -> None:
    index = json.loads(layout["index.json"])
    index["manifests"] = index["manifests"][:1]
    layout["index.json"] = json.dumps(index).encode()
    digest = index["manifests"][0]["digest"][7:]
    artefact = json.loads(layout[f"blobs/sha256/{digest}"])["layers"][0]["digest"][7:]
    for name in (digest, artefact):
        files = dict(layout)
        data = bytearray(files[f"blobs/sha256/{name}"])
        data[len(data) // 3] ^= 4
        files[f"blobs/sha256/{name}"] = bytes(data)
        refused(written(files, tmp_path / name[:8]), tmp_path, "digest")


INDEXES = [
    b"",
    b"[]",
    b"{}",
    b'{"manifests":[{}]}',
    b'{"manifests":[null]}',
    b'{"manifests":[{"digest":"sha256:../../../etc/passwd","size":5}]}',
    b'{"manifests":[{"digest":"sha256:' + b"0" * 64 + b'","size":99999999999}]}',
    b'{"manifests":[{"digest":"sha256:' + b"0" * 64 + b'","size":true}]}',
    b'{"manifests":[{"digest":"sha256:' + b"0" * 64 + b'","size":5}]}',
    b"[" * 100_000,
    b'{"manifests":[' + b"{}," * 200_000 + b"{}]}",
]


@pytest.mark.parametrize("index", INDEXES, ids=range(len(INDEXES)))
def test_hostile_indexes_are_refused(
    index: bytes, layout: dict[str, bytes], tmp_path: Path
) -> None:
    layout["index.json"] = index
    refused(written(layout, tmp_path / "bad"), tmp_path)


def with_manifest(layout: dict[str, bytes], change) -> dict[str, bytes]:
    """One manifest, changed, with digests that fit."""
    from trimtab.registry.canonical import canonical

    index = json.loads(layout["index.json"])
    entry = index["manifests"][0]
    manifest = json.loads(layout[f"blobs/sha256/{entry['digest'][7:]}"])
    change(manifest, entry)
    data = canonical(manifest)
    digest = hashlib.sha256(data).hexdigest()
    entry |= {"digest": f"sha256:{digest}", "size": len(data)}
    index["manifests"] = [entry]
    return {
        **layout,
        f"blobs/sha256/{digest}": data,
        "index.json": json.dumps(index).encode(),
    }


CHANGES = {
    "name": lambda m, e: (m["trimtab"].update(name="../x"), e.pop("annotations")),
    "annotated name": lambda m, e: e["annotations"].update(
        {"dev.trimtab.name": "../../x"}
    ),
    "two layers": lambda m, e: m["layers"].append(m["layers"][0]),
    "no layers": lambda m, e: m["layers"].clear(),
    "negative": lambda m, e: m["layers"][0].update(size=-1),
    "huge": lambda m, e: m["layers"][0].update(size=1 << 60),
    "shorter": lambda m, e: m["layers"][0].update(size=5),
    "longer": lambda m, e: m["layers"][0].update(size=1 << 30),
    "elsewhere": lambda m, e: m["layers"][0].update(digest="sha256:../../x"),
    "another kind": lambda m, e: m.update(artifactType="application/x"),
    "no artefact": lambda m, e: m["layers"][0].update(
        digest=m["config"]["digest"], size=2
    ),
    "format": lambda m, e: m["trimtab"].update(format=9),
    "metrics": lambda m, e: m["trimtab"].update(metrics=[]),
    "parent": lambda m, e: m["trimtab"].update(parent="x"),
    "no signature": lambda m, e: m["trimtab"]["artefact"].pop("signature"),
    "missing": lambda m, e: m["trimtab"].pop("by"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_manifests_that_lie_are_refused(
    name: str, layout: dict[str, bytes], tmp_path: Path
) -> None:
    files = with_manifest(layout, CHANGES[name])
    refused(written(files, tmp_path / "bad"), tmp_path)


def test_links_in_a_layout_are_not_followed(
    layout: dict[str, bytes], tmp_path: Path
) -> None:
    path = written(layout, tmp_path / "bad")
    blobs = path / "blobs"
    blobs.rename(tmp_path / "elsewhere")
    blobs.symlink_to(tmp_path / "elsewhere")
    refused(path, tmp_path, "link")
    blobs.unlink()
    (tmp_path / "elsewhere").rename(blobs)
    index = path / "index.json"
    index.rename(tmp_path / "index.json")
    index.symlink_to(tmp_path / "index.json")
    refused(path, tmp_path, "link")


def tar_of(members: list[tuple[tarfile.TarInfo, bytes]], path: Path, mode="w:") -> Path:
    with tarfile.open(path, mode, format=tarfile.GNU_FORMAT) as archive:
        for member, data in members:
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, to: str = "") -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type, found.linkname = kind, to
    return found


HOSTILE = {
    "link": member("index.json", tarfile.SYMTYPE, "/etc/passwd"),
    "hard link": member("index.json", tarfile.LNKTYPE, "oci-layout"),
    "device": member("null", tarfile.CHRTYPE),
    "pipe": member("pipe", tarfile.FIFOTYPE),
    "up": member("../escaped"),
    "up inside": member("blobs/../../escaped"),
    "absolute": member("/tmp/escaped"),
    "hidden": member(".ssh"),
    "long": member("x" * 150),
    "sparse": member("x", tarfile.GNUTYPE_SPARSE),
    "twice": member("oci-layout"),
    "twice, otherwise": member("./oci-layout"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_members_of_tar_files_are_refused(
    name: str, layout: dict[str, bytes], tmp_path: Path
) -> None:
    members = [(member(n), data) for n, data in layout.items()]
    path = tar_of([*members, (HOSTILE[name], b"")], tmp_path / "bad.tar")
    refused(path, tmp_path, "twice" if "twice" in name else "plain files only")


def test_compressed_torn_and_other_files_are_refused(
    layout: dict[str, bytes], tmp_path: Path
) -> None:
    members = [(member(n), data) for n, data in layout.items()]
    refused(tar_of(members, tmp_path / "z.tar", "w:gz"), tmp_path, "compression")
    whole = tar_of(members, tmp_path / "whole.tar").read_bytes()
    for n_bytes in (0, 100, 512, 700, len(whole) // 2):
        (tmp_path / "torn.tar").write_bytes(whole[:n_bytes])
        refused(tmp_path / "torn.tar", tmp_path)
    header = bytearray(whole)
    header[3] ^= 1
    (tmp_path / "torn.tar").write_bytes(header)
    refused(tmp_path / "torn.tar", tmp_path, "damaged")
    refused(tmp_path / "nothing.tar", tmp_path, "No such file")


@given(noise=st.binary(max_size=1200), at=st.integers(0, 600), is_fresh=st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_bytes_are_a_tar_file_or_refused(
    noise: bytes, at: int, is_fresh: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Noise, and noise over a header whose checksum is right again."""
    path = tmp_path_factory.mktemp("noise") / "x.tar"
    file = io.BytesIO()
    TarWriter(file).add("a", 5, iter([b"hello"]))
    data = bytearray(noise if is_fresh else file.getvalue())
    if not is_fresh:
        data[at : at + len(noise)] = noise[: max(0, len(data) - at)]
        head = data[:512].ljust(512, b"\0")
        head[148:156] = b" " * 8
        data[148:156] = b"%06o\0 " % sum(head)
    path.write_bytes(data)
    with contextlib.suppress(RegistryError), Archive(str(path)) as archive:
        assert len(archive.read("a", 100)) <= 100


@given(
    files=st.dictionaries(
        st.from_regex(r"[a-z]{1,9}(/[a-z]{1,9})?", fullmatch=True),
        st.binary(max_size=1500),
        max_size=5,
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_python_reads_our_tar_files_and_we_read_them(
    files: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("tar") / "x.tar"
    with open(path, "wb") as file:
        writer = TarWriter(file)
        for name, data in files.items():
            writer.add(name, len(data), iter([data]))
        writer.end()
    assert contents(path) == files
    with Archive(str(path)) as archive:
        assert {name: archive.read(name, 1500) for name in files} == files


def test_sizes_beyond_octal_are_written_as_gnu_does() -> None:
    from trimtab.registry.archive import _head_of

    for n_bytes in (8**11 - 1, 8**11, 1 << 40):
        head = tarfile.TarInfo.frombuf(_head_of("a", n_bytes), "utf-8", "strict")
        assert head.size == n_bytes


# ---- Triton and MLflow --------------------------------------------------------------


def test_a_repository_of_triton_has_its_layout(
    filled: Registry, tmp_path: Path
) -> None:
    filled.export(tmp_path / "repository", format="triton")
    files = contents(tmp_path / "repository")
    assert sorted(files) == [
        *(
            f"digits/{n}/{f}"
            for n in (1, 2, 3)
            for f in ("model.py", "model.safetensors")
        ),
        "digits/config.pbtxt",
    ]
    config = files["digits/config.pbtxt"].decode()
    for line in ('name: "digits"', 'backend: "python"', "data_type: TYPE_FP32"):
        assert line in config
    assert "dims: [ -1, 4 ]" in config
    assert config.count("{") == config.count("}")
    assert config.count("[") == config.count("]")


def test_what_triton_runs_gives_what_the_model_gives(
    filled: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the interface of its Python backend, as its documentation describes it."""

    class Tensor:
        def __init__(self, name, array):
            self.name, self.array = name, array

        def as_numpy(self):
            return self.array

    class Response:
        def __init__(self, output_tensors, error=None):
            self.output_tensors, self.error = output_tensors, error

    utils = types.ModuleType("triton_python_backend_utils")
    utils.Tensor, utils.InferenceResponse, utils.TritonError = Tensor, Response, str
    utils.get_input_tensor_by_name = lambda request, name: request.get(name)
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", utils)
    filled.export(tmp_path / "repository", format="triton")
    folder = tmp_path / "repository/digits"
    names: dict = {}
    exec((folder / "3/model.py").read_text(), names)
    served = names["TritonPythonModel"]()
    served.initialize({"model_repository": str(folder), "model_version": "3"})
    good, bad = {"x": Tensor("x", X)}, {"x": Tensor("x", X[:, :2])}
    answers = served.execute([good, bad, good])
    np.testing.assert_array_equal(answers[0].output_tensors[0].as_numpy(), X * 3)
    assert answers[0].output_tensors[0].name == "y"
    assert "x" in answers[1].error
    assert answers[2].error is None
    served.finalize()


def test_triton_takes_versions_that_are_alike(filled: Registry, tmp_path: Path) -> None:
    filled.register("digits", linear(np.eye(4, dtype=np.float32)[:, :2]))
    filled.export(tmp_path / "a", format="triton")  # the output is open: alike
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "other",
        [helper.make_tensor_value_info("x", TensorProto.INT64, (3,))],
        [helper.make_tensor_value_info("y", TensorProto.INT64, (3,))],
    )
    opset = helper.make_opsetid("", 17)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=8)
    other = trimtab.load_model(model.SerializeToString())
    filled.register("digits", other)
    with pytest.raises(InputError, match="different inputs"):
        filled.export(tmp_path / "b", format="triton")


def test_a_model_of_mlflow_has_its_layout(filled: Registry, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="one version"):
        filled.export(tmp_path / "all", format="mlflow")
    filled.export(tmp_path / "model", "digits@champion", format="mlflow")
    files = contents(tmp_path / "model")
    assert sorted(files) == [
        "MLmodel",
        "data/model.safetensors",
        "python_env.yaml",
        "requirements.txt",
    ]
    fields = {}
    for line in files["MLmodel"].decode().splitlines():
        key, value = line.split(": ", 1)
        fields[key] = json.loads(value)
    flavor = fields["flavors"]["python_function"]
    assert flavor["loader_module"] == "trimtab.registry.mlflow"
    assert flavor["data"] in files
    assert json.loads(fields["signature"]["inputs"])[0]["name"] == "x"


def test_what_mlflow_calls_answers(filled: Registry) -> None:
    from trimtab.registry.mlflow import _load_pyfunc

    model = _load_pyfunc(filled.get("digits/2").path)
    for data in (X, {"x": X}):
        np.testing.assert_array_equal(model.predict(data), X * 2)
    assert model.unwrap().inputs[0].name == "x"
    with pytest.raises(InputError, match="temperature"):
        model.predict(X, params={"temperature": 1})


@pytest.mark.peers
def test_mlflow_loads_it_and_answers_the_same(filled: Registry, tmp_path: Path) -> None:
    """mlflow-skinny and pandas in a venv of their own."""
    from tests.formats.venvs import make_venv

    python = make_venv("mlflow", MLFLOW)
    filled.export(tmp_path / "model", "digits/3", format="mlflow")
    code = (
        "import sys, numpy as np, mlflow.pyfunc\n"
        "model = mlflow.pyfunc.load_model(sys.argv[1])\n"
        "x = np.arange(8, dtype=np.float32).reshape(2, 4)\n"
        "for data in (x, {'x': x}):\n"
        "    assert (model.predict(data) == 3 * x).all()\n"
        "print(model.metadata.flavors['trimtab']['version'])\n"
    )
    out = subprocess.run(
        [python, "-c", code, str(tmp_path / "model")],
        env={**os.environ, "PYTHONPATH": str(ROOT / "python")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert out.stdout.split() == ["3"]
