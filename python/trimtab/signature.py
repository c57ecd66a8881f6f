"""What a model takes and gives: names, element types and symbolic shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trimtab.errors import InputError, InputTypeError
from trimtab.record import FrozenRecord
from trimtab.types import Array, numpy_dtype

__all__ = [
    "TensorSpec",
    "check_inputs",
    "equal_axes",
    "probe_inputs",
    "require_tensors",
]

Dims = tuple["int | str | None", ...]


class TensorSpec(FrozenRecord):
    """One input or output of a model.

    Parameters
    ----------
    name : str
        Name in the model.
    dtype : str or None
        ONNX's name of the element type in NumPy's spelling ("float32"); None when
        the model does not say.
    shape : tuple of (int, str or None) or None
        Sizes: a number, a symbol that stands for the same number wherever it
        occurs, or None for any. None: any number of dims.
    kind : {"tensor", "sequence", "optional", "optional sequence"}
        A sequence is a list of arrays, of which `dtype` and `shape` tell; an optional
        may be None.

    Examples
    --------
    >>> print(TensorSpec("x", "float32", ("N", 3, 224, 224)))
    x: float32[N,3,224,224]
    >>> print(TensorSpec("boxes", "int64", (4,), "sequence"))
    boxes: sequence(int64[4])
    """

    __slots__ = ("name", "dtype", "shape", "kind")
    name: str
    dtype: str | None
    shape: Dims | None
    kind: str

    def __init__(
        self, name: str, dtype: str | None, shape: Dims | None, kind: str = "tensor"
    ) -> None:
        self._set(name, dtype, shape, kind)

    def __repr__(self) -> str:
        """Give the fields; the kind only where it is no tensor."""
        kind = "" if self.kind == "tensor" else f", kind={self.kind!r}"
        return (
            f"TensorSpec(name={self.name!r}, dtype={self.dtype!r}, "
            f"shape={self.shape!r}{kind})"
        )

    def __str__(self) -> str:
        """Text like ``x: float32[N,3,224,224]``."""
        text = f"{self.dtype or 'any'}[{self.dims_text}]"
        for outer in reversed(self.kind.split()):
            text = text if outer == "tensor" else f"{outer}({text})"
        return f"{self.name}: {text}"

    @property
    def dims_text(self) -> str:
        """Sizes as text.

        Examples
        --------
        >>> TensorSpec("x", "float32", ("N", None, 4)).dims_text
        'N,?,4'
        """
        if self.shape is None:
            return "..."
        return ",".join("?" if dim is None else str(dim) for dim in self.shape)

    @property
    def is_tensor(self) -> bool:
        """Is it one array of numbers, whatever comes?

        Examples
        --------
        >>> TensorSpec("x", "string", (1,)).is_tensor
        False
        """
        return self.kind == "tensor" and self.dtype != "string"

    @property
    def numpy_dtype(self) -> np.dtype[Any]:
        """NumPy dtype of the elements (float32 when the model does not say)."""
        return numpy_dtype(self.dtype or "float32")

    def sizes(self, symbols: Mapping[str, int], default: int = 1) -> tuple[int, ...]:
        """Concrete shape with these values for symbols, `default` for the rest.

        Parameters
        ----------
        symbols : mapping of str to int
            Values of some symbols.
        default : int, default=1
            Of all other dims that are not fixed.

        Returns
        -------
        shape : tuple of int

        Examples
        --------
        >>> TensorSpec("x", "float32", ("N", None, 4)).sizes({"N": 2})
        (2, 1, 4)
        """
        return tuple(
            dim if isinstance(dim, int) else symbols.get(dim or "", default)
            for dim in self.shape or ()
        )


def require_tensors(model: Any, who: str) -> None:
    """Refuse a model that takes or gives anything else than arrays of numbers.

    Parameters
    ----------
    model : Model
        Of any class with `inputs` and `outputs`.
    who : str
        What cannot work with others, for the message.

    Raises
    ------
    InputTypeError
        One is a sequence, optional, or of strings.

    Examples
    --------
    >>> require_tensors(model, "deploy_model")             # doctest: +SKIP
    """
    for spec in (*model.inputs, *model.outputs):
        if not spec.is_tensor:
            raise InputTypeError(
                f"{who} needs arrays of numbers, this model has {spec}: call the model "
                "itself, or export it with tensors only"
            )


def _check_shape(
    spec: TensorSpec, shape: tuple[int, ...], symbols: dict[str, tuple[int, str]]
) -> None:
    """Compare with the signature; `symbols` collects value and first user."""
    if spec.shape is None:
        return
    if len(shape) != len(spec.shape):
        raise InputError(
            f"input {spec.name!r}: expected {len(spec.shape)} dims as in {spec}, "
            f"got shape {shape}"
        )
    for axis, (want, got) in enumerate(zip(spec.shape, shape, strict=True)):
        if isinstance(want, int) and want != got:
            raise InputError(
                f"input {spec.name!r}: expected {want} on axis {axis} as in {spec}, "
                f"got shape {shape}"
            )
        if isinstance(want, str) and want != "?":  # Paddle's exports: any size
            value, user = symbols.setdefault(want, (got, spec.name))
            if value != got:
                raise InputError(
                    f"input {spec.name!r}: axis {axis} is {want!r}, which is {value} "
                    f"in input {user!r}, got {got}"
                )


def equal_axes(
    specs: Sequence[TensorSpec],
) -> tuple[tuple[int, int, int, int], ...]:
    """List axes that one symbol makes equal: all that the engine leaves to be checked.

    Parameters
    ----------
    specs : sequence of TensorSpec
        Inputs of a model.

    Returns
    -------
    pairs : tuple of (int, int, int, int)
        Input and axis where the symbol comes first, input and axis where it recurs.

    Examples
    --------
    >>> ids, mask = (TensorSpec(name, "int64", ("N", "T")) for name in ("ids", "mask"))
    >>> equal_axes([ids, mask])
    ((0, 0, 1, 0), (0, 1, 1, 1))
    """
    first: dict[str, tuple[int, int]] = {}
    pairs = []
    for i, spec in enumerate(specs):
        for axis, dim in enumerate(spec.shape or () if spec.kind == "tensor" else ()):
            if not isinstance(dim, str) or dim == "?":
                continue
            if dim in first:
                pairs.append((*first[dim], i, axis))
            else:
                first[dim] = i, axis
    return tuple(pairs)


def check_inputs(
    specs: Sequence[TensorSpec], inputs: Mapping[str, Any]
) -> dict[str, Any]:
    """Check arrays against a signature before anything runs.

    Parameters
    ----------
    specs : sequence of TensorSpec
        Inputs of the model.
    inputs : mapping of str to array-like
        A value for each of them.

    Returns
    -------
    arrays : dict of str to ndarray
        The inputs as arrays, in the signature's order; sequences as lists of them.

    Raises
    ------
    InputError
        A missing or unknown name, a wrong number of dims, a size that differs from
        a fixed one, or a symbol with two values.
    InputTypeError
        Values that are no numbers.

    Examples
    --------
    >>> spec = TensorSpec("x", "float32", ("N", 2))
    >>> check_inputs([spec], {"x": [[1, 2]]})["x"].shape
    (1, 2)
    """
    known = {spec.name for spec in specs}
    unknown = [name for name in inputs if name not in known]
    if unknown:
        raise InputError(
            f"the model has no input {unknown[0]!r}; it has {sorted(known)}"
        )
    symbols: dict[str, tuple[int, str]] = {}
    arrays: dict[str, Any] = {}
    for spec in specs:
        if spec.name not in inputs:
            raise InputError(f"input {spec.name!r} is missing: expected {spec}")
        value = inputs[spec.name]
        if spec.kind != "tensor":
            arrays[spec.name] = _as_value(spec, value)
            continue
        array = _as_array(spec, value)
        _check_shape(spec, array.shape, symbols)
        arrays[spec.name] = array
    return arrays


def _as_value(spec: TensorSpec, value: Any) -> Any:
    """What is no tensor: a list of arrays, None, or an array."""
    if value is None and spec.kind.startswith("optional"):
        return None
    if not spec.kind.endswith("sequence"):
        return _as_array(spec, value)
    if not isinstance(value, (list, tuple)):
        raise InputTypeError(
            f"input {spec.name!r}: expected {spec}, a list of arrays, got "
            f"{type(value).__name__}"
        )
    return [_as_array(spec, item) for item in value]


def _as_array(spec: TensorSpec, value: Any) -> Array:
    """The value as an array; Python integers take the integer type wanted."""
    if spec.dtype == "string":
        return np.asarray(value, object)
    array = np.asarray(value)
    if array.dtype.kind not in "biufcV" or array.dtype.names is not None:
        raise InputTypeError(
            f"input {spec.name!r}: expected {spec}, got dtype {array.dtype}"
        )
    wanted = spec.numpy_dtype
    if hasattr(value, "dtype") or wanted == array.dtype:
        return array
    if wanted.kind in "iu" and (array.dtype.kind in "iu" or array.size == 0):
        try:
            return np.asarray(value, wanted)
        except OverflowError as error:
            raise InputTypeError(f"input {spec.name!r}: {error}") from error
    return array


def _probe(spec: TensorSpec, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    dtype = spec.numpy_dtype
    kind = dtype.kind
    if kind == "O":
        return np.full(shape, "a", object)
    if kind == "b":
        return rng.integers(0, 2, shape).astype(np.bool_)
    if kind in "iu":
        return rng.integers(0, 2, shape).astype(dtype)
    return rng.standard_normal(shape).astype(dtype)


def probe_inputs(
    specs: Sequence[TensorSpec], *, size: int = 1, seed: int = 0
) -> dict[str, Any]:
    """Make inputs that fit a signature, for a trial run.

    Parameters
    ----------
    specs : sequence of TensorSpec
        Inputs of the model.
    size : int, default=1
        Value of every dim that is not fixed, but for the first ones: those are 1.
    seed : int, default=0
        Of the random values: normal for floats, 0 or 1 for the rest.

    Returns
    -------
    arrays : dict of str to ndarray

    Examples
    --------
    >>> probe_inputs([TensorSpec("x", "float32", ("N", "T"))], size=8)["x"].shape
    (1, 8)
    """
    rng = np.random.default_rng(seed)
    first = {spec.shape[0] for spec in specs if spec.shape and len(spec.shape) > 1}
    symbols = {dim: 1 for dim in first if isinstance(dim, str)}
    arrays: dict[str, Any] = {}
    for spec in specs:
        shape = spec.sizes(symbols, size)
        if len(shape) > 1 and spec.shape is not None and spec.shape[0] is None:
            shape = (1, *shape[1:])
        array = _probe(spec, shape, rng)
        arrays[spec.name] = [array] if spec.kind.endswith("sequence") else array
    return arrays
