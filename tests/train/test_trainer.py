"""Trainer: epochs, validation, frozen parts, checkpoints, what goes wrong."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trimtab.errors import DivergedError, InputError, InputTypeError, ModelFormatError
from trimtab.graph import Constant, Graph, Model, Node, Value
from trimtab.optimize.runnable import runnable
from trimtab.train import SGD, Adam, Cosine, Trainer, learnable
from trimtab.train.frozen import split_frozen

from .networks import cnn, mlp, transformer

Array = np.ndarray


def _data(n: int = 96) -> tuple[Array, Array]:
    rng = np.random.default_rng(5)
    y = rng.integers(0, 10, n)
    x = rng.normal(size=(n, 20)).astype(np.float32)
    x[np.arange(n), y] += 3
    return x, y


def _trainer(**options: Any) -> Trainer:
    options = {"optimizer": Adam(3e-3), "threads": 1, **options}
    return Trainer(mlp(), "cross_entropy", **options)


def test_a_trained_model_is_an_ordinary_model() -> None:
    x, y = _data()
    trainer = _trainer()
    history = trainer.fit(x, y, epochs=25, batch_size=16)
    assert history.step == 25 * 6
    with runnable(trainer.model()) as model:
        accuracy = (model(x).argmax(1) == y).mean()
    assert accuracy > 0.95
    assert trainer.evaluate(x, y) < history.losses[0] / 3


def test_the_same_seed_gives_the_same_bits() -> None:
    x, y = _data()
    runs = [_trainer() for _ in range(3)]
    for trainer, seed in zip(runs, (1, 1, 2), strict=True):
        trainer.fit(x, y, epochs=2, batch_size=20, seed=seed)
    vectors = [trainer.parameters.vector for trainer in runs]
    np.testing.assert_array_equal(vectors[0], vectors[1])
    assert (vectors[0] != vectors[2]).any()


@pytest.mark.parametrize("at", [3, 5, 7])
def test_a_checkpoint_continues_bit_by_bit(tmp_path: Path, at: int) -> None:
    """Five batches an epoch: in one, between two, in the next."""
    x, y = _data()
    options = {"epochs": 3, "batch_size": 20, "seed": 3, "validation": (x, y)}
    schedule = Cosine(15)
    whole = _trainer(schedule=schedule)
    whole.fit(x, y, **options)
    path = tmp_path / "run.safetensors"
    first = _trainer(schedule=schedule)
    first.fit(x, y, **options, max_steps=at, checkpoint=path)
    assert first.history.stopped == "steps"
    second = _trainer(schedule=schedule)
    second.restore(path)
    second.fit(x, y, **options)
    assert second.history.losses == whole.history.losses
    assert second.history.validation == whole.history.validation
    np.testing.assert_array_equal(second.parameters.vector, whole.parameters.vector)


def test_a_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    x, y = _data()
    path = tmp_path / "run.safetensors"
    trainer = _trainer()
    trainer.fit(x, y, max_steps=2, checkpoint=path)
    with pytest.raises(InputError, match="optimizer"):
        _trainer(optimizer=SGD(0.1)).restore(path)
    other = _trainer()
    other.restore(path)
    with pytest.raises(InputError, match="rows, batch_size, seed"):
        other.fit(x, y, batch_size=8)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(ModelFormatError):
        _trainer().restore(path)


def test_early_stopping_brings_the_best_weights_back() -> None:
    x, y = _data(40)
    held = _data(200)
    trainer = _trainer(optimizer=Adam(0.05))
    history = trainer.fit(x, y, epochs=200, batch_size=10, validation=held, patience=3)
    assert history.stopped == "patience"
    best = min(history.validation)
    assert history.best_epoch == history.validation.index(best)
    assert len(history.validation) == history.best_epoch + 4
    assert abs(trainer.evaluate(*held, batch_size=10) - best) < 1e-6


def test_a_frozen_part_is_computed_once_and_learns_nothing() -> None:
    x, y = _data()
    model = mlp()
    before = {name: c.numpy().copy() for name, c in model.graph.constants.items()}
    options = {"wrt": ["w3", "b3"], "optimizer": SGD(0.05), "threads": 1}
    cached = Trainer(model, "cross_entropy", **options)
    whole = Trainer(model, "cross_entropy", **options, cache_bytes=0)
    for trainer in (cached, whole):
        trainer.fit(x, y, epochs=3, batch_size=16)
    np.testing.assert_allclose(cached.history.losses, whole.history.losses, rtol=1e-5)
    after = cached.model().graph.constants
    for name, value in before.items():
        assert (after[name].numpy() == value).all() == (name not in ("w3", "b3"))


def test_parts_of_a_model_are_the_model() -> None:
    x, _ = _data(4)
    parts = split_frozen(mlp(), ["w2"])
    assert parts is not None
    with runnable(mlp()) as whole, runnable(parts[0]) as a, runnable(parts[1]) as b:
        np.testing.assert_allclose(b(a(x)), whole(x), rtol=1e-5, atol=1e-6)
    assert split_frozen(mlp(), ["w1"]) is None


def test_a_loss_that_is_no_number_ends_it_before_the_update() -> None:
    x, y = _data()
    trainer = _trainer(optimizer=SGD(1e38))
    with pytest.raises(DivergedError, match="Lower the learning rate") as caught:
        trainer.fit(x, y, epochs=5, batch_size=16)
    assert caught.value.step == trainer.history.step > 0
    assert np.isfinite(trainer.parameters.vector).all()


def test_ctrl_c_ends_it_between_two_updates(tmp_path: Path) -> None:
    x, y = _data()
    path = tmp_path / "run.safetensors"

    def interrupt(done: int, total: int, what: str) -> None:
        if done == 4:
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        trainer = _trainer()
        history = trainer.fit(x, y, epochs=9, progress=interrupt, checkpoint=path)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert (history.stopped, history.step) == ("interrupted", 4)
    again = _trainer()
    again.restore(path)
    np.testing.assert_array_equal(again.parameters.vector, trainer.parameters.vector)


def test_bad_data_are_refused_before_training() -> None:
    x, y = _data()
    trainer = _trainer()
    bad = x.copy()
    bad[3, 2] = np.nan
    with pytest.raises(InputError, match="NaN"):
        trainer.fit(bad, y)
    with pytest.raises(InputError, match="expected \\(rows, 20\\)"):
        trainer.fit(x[:, :5], y)
    with pytest.raises(InputError, match="96 rows of inputs and 95 of labels"):
        trainer.fit(x, y[1:])
    with pytest.raises(InputTypeError, match="expected int64"):
        trainer.fit(x, y + 0.5)
    with pytest.raises(InputError, match="no rows"):
        trainer.fit(x[:0], y[:0])
    with pytest.raises(InputError, match="patience needs"):
        trainer.fit(x, y, patience=2)
    with pytest.raises(InputError, match="epochs must be 1"):
        trainer.fit(x, y, epochs=0)
    with pytest.raises(InputError, match="no constants"):
        _trainer(wrt=["nothing"])
    assert trainer.history.step == 0


def test_what_is_learned_by_default() -> None:
    assert learnable(cnn()) == ["c1", "d1", "c2", "d2", "w1", "e1", "w2", "e2"]
    assert "positions" in learnable(transformer())
    assert "root" not in learnable(transformer())


def test_running_statistics_follow_the_batches() -> None:
    x = np.random.default_rng(0).normal(3, 2, (64, 4)).astype(np.float32)
    graph = Graph("g", [Value("x", "float32", ("n", 4))], [Value("y")])
    for name, value in (("s", 1), ("b", 0), ("m", 0), ("v", 1)):
        graph.constants[name] = Constant.of(np.full(4, value, np.float32))
    graph.nodes.append(Node("BatchNormalization", ["x", "s", "b", "m", "v"], ["y"]))
    trainer = Trainer(Model(graph, {"": 18}), "mse", optimizer=SGD(0.0), threads=1)
    trainer.fit(x, x, epochs=100, batch_size=64)
    learned = trainer.model().graph.constants
    np.testing.assert_allclose(learned["m"].numpy(), x.mean(0), rtol=1e-3)
    np.testing.assert_allclose(learned["v"].numpy(), x.var(0, ddof=1), rtol=1e-3)


def test_batch_norms_that_an_exporter_merged_learn_apart() -> None:
    """Both layers read the same four constants, one of them through Identity."""
    graph = Graph("g", [Value("x", "float32", ("n", 4))], [Value("y")])
    for name, value in (("s", 1), ("b", 0), ("m", 0), ("v", 1)):
        graph.constants[name] = Constant.of(np.full(4, value, np.float32))
    names = [f"{name}2" for name in "sbmv"]
    graph.nodes += [Node("Identity", [n[0]], [n]) for n in names]
    graph.nodes.append(Node("BatchNormalization", ["x", "s", "b", "m", "v"], ["h"]))
    graph.nodes.append(Node("Mul", ["h", "x"], ["t"]))
    graph.nodes.append(Node("BatchNormalization", ["t", *names], ["y"]))
    x = np.random.default_rng(0).normal(3, 2, (64, 4)).astype(np.float32)
    trainer = Trainer(Model(graph, {"": 18}), "mse", optimizer=SGD(0.0), threads=1)
    trainer.fit(x, x, epochs=100, batch_size=64)
    first, second = (
        n for n in trainer.model().graph.nodes if n.op_type == "BatchNormalization"
    )
    constants = trainer.model().graph.constants
    unit = (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5)
    for node, truth in ((first, x), (second, unit * x)):
        mean, variance = (constants[name].numpy() for name in node.inputs[3:])
        np.testing.assert_allclose(mean, truth.mean(0), rtol=1e-3)
        np.testing.assert_allclose(variance, truth.var(0, ddof=1), rtol=1e-3)
    assert len({*first.inputs[1:], *second.inputs[1:]}) == 8


@pytest.mark.parametrize("loss", ["mse", "huber", "bce"])
def test_losses_of_numbers(loss: str) -> None:
    torch = pytest.importorskip("torch")
    functions = {
        "mse": torch.nn.functional.mse_loss,
        "huber": torch.nn.functional.huber_loss,
        "bce": torch.nn.functional.binary_cross_entropy_with_logits,
    }
    x, _ = _data(32)
    y = np.random.default_rng(0).uniform(0, 1, (32, 10)).astype(np.float32)
    with runnable(mlp()) as model:
        truth = float(functions[loss](torch.tensor(model(x)), torch.tensor(y)))
    trainer = Trainer(mlp(), loss, optimizer="sgd", threads=1)
    assert abs(trainer.evaluate(x, y) - truth) < 1e-5
    assert trainer.fit(x, y, epochs=20).losses[-1] < truth
