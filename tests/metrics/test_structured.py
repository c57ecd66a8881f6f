"""Rankings, transcripts and boxes: against scikit-learn, jiwer and pycocotools."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.errors import InputError
from trimtab.metrics import METRICS
from trimtab.metrics.boxes import AREAS, box_iou
from trimtab.metrics.text import edit_distance

from .cut import agree, streamed

sklearn_metrics = pytest.importorskip("sklearn.metrics")


# ---- rankings -----------------------------------------------------------------------


@pytest.mark.parametrize("k", [None, 1, 3, 50])
@pytest.mark.parametrize("ignore_ties", [False, True])
def test_ndcg_is_scikit_learns(k: int | None, ignore_ties: bool) -> None:
    rng = np.random.default_rng(0)
    y, w = rng.integers(0, 4, (40, 8)), rng.random(40)
    y[3] = 0
    s = rng.random((40, 8)) if ignore_ties else rng.integers(0, 4, (40, 8))
    options = {"k": k, "ignore_ties": ignore_ties}
    want = METRICS["ndcg"](y, s, sample_weight=w, **options)
    agree(streamed(METRICS["ndcg"], y, s, w, **options).compute(), want)


@st.composite
def rankings(draw: st.DrawFn) -> tuple[Any, Any, int]:
    n, items = draw(st.integers(1, 5)), draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    y, s = rng.integers(0, 2, (n, items)), rng.integers(0, 4, (n, items))
    return y, s, draw(st.integers(1, 7))


@settings(max_examples=30, deadline=None)
@given(rankings())
def test_rankings_are_what_their_definitions_say(data: tuple[Any, Any, int]) -> None:
    y, s, k = data
    hits, ranks, precisions = [], [], []
    for relevance, scores in zip(y, s, strict=True):
        # of equal scores the irrelevant item first: nothing is earned by ties
        order = sorted(range(len(scores)), key=lambda i: (-scores[i], relevance[i]))
        found = [bool(relevance[i]) for i in order]
        top = found[:k]
        hits.append(float(any(top)))
        ranks.append(1 / (top.index(True) + 1) if any(top) else 0.0)
        here = [sum(top[: i + 1]) / (i + 1) for i, hit in enumerate(top) if hit]
        best = min(sum(found), k)
        precisions.append(sum(here) / best if best else 0.0)
    names = ["hit_rate", "mean_reciprocal_rank", "mean_average_precision_at_k"]
    for name, want in zip(names, [hits, ranks, precisions], strict=True):
        agree(streamed(METRICS[name], y, s, cuts=(2,), k=k).compute(), np.mean(want))
        agree(METRICS[name](y, s, k=k), np.mean(want))


def test_the_precision_of_whole_rankings_is_scikit_learns() -> None:
    rng = np.random.default_rng(1)
    y, s = rng.integers(0, 2, (30, 9)), rng.random((30, 9))
    y[:, 0] = 1
    want = sklearn_metrics.label_ranking_average_precision_score(y, s)
    agree(METRICS["mean_average_precision_at_k"](y, s, k=None), want)


def test_what_is_no_ranking_is_refused() -> None:
    for name in ("ndcg", "hit_rate", "mean_reciprocal_rank"):
        running = METRICS[name].accumulator()
        with pytest.raises(InputError, match="n_items"):
            running.update([1, 0], [1, 0])
        with pytest.raises(InputError, match="relevance"):
            running.update([[-1, 0]], [[1, 0]])
        with pytest.raises(InputError, match="k: expected"):
            METRICS[name].accumulator(k=0).update([[1, 0]], [[1, 0]])


# ---- texts --------------------------------------------------------------------------

words = st.lists(st.sampled_from(["a", "bb", "c", "dé"]), min_size=1, max_size=7)
texts = st.lists(words.map(" ".join), min_size=1, max_size=5)


@settings(max_examples=30, deadline=None)
@given(texts, st.data())
def test_error_rates_are_jiwers(said: list[str], data: st.DataObject) -> None:
    jiwer = pytest.importorskip("jiwer")
    size = len(said)
    heard = data.draw(st.lists(words.map("  ".join), min_size=size, max_size=size))
    agree(
        streamed(METRICS["word_error_rate"], said, heard).compute(),
        jiwer.wer(said, heard),
    )
    tight = [" ".join(text.split()) for text in heard]
    got = streamed(METRICS["character_error_rate"], said, tight).compute()
    agree(got, jiwer.cer(said, tight))


def test_distances_of_edges() -> None:
    assert edit_distance("", "") == 0
    assert edit_distance("", "abc") == edit_distance("abc", "") == 3
    assert edit_distance(range(300), range(1, 301)) == 2
    with pytest.raises(InputError, match="too long"):
        edit_distance(range(70_000), range(70_000))


def test_silence_and_what_is_no_text() -> None:
    rate = METRICS["word_error_rate"]
    assert rate([""], ["a"]) == np.inf
    assert rate([""], [""]) == 0.0
    assert rate("a b", "a") == 0.5
    with pytest.raises(InputError, match="list of texts"):
        rate([b"a"], ["a"])
    with pytest.raises(InputError, match="as many"):
        rate(["a"], [])
    with pytest.raises(InputError, match="at least one"):
        rate([], [])


# ---- boxes --------------------------------------------------------------------------


def scene(seed: int, n_images: int = 12) -> tuple[list[Any], list[Any]]:
    """Random objects, and detections near them, missing them, or of nothing."""
    rng = np.random.default_rng(seed)
    truths, found = [], []
    for _ in range(n_images):
        m = int(rng.integers(0, 6))
        sizes = np.exp(rng.uniform(2, 5.5, (m, 2)))
        corners = rng.uniform(0, 200, (m, 2))
        boxes = np.concatenate([corners, corners + sizes], axis=1)
        labels = rng.integers(0, 3, m)
        crowd = rng.random(m) < 0.15
        truths.append({"boxes": boxes, "labels": labels, "iscrowd": crowd})
        copies = rng.integers(0, 3, m)
        near = np.repeat(boxes, copies, axis=0)
        near = (
            near + rng.normal(size=near.shape) * np.repeat(sizes, copies, 0)[:, :1] / 20
        )
        stray = rng.uniform(0, 200, (2, 2))
        near = np.concatenate([near, np.c_[stray, stray + rng.uniform(5, 99, (2, 2))]])
        near = np.concatenate([np.sort(near[:, 0::2], 1), np.sort(near[:, 1::2], 1)], 1)
        guessed = np.r_[np.repeat(labels, copies), rng.integers(0, 3, 2)]
        scores = np.round(rng.random(len(near)), 1)  # ties, too
        found.append(
            {"boxes": near[:, [0, 2, 1, 3]], "labels": guessed, "scores": scores}
        )
    return truths, found


def coco_value(
    truths: list[Any], found: list[Any], area: str, limit: int, thresholds: Any
) -> float:
    """What pycocotools makes of the same boxes."""
    coco_module = pytest.importorskip("pycocotools.coco")
    evaluator = pytest.importorskip("pycocotools.cocoeval")
    sizes = lambda b: [b[0], b[1], b[2] - b[0], b[3] - b[1]]  # noqa: E731
    annotations, results = [], []
    for i, (truth, guess) in enumerate(zip(truths, found, strict=True)):
        rows = zip(truth["boxes"], truth["labels"], truth["iscrowd"], strict=True)
        for box, label, crowd in rows:
            x = sizes(box.tolist())
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": i,
                    "category_id": int(label),
                    "bbox": x,
                    "area": x[2] * x[3],
                    "iscrowd": int(crowd),
                }
            )
        rows = zip(guess["boxes"], guess["labels"], guess["scores"], strict=True)
        results += [
            {
                "image_id": i,
                "category_id": int(label),
                "bbox": sizes(box.tolist()),
                "score": float(score),
            }
            for box, label, score in rows
        ]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = coco_module.COCO()
        coco.dataset = {
            "images": [{"id": i} for i in range(len(truths))],
            "categories": [{"id": c} for c in range(3)],
            "annotations": annotations,
        }
        coco.createIndex()
        run = evaluator.COCOeval(coco, coco.loadRes(results), "bbox")
        run.params.maxDets = [limit]
        low, high = AREAS[area]
        run.params.areaRng, run.params.areaRngLbl = [[low, min(high, 1e10)]], [area]
        if thresholds is not None:
            run.params.iouThrs = np.array(thresholds)
        run.evaluate()
        run.accumulate()
    precision = run.eval["precision"]
    return float(precision[precision > -1].mean()) if (precision > -1).any() else np.nan


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    ("area", "limit", "thresholds"),
    [
        ("all", 100, None),
        ("all", 2, None),
        ("small", 100, None),
        ("medium", 100, (0.5,)),
        ("large", 100, (0.75,)),
    ],
)
def test_precision_is_that_of_pycocotools(
    seed: int, area: str, limit: int, thresholds: Any
) -> None:
    truths, found = scene(seed)
    want = coco_value(truths, found, area, limit, thresholds)
    options = {"area": area, "max_detections": limit, "iou_thresholds": thresholds}
    metric = METRICS["mean_average_precision"]
    agree(streamed(metric, truths, found, cuts=(5, 8), **options).compute(), want)


def test_formats_and_texts_as_classes_change_nothing() -> None:
    truths, found = scene(1)
    metric = METRICS["mean_average_precision"]

    def other(image: Any) -> Any:
        boxes = np.c_[
            image["boxes"][:, :2], image["boxes"][:, 2:] - image["boxes"][:, :2]
        ]
        labels = [f"class {label}" for label in image["labels"]]
        return {**image, "boxes": boxes, "labels": labels}

    got = metric(list(map(other, truths)), list(map(other, found)), box_format="xywh")
    agree(got, metric(truths, found), 1e-9)
    by_class = metric(truths, found, average=None)
    assert metric(truths, found) == pytest.approx(by_class.mean())


def test_iou_of_boxes_is_counted_in_cells() -> None:
    rng = np.random.default_rng(2)
    a, b = (np.sort(rng.integers(0, 9, (5, 2, 2)), axis=1) for _ in range(2))
    grid = np.zeros((2, 5, 9, 9), bool)
    for g, boxes in zip(grid, (a, b), strict=True):
        for cells, ((x1, y1), (x2, y2)) in zip(g, boxes, strict=True):
            cells[x1:x2, y1:y2] = True
    both = (grid[0][:, None] & grid[1][None]).sum(axis=(2, 3))
    either = (grid[0][:, None] | grid[1][None]).sum(axis=(2, 3))
    want = np.where(either > 0, both / np.maximum(either, 1), 0)
    agree(box_iou(a.reshape(5, 4), b.reshape(5, 4)), want)


def test_images_without_objects_or_detections() -> None:
    empty = {"boxes": [], "labels": [], "scores": []}
    one = {"boxes": [[0, 0, 9, 9]], "labels": [1], "scores": [0.5]}
    metric = METRICS["mean_average_precision"]
    assert np.isnan(metric([empty], [one]))
    assert metric([one], [empty]) == 0.0
    assert metric([one, empty], [one, one]) == pytest.approx(1.0)
    with pytest.raises(InputError, match="at least one image"):
        metric([], [])


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        ({"boxes": [[0, 0, 1, 1]]}, "mapping with"),
        ({"boxes": [[0, 0, 1]], "labels": [1], "scores": [1]}, "shape"),
        ({"boxes": [[5, 0, 1, 1]], "labels": [1], "scores": [1]}, "box_format"),
        ({"boxes": [[0, 0, 1, 1]], "labels": [1], "scores": [np.nan]}, "finite"),
        ({"boxes": [[0, 0, 1, 1]], "labels": [1], "scores": []}, "1 values"),
        ({"boxes": [[0, 0, 1, 1]], "labels": ["a"], "scores": [1]}, "in both"),
    ],
)
def test_what_is_no_image_is_refused(broken: Any, says: str) -> None:
    good = {"boxes": [[0, 0, 1, 1]], "labels": [1]}
    running = METRICS["mean_average_precision"].accumulator()
    with pytest.raises(InputError, match=says):
        running.update([good], [broken])
    with pytest.raises(InputError, match="put it in"):
        running.update(good, good)
