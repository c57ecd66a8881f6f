"""Attention layers of Keras: options and masks, against Keras itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.formats.keras_cases import Case, assert_close, keras, randomize
from tests.formats.keras_groups import Group

import trimtab
from trimtab.errors import UnsupportedOpError
from trimtab.formats import read_model

L = keras.layers
Q, V = (5, 6), (7, 6)

HEADS: dict[str, dict[str, Any]] = {
    "plain": {},
    "values": {"value_dim": 5},
    "no_bias": {"use_bias": False},
    "wide": {"output_shape": 9},
    "gate": {"use_gate": True, "value_dim": 3},
    "window": {"sliding_window": 2},
    "dropout": {"dropout": 0.3},
}
CALLS: dict[str, dict[str, Any]] = {
    "": {},
    "_causal": {"use_causal_mask": True},
    "_scores": {"return_attention_scores": True},
    "_causal_scores": {"use_causal_mask": True, "return_attention_scores": True},
}
GROUPS: dict[str, dict[str, Any]] = {
    "plain": {},
    "no_bias": {"use_bias": False},
    "gate": {"use_gate": True},
    "window": {"sliding_window": 3},
}
SINGLE: dict[str, Any] = {
    "dot": lambda: L.Attention(),
    "scale": lambda: L.Attention(use_scale=True),
    "concat": lambda: L.Attention(score_mode="concat"),
    "concat_scale": lambda: L.Attention(score_mode="concat", use_scale=True),
    "additive": lambda: L.AdditiveAttention(),
    "additive_plain": lambda: L.AdditiveAttention(use_scale=False),
}


def unmasked_cases() -> list[Case]:
    found = []
    for (key, options), (call, how) in (
        (a, b) for a in HEADS.items() for b in CALLS.items()
    ):
        found.append(
            Case(
                f"heads_{key}{call}",
                lambda q, v, k, o=options, h=how: L.MultiHeadAttention(2, 4, **o)(
                    q, v, k, **h
                ),
                [Q, V, V],
            )
        )
    found.append(
        Case("heads_two", lambda q, v: L.MultiHeadAttention(3, 2)(q, v), [Q, V])
    )
    for (key, options), (call, how) in (
        (a, b) for a in GROUPS.items() for b in CALLS.items()
    ):
        found.append(
            Case(
                f"groups_{key}{call}",
                lambda q, v, o=options, h=how: L.GroupQueryAttention(4, 6, 2, **o)(
                    q, v, **h
                ),
                [Q, V],
            )
        )
    for (key, make), (call, how) in (
        (a, b) for a in SINGLE.items() for b in CALLS.items()
    ):
        found.append(
            Case(
                f"{key}{call}",
                lambda q, v, k, m=make, h=how: m()([q, v, k], **h),
                [Q, V, V],
            )
        )
    return found


@pytest.fixture(scope="module")
def results(tmp_path_factory: Any) -> Any:
    group = Group(unmasked_cases(), tmp_path_factory.mktemp("attention"))
    return group.results(group.feeds())


@pytest.mark.parametrize("name", [case.name for case in unmasked_cases()])
def test_attention_computes_what_keras_computes(results: Any, name: str) -> None:
    assert_close(*results[name])


def masked_cases() -> list[Case]:
    """Masks of queries and of values come from Embedding; 0 is padding."""

    def embed(x: Any) -> Any:
        return L.Embedding(4, 6, mask_zero=True)(x)

    found = []
    for call, how in CALLS.items():
        for dropout in (0.0, 0.2):
            found.append(
                Case(
                    f"self_{dropout}{call}",
                    lambda x, d=dropout, h=how: (
                        lambda y: L.MultiHeadAttention(2, 4, dropout=d)(y, y, **h)
                    )(embed(x)),
                    [(6,)],
                    values=4,
                    batch=5,
                )
            )
        found.append(
            Case(
                f"cross{call}",
                lambda x, y, h=how: L.MultiHeadAttention(2, 4)(embed(x), embed(y), **h),
                [(6,), (9,)],
                values=4,
            )
        )
        found.append(
            Case(
                f"groups{call}",
                lambda x, y, h=how: L.GroupQueryAttention(4, 4, 2)(
                    embed(x), embed(y), **h
                ),
                [(6,), (9,)],
                values=4,
            )
        )
        for key, make in SINGLE.items():
            found.append(
                Case(
                    f"{key}{call}",
                    lambda x, y, m=make, h=how: m()([embed(x), embed(y)], **h),
                    [(6,), (9,)],
                    values=4,
                )
            )
    return found


@pytest.fixture(scope="module")
def masked_results(tmp_path_factory: Any) -> Any:
    group = Group(masked_cases(), tmp_path_factory.mktemp("masked"))
    return group.results(group.feeds())


@pytest.mark.parametrize("name", [case.name for case in masked_cases()])
def test_attention_obeys_masks(masked_results: Any, name: str) -> None:
    assert_close(*masked_results[name])


def test_masks_of_the_call(tmp_path: Any) -> None:
    q, v = keras.Input((None, 6)), keras.Input((None, 6))
    mask = keras.Input((None, None), dtype="bool")
    attend = L.MultiHeadAttention(2, 4)
    outputs = [
        attend(q, v, attention_mask=mask),
        attend(q, v, attention_mask=mask, use_causal_mask=True),
        *L.MultiHeadAttention(2, 3)(
            q, v, attention_mask=mask, return_attention_scores=True
        ),
        L.GroupQueryAttention(4, 4, 2)(q, v, attention_mask=mask),
    ]
    model = keras.Model([q, v, mask], outputs)
    randomize(model)
    model.save(tmp_path / "m.keras")
    rng = np.random.default_rng(5)
    loaded = trimtab.load_model(tmp_path / "m.keras")
    for batch, n_queries, n_keys in ((3, 5, 7), (1, 1, 4), (2, 8, 3)):
        feeds = [
            rng.normal(size=(batch, n_queries, 6)).astype(np.float32),
            rng.normal(size=(batch, n_keys, 6)).astype(np.float32),
            rng.random((batch, n_queries, n_keys)) < 0.6,
        ]
        want = [keras.ops.convert_to_numpy(y) for y in model(feeds)]
        assert_close(list(loaded.run(tuple(feeds)).values()), want)


def test_heads_become_the_operator_attention(tmp_path: Any) -> None:
    q = keras.Input((None, 6))
    keras.Model(q, L.MultiHeadAttention(2, 4)(q, q)).save(tmp_path / "m.keras")
    nodes = [n.op_type for n in read_model(tmp_path / "m.keras").graph.nodes]
    assert nodes.count("Attention") == 1
    assert "Softmax" not in nodes


def test_attention_along_other_axes_is_refused(tmp_path: Any) -> None:
    q = keras.Input((4, 5, 6))
    y = L.MultiHeadAttention(2, 4, attention_axes=(2,))(q, q)
    keras.Model(q, y).save(tmp_path / "m.keras")
    with pytest.raises(UnsupportedOpError, match=r"along axes \[2\]"):
        trimtab.load_model(tmp_path / "m.keras")
