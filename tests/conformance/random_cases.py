"""Cases whose expected outputs are one draw of many.

onnx's runner leaves them to each backend, which excludes them. Here they are held to
what the specification fixes: dtype, shape, and the values that a draw can have.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

_DEFAULT_RATIO = 0.5


def _check_bernoulli(got: list[Any], inputs: list[Any]) -> None:
    """Draws of zeros and ones; certain where the probability is 0 or 1."""
    (drawn,), (p, *_) = got, inputs
    assert np.isin(drawn, [0, 1]).all(), "a draw that is neither 0 nor 1"
    assert (drawn[p == 0] == 0).all()
    assert (drawn[p == 1] == 1).all()


def _check_dropout(got: list[Any], inputs: list[Any]) -> None:
    """Each element is dropped or scaled; the mask says which."""
    x = inputs[0]
    ratio = float(inputs[1]) if len(inputs) > 1 else _DEFAULT_RATIO
    y = got[0]
    kept = got[1] if len(got) > 1 else y != 0
    want = np.where(kept, x / (1 - ratio), 0).astype(x.dtype)
    np.testing.assert_allclose(y, want, rtol=1e-6)
    # 60 elements or more: all kept or all dropped has a chance below 1e-7
    assert 0 < np.count_nonzero(kept) < kept.size


_BERNOULLI = ("", "_double", "_seed")
_DROPOUT = ("default", "default_mask", "", "mask")

#: Case -> what every draw satisfies.
RANDOM: dict[str, Callable[[list[Any], list[Any]], None]] = {
    **{
        f"node/test_bernoulli{kind}{form}": _check_bernoulli
        for kind in _BERNOULLI
        for form in ("", "_expanded")
    },
    **{
        f"node/test_training_dropout{'_' * bool(kind)}{kind}": _check_dropout
        for kind in _DROPOUT
    },
}


def check_random(name: str, got: list[Any], inputs: list[Any], want: list[Any]) -> None:
    """Dtype and shape as the case has them, values as the operator allows."""
    assert len(got) == len(want), f"{len(got)} outputs, expected {len(want)}"
    for ours, theirs in zip(got, want, strict=True):
        assert ours.dtype == theirs.dtype, f"dtype {ours.dtype}"
        assert ours.shape == theirs.shape, f"shape {ours.shape}"
    RANDOM[name](got, inputs)
