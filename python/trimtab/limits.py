"""Every bound on what a model file or a caller may ask for."""

from __future__ import annotations

from trimtab.record import FrozenRecord

__all__ = ["Limits"]


class Limits(FrozenRecord):
    """What a model may ask for; a file that asks for more is refused.

    Loading checks each bound before the memory is taken. The same fields with the
    same defaults stand in the engine.

    Parameters
    ----------
    max_model_bytes : int
        Bytes of the model, weights included; also of parsing it.
    max_nodes : int
        Nodes of all graphs together.
    max_values : int
        Values (tensors) of all graphs together.
    max_depth : int
        Nesting of If, Loop and Scan bodies.
    max_tensor_bytes : int
        Bytes of one tensor.
    max_arena_bytes : int
        Bytes of one call's working memory.
    max_fold_bytes : int
        Bytes of constants that loading makes beyond what the file holds: by folding,
        and by writing sparse tensors out.
    max_plan_bytes : int
        Bytes of cached plans of one model.
    max_plans : int
        Cached plans of one model.
    max_trip_count : int
        Iterations of one Loop or Scan.
    max_sequence_items : int
        Tensors of one sequence; their bytes together are bounded by
        `max_tensor_bytes`.

    Raises
    ------
    TypeError, ValueError
        A bound is no integer, or negative.

    Examples
    --------
    >>> Limits(max_nodes=10_000).max_nodes
    10000
    >>> Limits(max_plans=-1)
    Traceback (most recent call last):
        ...
    ValueError: max_plans: expected 0 or more, got -1
    """

    __slots__ = (
        "max_model_bytes",
        "max_nodes",
        "max_values",
        "max_depth",
        "max_tensor_bytes",
        "max_arena_bytes",
        "max_fold_bytes",
        "max_plan_bytes",
        "max_plans",
        "max_trip_count",
        "max_sequence_items",
    )
    max_model_bytes: int
    max_nodes: int
    max_values: int
    max_depth: int
    max_tensor_bytes: int
    max_arena_bytes: int
    max_fold_bytes: int
    max_plan_bytes: int
    max_plans: int
    max_trip_count: int
    max_sequence_items: int

    def __init__(
        self,
        max_model_bytes: int = 8 << 30,
        max_nodes: int = 1 << 20,
        max_values: int = 1 << 22,
        max_depth: int = 32,
        max_tensor_bytes: int = 4 << 30,
        max_arena_bytes: int = 8 << 30,
        max_fold_bytes: int = 64 << 20,
        max_plan_bytes: int = 512 << 20,
        max_plans: int = 64,
        max_trip_count: int = 1 << 24,
        max_sequence_items: int = 1 << 20,
    ) -> None:
        self._set(
            max_model_bytes,
            max_nodes,
            max_values,
            max_depth,
            max_tensor_bytes,
            max_arena_bytes,
            max_fold_bytes,
            max_plan_bytes,
            max_plans,
            max_trip_count,
            max_sequence_items,
        )
        for name, value in self.to_dict().items():
            if not isinstance(value, int):
                raise TypeError(f"{name}: expected an int, got {value!r}")
            if not 0 <= value < 1 << 63:
                raise ValueError(f"{name}: expected 0 or more, got {value}")

    def to_dict(self) -> dict[str, int]:
        """Give the bounds by name.

        Examples
        --------
        >>> Limits().to_dict()["max_depth"]
        32
        """
        return dict(zip(self.__slots__, self._values(), strict=True))
