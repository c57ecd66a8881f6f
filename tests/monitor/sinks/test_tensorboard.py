"""Event files: TensorBoard's own readers and plugins find what was written."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from trimtab.errors import InputError
from trimtab.monitor.sinks import Fanout, open_sink
from trimtab.monitor.sinks.tensorboard import TensorBoard
from trimtab.monitor.sinks.tensorboard_values import binned, confusion_at_thresholds
from trimtab.png import encode_png

from .counters import window

pytest.importorskip("tensorboard")
accumulators = pytest.importorskip(
    "tensorboard.backend.event_processing.event_accumulator"
)
tensor_util = pytest.importorskip("tensorboard.util.tensor_util")

#: Busy machines are slow at times; that is no failure.
quietly = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


def read(folder: Path) -> Any:
    found = accumulators.EventAccumulator(
        str(folder),
        size_guidance={name: 0 for name in ("scalars", "tensors", "images")},
    )
    return found.Reload()


def run_of(logdir: Path, name: str) -> Any:
    (folder,) = (logdir / name).iterdir()
    return read(folder)


def tensor(run: Any, tag: str) -> Any:
    return tensor_util.make_ndarray(run.Tensors(tag)[-1].tensor_proto)


def plugin(run: Any, tag: str) -> str:
    return str(run.SummaryMetadata(tag).plugin_data.plugin_name)


def test_a_window_is_scalars_and_histograms_of_its_model_and_version(
    tmp_path: Path,
) -> None:
    sink = open_sink(f"tensorboard:{tmp_path}")
    for i in range(3):
        sink.write(window(i, drift_share=i / 4))
    sink.close()
    run = run_of(tmp_path, "net-7")
    events = run.Scalars("drift_share")
    assert [(e.step, e.value, e.wall_time) for e in events] == [
        (0, 0.0, 1000.0),
        (1, 0.25, 1001.0),
        (2, 0.5, 1002.0),
    ]
    expected = {
        "features/age/mean": 41.5,
        "drift/population_stability_index/age": 0.3,
        "drift/jensen_shannon/sex": 0.01,
        "estimates/accuracy": 0.9,
        "estimates/accuracy/low": 0.8,
        "faults/missing/sex": 4.0,
        "n_rows": 50.0,
    }
    for tag, value in expected.items():
        assert run.Scalars(tag)[0].value == pytest.approx(value), tag
    assert plugin(run, "features/age") == "histograms"
    np.testing.assert_allclose(
        tensor(run, "features/age"),
        [[5, 10, 1], [10, 20, 5], [20, 30, 4], [30, 40, 0]],
    )
    np.testing.assert_allclose(
        tensor(run, "features/sex"), [[-0.5, 0.5, 30], [0.5, 1.5, 20], [1.5, 2.5, 0]]
    )


def test_the_histogram_plugin_shows_what_was_counted(tmp_path: Path) -> None:
    multiplexers = pytest.importorskip(
        "tensorboard.backend.event_processing.plugin_event_multiplexer"
    )
    providers = pytest.importorskip(
        "tensorboard.backend.event_processing.data_provider"
    )
    base = pytest.importorskip("tensorboard.plugins.base_plugin")
    plugins = pytest.importorskip("tensorboard.plugins.histogram.histograms_plugin")
    board = TensorBoard(tmp_path)
    board.add_histogram("x", [3, 4], 1, edges=[0.0, 1.0, 2.0])
    board.close()
    multiplexer = multiplexers.EventMultiplexer().AddRunsFromDirectory(str(tmp_path))
    multiplexer.Reload()
    provider = providers.MultiplexerDataProvider(multiplexer, str(tmp_path))
    context = base.TBContext(logdir=str(tmp_path), data_provider=provider)
    shown = plugins.HistogramsPlugin(context)
    try:
        from tensorboard.context import RequestContext
    except ImportError:
        pytest.skip("another interface of plugins")
    values, _ = shown.histograms_impl(RequestContext(), "x", ".", "exp")
    assert [list(row) for row in values[0][2]] == [[0.0, 1.0, 3.0], [1.0, 2.0, 4.0]]


def test_curves_pictures_texts_and_hparams_are_their_plugins(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    y_true, y_score = rng.random(400) < 0.3, rng.random(400)
    sink = TensorBoard(tmp_path)
    record = {"time": 5.0, "kind": "evaluation", "model": "a/../b", "version": ".."}
    curve = {"y_true": y_true, "y_score": y_score}
    sink.write({**record, "pr_curves": {"cat": curve}, "images": {"worst": pixels}})
    sink.write({**record, "kind": "alert", "message": "age *drifts*", "name": "drift"})
    sink.write({**record, "hparams": {"precision": "int8", "bits": 8, "fused": True}})
    sink.close()
    run = run_of(tmp_path, "a_.._b")
    width, height, png = tensor(run, "worst")
    assert (int(width), int(height)) == (7, 5)
    np.testing.assert_array_equal(np.asarray(image.open(io.BytesIO(png))), pixels)
    assert [plugin(run, tag) for tag in ("worst", "cat", "alerts")] == [
        "images",
        "pr_curves",
        "text",
    ]
    assert b"age *drifts*" in tensor(run, "alerts")[0]
    data = tensor(run, "cat")
    metrics = pytest.importorskip("sklearn.metrics")
    for i in (0, 50, 100, 150):
        guess = y_score >= i / 200
        tn, fp, fn, tp = metrics.confusion_matrix(y_true, guess).ravel()
        assert data[:4, i].tolist() == [tp, fp, tn, fn]
        assert data[4, i] == pytest.approx(metrics.precision_score(y_true, guess))
        assert data[5, i] == pytest.approx(metrics.recall_score(y_true, guess))
    found = pytest.importorskip("tensorboard.plugins.hparams.metadata")
    content = run.SummaryMetadata(found.SESSION_START_INFO_TAG).plugin_data.content
    info = found.parse_session_start_info_plugin_data(content)
    assert info.hparams["precision"].string_value == "int8"
    assert info.hparams["bits"].number_value == 8
    assert info.hparams["fused"].bool_value


def test_figures_are_added_one_by_one(tmp_path: Path) -> None:
    board = TensorBoard(tmp_path)
    for step in range(5):
        board.add_scalar("loss", 1 / (step + 1), step)
    board.add_histogram("w", np.arange(10.0), 0)
    board.add_pr_curve("pr", [True, False], [0.9, 0.1], 0)
    board.add_image("i", np.zeros((4, 4), np.uint8), 0)
    board.add_text("t", "hello", 0)
    board.add_hparams({"lr": 0.1}, {"accuracy": 0.9})
    board.close()
    board.close()
    run = read(tmp_path)
    assert [e.value for e in run.Scalars("loss")][:2] == [1.0, 0.5]
    assert tensor(run, "w")[:, 2].sum() == 10
    assert set(run.Tags()["tensors"]) >= {"w", "pr", "i", "t"}
    assert run.Scalars("accuracy")[0].value == pytest.approx(0.9)


def test_every_start_is_a_run_and_two_of_one_second_are_apart(tmp_path: Path) -> None:
    boards = [TensorBoard(tmp_path) for _ in range(2)]
    for i, board in enumerate(boards):
        board.add_scalar("x", i, i)
        board.write(window(i))
        board.close()
    assert [e.value for e in read(tmp_path).Scalars("x")] == [0.0, 1.0]


@pytest.mark.parametrize("step", [True, "3", None, 2**70, -5])
def test_steps_of_any_kind_are_taken(tmp_path: Path, step: Any) -> None:
    sink = TensorBoard(tmp_path)
    sink.write({"time": 1.0, "kind": "label", "step": step, "x": 1.0})
    sink.write({"time": 1.0, "kind": "label", "x": float("nan"), "step": 2})
    sink.close()
    events = run_of(tmp_path, "records").Scalars("label/x")
    assert len(events) == 2
    assert np.isnan(events[1].value)


def test_files_are_bounded_and_the_latest_stay(tmp_path: Path) -> None:
    board = TensorBoard(tmp_path, max_bytes=2000, n_files=3)
    for step in range(300):
        board.add_scalar("loss", float(step), step)
    board.close()
    files = list(tmp_path.iterdir())
    assert len(files) == 3
    assert all(path.stat().st_size <= 2000 for path in files)
    events = read(tmp_path).Scalars("loss")
    assert [e.step for e in events] == list(range(events[0].step, 300))


def test_a_refused_write_leaves_frames_whole(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    pid = os.fork()
    if pid == 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (3001, resource.RLIM_INFINITY))
        board, n_refused = TensorBoard(tmp_path), 0
        for step in range(100):
            try:
                board.add_scalar("loss", float(step), step)
            except OSError:
                n_refused += 1
        os._exit(0 if n_refused else 1)
    assert os.waitpid(pid, 0)[1] == 0
    events = read(tmp_path).Scalars("loss")
    assert [e.step for e in events] == list(range(len(events)))
    assert len(events) > 10


@pytest.mark.filterwarnings("ignore:monitoring")
def test_records_that_do_not_fit_are_counted_and_the_next_is_written(
    tmp_path: Path,
) -> None:
    bad: list[dict[str, Any]] = [
        {"features": {"a": {"counts": [1, 2], "edges": [1.0, 0.0, 3.0]}}},
        {"features": {"a": {"counts": [], "edges": [1.0]}}},
        {"features": {"a": {"counts": ["x"], "edges": [1.0, 2.0]}}},
        {"pr_curves": {"a": {"y_true": [1], "y_score": [2.0]}}},
        {"pr_curves": {"a": 3}},
    ]
    with Fanout(f"tensorboard:{tmp_path}") as fanout:
        for more in bad:
            fanout.write({"time": 1.0, "kind": "window", **more})
        fanout.write({"time": 1.0, "kind": "window", "x": 1.0, "features": 3})
        assert fanout.flush(timeout_s=20)
        assert fanout.stats()["tensorboard"].n_lost == len(bad)
    assert run_of(tmp_path, "records").Scalars("x")[0].value == 1.0


@quietly
@given(
    hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9))),
    st.sampled_from([None, 1, 3, 4]),
)
def test_pictures_are_read_as_they_were(grey: Any, channels: int | None) -> None:
    image = pytest.importorskip("PIL.Image")
    pixels = grey if channels is None else np.stack([grey] * channels, axis=2)
    found = np.asarray(image.open(io.BytesIO(encode_png(pixels))))
    np.testing.assert_array_equal(found.reshape(pixels.shape), pixels)


@quietly
@given(hnp.arrays(np.float64, st.integers(0, 30), elements=st.floats(0, 1)), st.data())
def test_counts_at_thresholds_are_those_of_the_definition(
    score: Any, data: st.DataObject
) -> None:
    true = data.draw(hnp.arrays(np.bool_, len(score)))
    tp, fp, tn, fn = confusion_at_thresholds(true, score, n_thresholds=11)
    for i, threshold in enumerate(np.linspace(0, 1, 11)):
        guess = score >= threshold
        assert (tp[i], fp[i]) == ((guess & true).sum(), (guess & ~true).sum())
        assert (tn[i], fn[i]) == ((~guess & ~true).sum(), (~guess & true).sum())


def test_values_that_are_not_finite_are_in_no_bin() -> None:
    counts, edges = binned([0.0, np.nan, np.inf, 1.0])
    assert counts.sum() == 2
    assert len(edges) == len(counts) + 1
    assert binned([])[0].sum() == 0


def test_bounds_and_folders_that_are_none_are_refused() -> None:
    with pytest.raises(InputError, match="folder"):
        open_sink("tensorboard:")
    with pytest.raises(InputError, match="positive"):
        TensorBoard("runs", n_files=0)


def test_without_the_package_the_error_tells_what_to_install() -> None:
    code = (
        "import sys; sys.modules['tensorboard'] = None\n"
        "from trimtab.monitor.sinks import open_sink\n"
        "try: open_sink('tensorboard:x')\n"
        "except ImportError as e: print(e)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "pip install 'trimtab[tensorboard]'" in out.stdout
