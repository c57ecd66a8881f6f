"""One graph through all: what trimtab makes of it, and whether that is right."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

import trimtab

from .compare import disagreement
from .generate import Sample
from .known import explain
from .oracles import ORACLES, Oracle

#: How a graph is loaded: with and without passes, on one thread and on two.
WAYS: dict[str, dict[str, Any]] = {
    "as usual": {"threads": 1},
    "two threads": {"threads": 2},
    "no passes": {"threads": 1, "passes": ()},
}


@dataclass(frozen=True)
class Verdict:
    """What became of a graph.

    kind : "right", "refused" (by trimtab), "silent" (both oracles refuse), "known" (a
    difference that is explained), "wrong"
    """

    kind: str
    text: str = ""
    output: str = ""


def check(sample: Sample) -> Verdict:
    """Run it every way, compare every output."""
    oracle = Oracle(sample.model)
    first, second = oracle.first(sample.feeds), oracle.second(sample.feeds)
    try:
        ours = {way: _run(sample, options) for way, options in WAYS.items()}
    except trimtab.UnsupportedOpError as error:
        return Verdict("refused", _short(error))
    except Exception as error:
        if first is None and second is None:
            return Verdict("silent", _short(error))
        return _verdict(sample, f"{type(error).__name__}: {error}", "")
    if first is None and second is None:
        return Verdict("silent", oracle.refusal)
    spread: list[list[Any]] | None = None
    for k, output in enumerate(sample.model.graph.output):
        name = output.name
        said = [results[k] for results in (first, second) if results is not None]
        for way, results in ours.items():
            moved = name in sample.moved
            wrong = [disagreement(results[name], w, [], moved=moved) for w in said]
            if not all(wrong):
                continue
            if spread is None:  # it costs as much as the rest
                spread = oracle.nudged(sample.feeds)
            more = [*said, *(results[k] for results in spread)]
            wrong = [disagreement(results[name], w, more, moved=moved) for w in said]
            if all(wrong) and not _is_vouched_for(sample, name, results[name], said):
                return _verdict(sample, f"{way}: {wrong[0]}", name)
    return Verdict("right")


def _is_vouched_for(sample: Sample, name: str, got: Any, said: list[Any]) -> bool:
    """Does an oracle that could not run the whole graph give this output?"""
    if len(said) == len(ORACLES):
        return False
    nodes = list(sample.model.graph.node)
    (last,) = [k for k, node in enumerate(nodes) if name in node.output]
    part = upto(sample, last)
    oracle = Oracle(part.model)
    k = list(nodes[last].output).index(name)
    found = [
        results[k]
        for results in (ask(oracle, part.feeds) for ask in ORACLES)
        if results
    ]
    return any(
        not disagreement(got, want, found, moved=name in sample.moved) for want in found
    )


def _run(sample: Sample, options: dict[str, Any]) -> dict[str, Any]:
    content = sample.model.SerializeToString()
    model = trimtab.load_model(content, fallback=False, **options)
    results = model.run(sample.feeds)
    return {name: np.array(x) for name, x in results.items()}


def _verdict(sample: Sample, text: str, output: str) -> Verdict:
    reason = explain(sample, text, output)
    return Verdict("known" if reason else "wrong", reason or text, output)


def _short(error: BaseException) -> str:
    text = re.sub(r"'[^']*'", "*", " ".join(str(error).split()))
    return re.sub(r"\d+", "N", text)[:120]


def narrow(sample: Sample) -> tuple[Sample, Verdict]:
    """The smallest part of a wrong graph that is wrong: up to one of its nodes."""
    for k in range(len(sample.model.graph.node)):
        part = upto(sample, k)
        verdict = check(part)
        if verdict.kind == "wrong":
            return part, verdict
    return sample, check(sample)


def upto(sample: Sample, last: int) -> Sample:
    """The graph that makes what node `last` makes, and nothing else."""
    model = onnx.ModelProto()
    model.CopyFrom(sample.model)
    graph = model.graph
    nodes = list(graph.node)
    wanted = set(nodes[last].output)
    kept = []
    for node in reversed(nodes[: last + 1]):
        if wanted & set(node.output):
            kept.insert(0, node)
            wanted |= _reads(node)
    del graph.node[:], graph.output[:]
    graph.node.extend(kept)
    for name in nodes[last].output:
        graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    for items in (graph.input, graph.initializer):
        left = [x for x in items if x.name in wanted]
        del items[:]
        items.extend(left)
    feeds = {name: x for name, x in sample.feeds.items() if name in wanted}
    return Sample(model, feeds, sample.moved)


def _reads(node: onnx.NodeProto) -> set[str]:
    names = set(node.input)
    for attribute in node.attribute:
        for inner in attribute.g.node:
            names |= set(inner.input)
    return names
