"""Well-known rows of steps, as the libraries that trained the models have them."""

from __future__ import annotations

from trimtab.errors import InputError
from trimtab.processing.image import IMAGENET_MEAN, IMAGENET_STD
from trimtab.processing.step import Step
from trimtab.processing.steps_image import CenterCrop, Letterbox, Resize, ResizeShortest
from trimtab.processing.steps_tensor import AddBatch, Normalize, ReverseChannels

__all__ = ["imagenet", "keras_preprocess", "yolo"]


def imagenet(
    size: int = 224, *, resize: int = 256, method: str = "pillow-bilinear"
) -> list[Step]:
    """Steps of torchvision's ImageNet classifiers.

    Parameters
    ----------
    size : int, default=224
        Of the square that the model sees.
    resize : int, default=256
        The shortest side before cropping.
    method : str, default="pillow-bilinear"
        torchvision resizes PIL pictures so; newer weights say "bicubic".

    Returns
    -------
    steps : list of Step
        From a picture (h, w, 3) of uint8 to (1, 3, size, size) of float32.

    Examples
    --------
    >>> [step.kind for step in imagenet()]
    ['resize_shortest', 'center_crop', 'normalize', 'add_batch']
    """
    return [
        ResizeShortest(resize, method),
        CenterCrop(size, size),
        Normalize(IMAGENET_MEAN, IMAGENET_STD, layout="CHW"),
        AddBatch(),
    ]


def keras_preprocess(
    mode: str, size: int | None = 224, *, method: str = "pillow-nearest"
) -> list[Step]:
    """Steps of `keras.applications`: ``load_img``, then ``preprocess_input``.

    Parameters
    ----------
    mode : {"caffe", "tf", "torch"}
        "caffe": ResNet, VGG; "tf": MobileNet, Inception, Xception, NASNet;
        "torch": DenseNet.
    size : int or None, default=224
        None: the picture keeps its size.
    method : str, default="pillow-nearest"
        ``load_img`` resizes so.

    Returns
    -------
    steps : list of Step
        From a picture (h, w, 3) of uint8 to (1, size, size, 3) of float32.

    Raises
    ------
    InputError
        There is no such mode.

    Examples
    --------
    >>> [step.kind for step in keras_preprocess("tf")]
    ['resize', 'normalize', 'add_batch']
    """
    modes: dict[str, list[Step]] = {
        "caffe": [
            ReverseChannels(),
            Normalize((103.939, 116.779, 123.68), divisor=1.0),
        ],
        "tf": [Normalize(1.0, divisor=127.5)],
        "torch": [Normalize(IMAGENET_MEAN, IMAGENET_STD)],
    }
    if mode not in modes:
        raise InputError(f"mode: expected one of {sorted(modes)}, got {mode!r}")
    before = [] if size is None else [Resize(size, size, method)]
    return [*before, *modes[mode], AddBatch()]


def yolo(size: int = 640) -> list[Step]:
    """Steps of Ultralytics' detectors.

    Parameters
    ----------
    size : int, default=640
        Of the square that the model sees.

    Returns
    -------
    steps : list of Step
        From a picture (h, w, 3) of uint8 to (1, 3, size, size) of float32 in [0, 1].

    Examples
    --------
    >>> [step.kind for step in yolo()]
    ['letterbox', 'normalize', 'add_batch']
    """
    return [Letterbox(size, size), Normalize(layout="CHW"), AddBatch()]
