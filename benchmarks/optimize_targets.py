"""The targets of optimised models, computed from a result of bench_optimize."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.optimize_measure import F32, OPTIMISED, PROBABILITY
from benchmarks.targets import Document, Figure, Target

BF16 = "trimtab_bf16"
NNCF = ("openvino_bf16#nncf", "openvino#nncf")
NOTHING = Figure(None, "not measured")

# model -> how much faster int8 and bf16 together must be than f32
MIXED = {"efficientnet_lite0": 2.5, "minilm_128": 2.5, "resnet50_shape": 3.3}
HALVED = ("minilm_128", "efficientnet_lite0", "whisper_encoder")  # bf16 alone


def ratio(
    document: Document, model: str, contender: str, base: str
) -> dict[str, Any] | None:
    """The ratio of one pair on one model, None if it was not formed."""
    entry = document.get("latency", {}).get(model, {"ratios": []})
    for row in entry["ratios"]:
        if (row["contender"], row["base"]) == (contender, base):
            found: dict[str, Any] = row["ratio"]
            return found
    return None


def quality(document: Document, model: str, label: str) -> Mapping[str, Any]:
    """What is known of a variant's answers; empty if nothing is."""
    entry = document.get("quality", {}).get(model, {"engines": {}})
    found: Mapping[str, Any] = entry["engines"].get(label, {})
    return found


def _why_not(document: Document, model: str, label: str) -> Figure:
    entry = document.get("latency", {}).get(model, {"errors": {}})
    unavailable = document.get("unavailable_engines", {})
    reason = entry["errors"].get(label) or unavailable.get(label)
    return Figure(None, f"not measured: {reason}") if reason else NOTHING


def _speedup(model: str, label: str) -> Callable[[Document, int], Figure]:
    def find(document: Document, _: int) -> Figure:
        found = ratio(document, model, label, F32)
        if found is None:
            return _why_not(document, model, label)
        low, high = 1 / found["high"], 1 / found["low"]
        db = quality(document, model, label).get("sqnr_db")
        detail = f"middle half {low:.2f} to {high:.2f}"
        return Figure(
            1 / found["median"], detail + ("" if db is None else f"; SQNR {db:.1f} dB")
        )

    return find


def _best_nncf(document: Document, model: str) -> str | None:
    timed = document.get("latency", {}).get(model, {"engines": {}})["engines"]
    present = [label for label in NNCF if label in timed]
    return min(present, key=lambda x: min(timed[x]["rounds_s"]), default=None)


def _over_nncf(model: str) -> Callable[[Document, int], Figure]:
    def find(document: Document, _: int) -> Figure:
        base = _best_nncf(document, model)
        found = ratio(document, model, OPTIMISED, base) if base else None
        if base is None or found is None:
            return _why_not(document, model, OPTIMISED)
        ours = quality(document, model, OPTIMISED).get("sqnr_db")
        theirs = quality(document, model, base).get("sqnr_db")
        if ours is None or theirs is None:
            return Figure(found["median"], f"against {base}; SQNR not measured")
        detail = f"against {base}; SQNR {ours:.1f} dB against {theirs:.1f}"
        timed = document["latency"][model]["engines"]
        errors = document["latency"][model]["errors"]
        # what this processor cannot do, no peer can
        missing = [x for x in NNCF if x not in timed and x not in errors]
        if any(x in errors for x in NNCF):
            detail += "; bf16 not measured: no peer has it on this processor"
        # a faster model that is worse does not count
        return Figure(found["median"] if ours >= theirs else None, detail, not missing)

    return find


def _quality(
    model: str, label: str, key: str, *, scale: float = 1
) -> Callable[[Document, int], Figure]:
    def find(document: Document, _: int) -> Figure:
        found = quality(document, model, label).get(key)
        if found is None:
            return _why_not(document, model, label)
        n = document["quality"][model]["n"]
        return Figure(found * scale, f"{n} samples held out")

    return find


def _bound(model: str) -> Callable[[Document, int], Figure]:
    def find(document: Document, _: int) -> Figure:
        found = quality(document, model, OPTIMISED).get("accuracy")
        if found is None:
            return _why_not(document, model, OPTIMISED)
        proven = document["build"][model][OPTIMISED.partition("#")[0]].get("bound")
        if proven is None:
            why = "float32 came back: the guard proved nothing for a faster model"
            return Figure(None, why, is_complete=False)
        detail = (
            f"of the guard; on {found['n']} samples that no tool saw the drop is "
            f"{100 * found['drop']:.2f} pp ({found['n_lost']} lost, {found['n_won']} "
            f"won), accuracy {found['accuracy']:.3f}"
        )
        return Figure(100 * proven, detail)

    return find


def _proof(document: Document, _: int) -> Figure:
    trials = {
        f"{model}, {trial}": found
        for model, entry in document.get("proof", {}).items()
        for trial, found in entry.items()
    }
    if not trials:
        return NOTHING
    shares = {x: 100 * y["violations"] / y["splits"] for x, y in trials.items()}
    detail = "; ".join(
        f"{x}: {y['violations']} of {y['splits']}, {y['returned']} optimised"
        for x, y in trials.items()
    )
    return Figure(max(shares.values()), detail)


def _calibration(key: str) -> Callable[[Document, int], Figure]:
    def find(document: Document, _: int) -> Figure:
        found = {
            name: tools["trimtab_calibration"][key]
            for name, tools in document.get("build", {}).items()
            if name != "whisper_encoder" and key in tools.get("trimtab_calibration", {})
        }
        if not found:
            return NOTHING
        parts = [f"{name} {value:.3g}" for name, value in found.items()]
        return Figure(max(found.values()), ", ".join(parts))

    return find


def _nodes(document: Document, _: int) -> Figure:
    found = document.get("nodes", {})
    n = sum(x["n"] for x in found.values())
    if not n:
        return NOTHING
    n_slower = sum(len(x["slower"]) for x in found.values())
    worst = [f"{name}: {x['slower'][0]}" for name, x in found.items() if x["slower"]]
    return Figure(100 * (1 - n_slower / n), "; ".join([f"{n} nodes", *worst]))


TARGETS = (
    *(
        Target(f"bf16 over f32, {x}", ">=", 1.8, "x", False, _speedup(x, BF16))
        for x in HALVED
    ),
    Target(
        "SQNR of bf16, minilm_128",
        ">=",
        40,
        " dB",
        False,
        _quality("minilm_128", BF16, "sqnr_db"),
    ),
    *(
        Target(
            f"int8 and bf16 over f32, {x}", ">=", y, "x", False, _speedup(x, OPTIMISED)
        )
        for x, y in MIXED.items()
    ),
    *(
        Target(
            f"latency over OpenVINO with NNCF at no less SQNR, {x}",
            "<=",
            0.9,
            "",
            False,
            _over_nncf(x),
        )
        for x in MIXED
    ),
    Target(
        "top-1 agreement with f32, efficientnet_lite0 by a 1 % budget",
        ">=",
        0.98,
        "",
        False,
        _quality("efficientnet_lite0", PROBABILITY, "agreement"),
    ),
    Target(
        "the same over f32",
        ">=",
        2,
        "x",
        False,
        _speedup("efficientnet_lite0", PROBABILITY),
    ),
    *(
        Target(f"95 % bound of the drop, {x}", "<=", 0.5, " pp", False, _bound(x))
        for x in ("mnist_cnn", "minilm_sentiment")
    ),
    Target(
        "splits whose model loses more than its budget", "<=", 5, " %", False, _proof
    ),
    Target(
        "calibration on 32 samples, slowest",
        "<=",
        5,
        " s",
        False,
        _calibration("seconds"),
    ),
    Target(
        "its memory over the model's, largest",
        "<=",
        200,
        " MB",
        False,
        _calibration("growth_mb"),
    ),
    Target("int8 and bf16 nodes not slower than f32", ">=", 100, " %", False, _nodes),
)
