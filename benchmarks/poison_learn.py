"""Champions and candidates for `update_poison`: a small CNN, fine-tuned or refit."""

from __future__ import annotations

from typing import Any

import numpy as np

import trimtab
from benchmarks.poison_cases import Images, Labels, Pair


def new_net(side: int) -> Any:
    """Two convolutions and two dense layers."""
    from torch import nn

    width = 48
    inner = (side // 4) ** 2 * 16
    return nn.Sequential(
        *(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(inner, width), nn.ReLU(), nn.Linear(width, 10)),
    )


def learn(
    net: Any, x: Images, y: Labels, *, epochs: int, rate: float, seed: int
) -> Any:
    """Adam on cross-entropy."""
    import torch
    from torch.nn import functional

    torch.manual_seed(seed)
    optimizer = torch.optim.Adam(net.parameters(), rate)
    inputs, labels = torch.from_numpy(x), torch.from_numpy(y)
    for _ in range(epochs):
        for batch in torch.randperm(len(inputs)).split(64):
            optimizer.zero_grad()
            functional.cross_entropy(net(inputs[batch]), labels[batch]).backward()
            optimizer.step()
    return net.eval()


def as_model(net: Any) -> trimtab.Model:
    """The net in our engine, with a softmax."""
    from onnx import TensorProto, helper, numpy_helper

    arrays = {k: v.detach().numpy() for k, v in net.state_dict().items()}
    weights = [numpy_helper.from_array(v, k) for k, v in arrays.items()]
    square = {"kernel_shape": [2, 2], "strides": [2, 2]}
    three = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    node = helper.make_node
    nodes = [
        node("Conv", ["image", "0.weight", "0.bias"], ["a"], **three),
        node("Relu", ["a"], ["b"]),
        node("MaxPool", ["b"], ["c"], **square),
        node("Conv", ["c", "3.weight", "3.bias"], ["d"], **three),
        node("Relu", ["d"], ["e"]),
        node("MaxPool", ["e"], ["f"], **square),
        node("Flatten", ["f"], ["g"]),
        node("Gemm", ["g", "7.weight", "7.bias"], ["h"], transB=1),
        node("Relu", ["h"], ["features"]),
        node("Gemm", ["features", "9.weight", "9.bias"], ["logits"], transB=1),
        node("Softmax", ["logits"], ["probabilities"], axis=-1),
    ]
    side = 4 * int((arrays["7.weight"].shape[1] // 16) ** 0.5)
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "digits",
        [value("image", TensorProto.FLOAT, ["n", 1, side, side])],
        [value("probabilities", TensorProto.FLOAT, ["n", 10])],
        weights,
    )
    opset = [helper.make_opsetid("", 17)]
    made = helper.make_model(graph, opset_imports=opset, ir_version=8)
    return trimtab.load_model(made.SerializeToString())


def champion(train: Pair, seed: int) -> Any:
    """A net that has learned from clean rows."""
    import torch

    torch.manual_seed(seed)
    net = new_net(train[0].shape[-1])
    return learn(
        net, *train, epochs=max(10, 25000 // len(train[0])), rate=3e-3, seed=seed
    )


def fine_tuned(net: Any, fit: Pair, train: Pair, seed: int) -> Any:
    """All layers, on the new rows and as many old ones."""
    from copy import deepcopy

    rng = np.random.default_rng(seed)
    replay = rng.choice(len(train[0]), min(len(train[0]), len(fit[0])), replace=False)
    x = np.concatenate([fit[0], train[0][replay]])
    y = np.concatenate([fit[1], train[1][replay]])
    return learn(deepcopy(net), x, y, epochs=4, rate=1e-3, seed=seed)


def refit(net: Any, fit: Pair, train: Pair, seed: int) -> Any:
    """The last layer alone, by logistic regression; an old row counts three times."""
    from copy import deepcopy

    import torch
    from sklearn.linear_model import LogisticRegression

    x, y = (np.concatenate(both) for both in zip(fit, train, strict=True))
    with torch.no_grad():
        features = net[:-1](torch.from_numpy(x)).numpy()
    weights = np.repeat([1.0, 3.0], [len(fit[1]), len(train[1])])
    found = LogisticRegression(C=0.3, max_iter=1000).fit(features, y, weights)
    made = deepcopy(net)
    with torch.no_grad():
        made[-1].weight.copy_(torch.from_numpy(found.coef_))
        made[-1].bias.copy_(torch.from_numpy(found.intercept_))
    return made


#: How a candidate of each set learns.
LEARNERS = {"mnist": fine_tuned, "digits": refit}
