"""Every rule for a layer against Keras: live models, archives and HDF5 files."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from tests.formats.keras_cases import (
    Case,
    assert_close,
    build_model,
    computed,
    draw,
    keras,
    reference,
)

L = keras.layers
A = keras.activations


def one(name: str, layer: Any, *shapes: tuple[int | None, ...], **options: Any) -> Case:
    """A case of one layer; ``layer`` makes it."""

    def build(*inputs: Any) -> Any:
        return layer()(inputs[0] if len(inputs) == 1 else list(inputs))

    return Case(name, build, shapes, **options)


def _activations() -> list[Case]:
    functions = (
        "linear relu relu6 leaky_relu elu selu celu gelu silu swish mish softmax "
        "log_softmax softplus softsign sigmoid log_sigmoid hard_sigmoid hard_silu "
        "hard_swish tanh hard_tanh tanh_shrink soft_shrink hard_shrink exponential "
        "sparse_sigmoid sparse_plus squareplus sparsemax glu"
    )
    found = [
        one(f"activation_{f}", lambda f=f: L.Activation(f), (5, 6))
        for f in functions.split()
    ]
    layers = {
        "relu": lambda: L.ReLU(),
        "relu_max": lambda: L.ReLU(max_value=1.5),
        "relu_slope": lambda: L.ReLU(negative_slope=0.2),
        "relu_slope_max": lambda: L.ReLU(max_value=1.0, negative_slope=0.2),
        "relu_threshold": lambda: L.ReLU(threshold=0.5),
        "relu_all": lambda: L.ReLU(max_value=1.5, negative_slope=0.3, threshold=0.4),
        "leaky": lambda: L.LeakyReLU(0.17),
        "elu": lambda: L.ELU(0.6),
        "softmax": lambda: L.Softmax(),
        "softmax_axis": lambda: L.Softmax(axis=1),
        "softmax_axes": lambda: L.Softmax(axis=[1, 2]),
        "prelu": lambda: L.PReLU(),
        "prelu_shared": lambda: L.PReLU(shared_axes=[1]),
        "dense_layer": lambda: L.Dense(4, activation=L.LeakyReLU(0.3)),
        "dense_elu": lambda: L.Dense(4, activation="elu"),
    }
    return found + [one(f"layer_{k}", v, (5, 6)) for k, v in layers.items()]


def _matrices() -> list[Case]:
    equations = {
        "heads": ("abc,cde->abde", (None, 2, 3), "de", (4, 6)),
        "joined": ("abcd,cde->abe", (None, 5), "e", (4, 2, 3)),
        "turned": ("ab,bc->ac", 5, "c", (6,)),
        "ellipsis": ("...x,xy->...y", 5, None, (4, 6)),
        "front": ("abc,bd->adc", (3, 5), None, (4, 5)),
    }
    found = [
        one("dense", lambda: L.Dense(5), (6,)),
        one("dense_rank_4", lambda: L.Dense(5, use_bias=False), (2, 3, 6)),
        one("embedding", lambda: L.Embedding(20, 4), (7,), values=20),
        *(
            one(
                f"einsum_{name}",
                lambda e=e, o=o, b=b: L.EinsumDense(e, o, bias_axes=b),
                shape,
            )
            for name, (e, o, b, shape) in equations.items()
        ),
    ]
    return found


def _convolutions() -> list[Case]:
    found = []
    paddings = ["valid", "same"]
    for p, s, f in itertools.product(paddings, [1, 2], ["last", "first"]):
        o: dict[str, Any] = {"padding": p, "data_format": f"channels_{f}"}
        name = f"{p}_{s}_{f}"
        s1, s2, s3 = (11, 4), (9, 8, 4), (6, 7, 5, 2)
        if f == "first":
            s1, s2, s3 = (4, 11), (4, 9, 8), (2, 6, 7, 5)
        found += [
            one(f"conv1d_{name}", lambda o=o, s=s: L.Conv1D(6, 3, s, **o), s1),
            one(f"conv2d_{name}", lambda o=o, s=s: L.Conv2D(6, (3, 2), s, **o), s2),
            one(f"conv3d_{name}", lambda o=o, s=s: L.Conv3D(3, 3, s, **o), s3),
            one(
                f"groups_{name}", lambda o=o, s=s: L.Conv2D(6, 3, s, groups=2, **o), s2
            ),
            one(
                f"depth1d_{name}",
                lambda o=o, s=s: L.DepthwiseConv1D(3, s, depth_multiplier=2, **o),
                s1,
            ),
            one(
                f"depth2d_{name}",
                lambda o=o, s=s: L.DepthwiseConv2D(
                    3, s, depth_multiplier=2, activation="relu", **o
                ),
                s2,
            ),
            one(f"sep1d_{name}", lambda o=o, s=s: L.SeparableConv1D(5, 3, s, **o), s1),
            one(
                f"sep2d_{name}",
                lambda o=o, s=s: L.SeparableConv2D(5, 3, s, depth_multiplier=2, **o),
                s2,
            ),
            one(f"up1d_{name}", lambda o=o, s=s: L.Conv1DTranspose(5, 4, s, **o), s1),
            one(
                f"up2d_{name}",
                lambda o=o, s=s: L.Conv2DTranspose(5, (3, 2), s, **o),
                s2,
            ),
            one(f"up3d_{name}", lambda o=o, s=s: L.Conv3DTranspose(2, 3, s, **o), s3),
        ]
    for p in [*paddings, "causal"]:
        found.append(
            one(
                f"dilated1d_{p}",
                lambda p=p: L.Conv1D(3, 3, padding=p, dilation_rate=2),
                (9, 2),
            )
        )
    found += [
        one(
            "dilated2d",
            lambda: L.Conv2D(3, 3, padding="same", dilation_rate=(2, 3)),
            (12, 11, 2),
        ),
        one("open_conv", lambda: L.Conv2D(3, 3, padding="same"), (None, None, 2)),
        one(
            "open_strided",
            lambda: L.Conv2D(3, 3, 2, padding="same", activation="relu"),
            (None, None, 2),
        ),
        one("stride_3_kernel_2", lambda: L.Conv2DTranspose(3, 2, 3), (4, 5, 2)),
        one(
            "output_padding",
            lambda: L.Conv2DTranspose(3, 3, 2, padding="same", output_padding=1),
            (4, 5, 2),
        ),
        one(
            "output_padding_valid",
            lambda: L.Conv2DTranspose(3, 3, 3, output_padding=(1, 2)),
            (4, 5, 2),
        ),
        one("no_bias", lambda: L.Conv2D(3, 3, use_bias=False), (6, 6, 2)),
    ]
    return found


def _pooling() -> list[Case]:
    found = []
    for p, f in itertools.product(["valid", "same"], ["last", "first"]):
        shapes: list[tuple[int, ...]] = [(9, 4), (9, 7, 3), (5, 7, 5, 2)]
        if f == "first":
            shapes = [(4, 9), (3, 9, 7), (2, 5, 7, 5)]
        o: dict[str, Any] = {"padding": p, "data_format": f"channels_{f}"}
        for n, kind in itertools.product([1, 2, 3], ["Max", "Average"]):
            layer = getattr(L, f"{kind}Pooling{n}D")
            shape = shapes[n - 1]
            for window, stride in [(2, None), (3, 2)]:
                found.append(
                    one(
                        f"{kind}{n}_{p}_{f}_{window}",
                        lambda y=layer, w=window, s=stride, o=o: y(w, s, **o),
                        shape,
                    )
                )
            if p == "same":
                whole = getattr(L, f"Global{kind}Pooling{n}D")
                for keeps in (False, True):
                    found.append(
                        one(
                            f"Global{kind}{n}_{f}_{keeps}",
                            lambda y=whole, f=f, k=keeps: y(
                                data_format=f"channels_{f}", keepdims=k
                            ),
                            shape,
                        )
                    )
    for n, kind in itertools.product([1, 2], ["Max", "Average"]):
        layer = getattr(L, f"Adaptive{kind}Pooling{n}D", None)
        if layer is not None:
            for bins in (2, 3):
                found.append(
                    one(
                        f"Adaptive{kind}{n}_{bins}",
                        lambda y=layer, b=bins: y(b),
                        [(8, 4), (8, 6, 3)][n - 1],
                    )
                )
    return found


def _normalisation() -> list[Case]:
    return [
        one("bn", lambda: L.BatchNormalization(), (6,)),
        one("bn_4d", lambda: L.BatchNormalization(epsilon=0.1), (5, 4, 3)),
        one("bn_first", lambda: L.BatchNormalization(axis=1), (3, 5, 4)),
        one("bn_middle", lambda: L.BatchNormalization(axis=2), (3, 5, 4)),
        one("bn_bare", lambda: L.BatchNormalization(scale=False, center=False), (6,)),
        one("ln", lambda: L.LayerNormalization(), (4, 6)),
        one("ln_axes", lambda: L.LayerNormalization(axis=[1, 2]), (4, 6)),
        one("ln_no_scale", lambda: L.LayerNormalization(scale=False), (4, 6)),
        one("ln_no_center", lambda: L.LayerNormalization(center=False), (4, 6)),
        one("gn", lambda: L.GroupNormalization(2), (4, 5, 6)),
        one("gn_each", lambda: L.GroupNormalization(-1), (4, 5, 6)),
        one("gn_first", lambda: L.GroupNormalization(3, axis=1), (6, 5, 4)),
        one("gn_flat", lambda: L.GroupNormalization(3), (6,)),
        one("rms", lambda: L.RMSNormalization(), (4, 6)),
        one("unit", lambda: L.UnitNormalization(), (4, 6)),
        one("unit_axes", lambda: L.UnitNormalization(axis=[1, 2]), (4, 6)),
        one("spectral", lambda: L.SpectralNormalization(L.Dense(4)), (6,)),
        one(
            "spectral_conv", lambda: L.SpectralNormalization(L.Conv2D(4, 3)), (6, 6, 2)
        ),
    ]


def _merging() -> list[Case]:
    found = []
    for name in "Add Subtract Multiply Average Maximum Minimum".split():
        layer = getattr(L, name)
        found.append(one(f"m_{name}", layer, (4, 6), (4, 6)))
        found.append(one(f"m_{name}_spread", layer, (4, 1), (1, 6)))
        if name != "Subtract":
            found.append(one(f"m_{name}_3", layer, (6,), (6,), (6,)))
    return [
        *found,
        one("m_rank", L.Add, (6,), (4, 6)),
        one("join", L.Concatenate, (4, 6), (4, 2)),
        one("join_1", lambda: L.Concatenate(axis=1), (4, 6), (3, 6)),
        one("m_dot_flat", lambda: L.Dot(axes=1), (6,), (6,)),
        one("m_dot", lambda: L.Dot(axes=(2, 1)), (4, 6), (6, 3)),
        one("m_dot_last", lambda: L.Dot(axes=-1), (4, 6), (3, 6)),
        one("m_dot_cosine", lambda: L.Dot(axes=-1, normalize=True), (4, 6), (3, 6)),
        one("m_dot_mixed", lambda: L.Dot(axes=(1, 2)), (6,), (4, 6)),
        one("m_dot_rank_4", lambda: L.Dot(axes=(3, 1)), (2, 3, 4), (4, 5)),
    ]


def _shapes() -> list[Case]:
    bilinear: dict[str, Any] = {"interpolation": "bilinear"}
    return [
        one("reshape", lambda: L.Reshape((3, 8)), (4, 6)),
        one("reshape_open", lambda: L.Reshape((-1, 2)), (4, 6)),
        one("reshape_unknown", lambda: L.Reshape((-1, 6)), (None, 2, 3)),
        one("flatten", L.Flatten, (4, 3, 2)),
        one("flatten_first", lambda: L.Flatten("channels_first"), (4, 3, 2)),
        one("permute", lambda: L.Permute((3, 1, 2)), (4, 3, 2)),
        one("repeat", lambda: L.RepeatVector(3), (4,)),
        one("pad1", lambda: L.ZeroPadding1D((1, 2)), (4, 3)),
        one("pad2", lambda: L.ZeroPadding2D(((1, 2), (0, 3))), (4, 3, 2)),
        one("pad2_first", lambda: L.ZeroPadding2D(1, "channels_first"), (4, 3, 2)),
        one("pad3", lambda: L.ZeroPadding3D((1, 0, 2)), (4, 3, 2, 2)),
        one("crop1", lambda: L.Cropping1D((1, 2)), (6, 3)),
        one("crop2", lambda: L.Cropping2D(((1, 2), (0, 1))), (6, 3, 2)),
        one("crop2_first", lambda: L.Cropping2D(1, "channels_first"), (2, 4, 5)),
        one("crop3", lambda: L.Cropping3D(((1, 0), (0, 1), (1, 1))), (4, 3, 3, 2)),
        one("up1", lambda: L.UpSampling1D(3), (4, 3)),
        one("up2", lambda: L.UpSampling2D((2, 3)), (4, 3, 2)),
        one("up2_first", lambda: L.UpSampling2D(2, "channels_first"), (2, 4, 3)),
        one("up2_bilinear", lambda: L.UpSampling2D((2, 3), **bilinear), (4, 5, 2)),
        one("up3", lambda: L.UpSampling3D((2, 1, 3)), (2, 3, 2, 2)),
    ]


def _regular() -> list[Case]:
    def masked_mean(x: Any) -> Any:
        return L.GlobalAveragePooling1D()(L.Embedding(6, 4, mask_zero=True)(x))

    def masked_sums(x: Any, y: Any) -> Any:
        both = L.Embedding(3, 4, mask_zero=True)
        added = L.Add()([both(x), both(y)])
        joined = L.Concatenate(axis=1)([both(x), L.Dropout(0.3)(both(y))])
        return [L.GlobalAveragePooling1D()(z) for z in (added, joined)]

    def masked_rows(x: Any) -> Any:
        kept = L.Masking(1.0)(L.ReLU(max_value=1.0)(x))
        return [kept, L.GlobalAveragePooling1D()(L.Dense(3)(kept))]

    return [
        one("dropout", lambda: L.Dropout(0.5), (6,)),
        one("spatial", lambda: L.SpatialDropout1D(0.5), (6, 2)),
        one("noise", lambda: L.GaussianNoise(0.5), (6,)),
        one("gaussian", lambda: L.GaussianDropout(0.5), (6,)),
        one("regularised", lambda: L.ActivityRegularization(0.1), (6,)),
        one("same", L.Identity, (6,)),
        Case("masked_mean", masked_mean, [(7,)], values=6),
        Case("masked_sums", masked_sums, [(7,), (7,)], values=3),
        Case("masked_rows", masked_rows, [(7, 1)]),
    ]


FAMILIES = {
    "activations": _activations(),
    "matrices": _matrices(),
    "convolutions": _convolutions(),
    "pooling": _pooling(),
    "normalisation": _normalisation(),
    "merging": _merging(),
    "shapes": _shapes(),
    "regular": _regular(),
}
CASES = [case for family in FAMILIES.values() for case in family]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_live_layer_computes_what_keras_computes(case: Case) -> None:
    model = build_model([case])
    feeds = draw(case)
    assert_close(computed(model, feeds), reference(model, feeds), case.tolerance)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("family", FAMILIES)
def test_files_compute_what_keras_computes(
    family: str, suffix: str, tmp_path: Any
) -> None:
    cases = FAMILIES[family]
    model = build_model(cases)
    path = str(tmp_path / f"model{suffix}")
    model.save(path)
    feeds: dict[str, np.ndarray] = {}
    for case in cases:
        feeds.update(draw(case))
    assert_close(computed(path, feeds), reference(model, feeds))
