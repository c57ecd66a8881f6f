"""What a task makes small, against PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.update.learning import N_CLASSES, TASK, network, rows

from trimtab.errors import InputError
from trimtab.evaluate.task import Task
from trimtab.graph import Model, Value
from trimtab.optimize.runnable import runnable
from trimtab.train import BinaryCrossEntropy, attach_loss, differentiate
from trimtab.update.objective import SoftCrossEntropy, objective_of

X = rows(0, 12).inputs["x"]


def soft_labels(seed: int = 0) -> np.ndarray:
    shares = np.random.default_rng(seed).dirichlet(np.ones(N_CLASSES), 12)
    return shares.astype(np.float32)


def test_soft_labels_cost_what_they_cost_in_torch() -> None:
    torch = pytest.importorskip("torch")
    graph = network()
    t = soft_labels()
    w = graph.graph.constants["w2"].numpy()

    def cost(graph: Model, loss: SoftCrossEntropy) -> float:
        return float(runnable(attach_loss(graph, loss, ["w2"]))(X, t, w))

    ours = cost(graph, SoftCrossEntropy())
    scores = torch.from_numpy(runnable(graph)(X))
    theirs = torch.nn.functional.cross_entropy(scores, torch.from_numpy(t))
    assert ours == pytest.approx(float(theirs), rel=1e-6)
    ended = network(end="Softmax")
    again = cost(ended, SoftCrossEntropy(from_logits=False))
    assert again == pytest.approx(ours, rel=1e-5)


def test_its_gradient_is_that_of_torch() -> None:
    torch = pytest.importorskip("torch")
    graph = network()
    t = soft_labels(1)
    step = differentiate(graph, SoftCrossEntropy(), ["w2"])
    w = graph.graph.constants["w2"].numpy()
    ours = list(runnable(step).run((X, t, w)).values())[1]
    c = {n: v.numpy() for n, v in graph.graph.constants.items()}
    hidden = torch.relu(torch.from_numpy(X @ c["w1"] + c["b1"]))
    weight = torch.tensor(w, requires_grad=True)
    scores = hidden @ weight.T + torch.from_numpy(c["b2"])
    torch.nn.functional.cross_entropy(scores, torch.from_numpy(t)).backward()
    np.testing.assert_allclose(ours, weight.grad.numpy(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("end", "task", "loss", "name"),
    [
        ("", TASK, SoftCrossEntropy(), "y"),
        (
            "Softmax",
            Task("multiclass", "probabilities", "", classes=TASK.classes),
            SoftCrossEntropy(),
            "z",
        ),
        ("Sigmoid", Task("multilabel", "probabilities", ""), BinaryCrossEntropy(), "z"),
        (
            "Relu",
            Task("multiclass", "probabilities", "", classes=TASK.classes),
            SoftCrossEntropy(from_logits=False),
            "y",
        ),
    ],
)
def test_losses_are_taken_of_logits_where_there_are_some(
    end: str, task: Task, loss: Any, name: str
) -> None:
    objective = objective_of(network(end=end), task)
    assert objective.loss == loss
    assert [value.name for value in objective.graph.graph.outputs] == [name]


def test_targets_and_answers_of_classes() -> None:
    objective = objective_of(network(), TASK)
    y = np.array([2, 0, 3])
    targets = objective.targets(y)
    assert np.array_equal(targets, np.eye(4, dtype=np.float32)[y])
    assert np.array_equal(objective.answers(targets), objective.truth(targets))
    with pytest.raises(InputError, match="expected classes from 0 to 3"):
        objective.targets(np.array([4]))


def test_what_cannot_be_learned_says_why() -> None:
    graph = network()
    with pytest.raises(InputError, match="no output 'other'"):
        objective_of(graph, TASK, "other")
    with pytest.raises(InputError, match="gives labels"):
        objective_of(graph, Task("multiclass", "labels", ""))
    graph.graph.outputs[0] = Value("y", "float32", ("n", 4, 7))
    with pytest.raises(InputError, match="one label for each row"):
        objective_of(graph, TASK)
    graph.graph.outputs[0] = Value("y", "float32", ("n", None))
    with pytest.raises(InputError, match="leaves open"):
        objective_of(graph, Task("regression", "values", ""))
