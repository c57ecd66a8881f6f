"""What a model holds in memory, as a table."""

from __future__ import annotations

from dataclasses import dataclass

from trimtab.report import bytes_text, count_text, html_table, text_table

__all__ = ["MemoryReport"]


@dataclass(frozen=True)
class MemoryReport:
    """Bytes that a model holds; `repr` and notebooks show it as a table.

    Parameters
    ----------
    weights_bytes, packed_bytes : int
        Weights as in the file, and in the layouts that primitives chose.
    plans_bytes, contexts_bytes : int
        Compiled plans, and working memory of calls (kept for the next call).
    n_plans, n_contexts : int
        How many there are.
    arena_bytes, tensors_bytes, scratchpad_bytes : int
        One call for the given inputs: its working memory; what the tensors would
        take if none shared memory; scratch memory of the largest primitive. 0 when
        no inputs were given.
    stored_bytes : int
        Weights that stay in the model's file, since only their packed form is read;
        not in memory.
    """

    weights_bytes: int
    packed_bytes: int
    plans_bytes: int
    contexts_bytes: int
    n_plans: int
    n_contexts: int
    arena_bytes: int = 0
    tensors_bytes: int = 0
    scratchpad_bytes: int = 0
    stored_bytes: int = 0

    @property
    def total_bytes(self) -> int:
        """Weights, packed weights, plans and working memory together."""
        return (
            self.weights_bytes
            + self.packed_bytes
            + self.plans_bytes
            + self.contexts_bytes
        )

    def _rows(self) -> list[list[str]]:
        rows = [
            ["weights", bytes_text(self.weights_bytes), "as in the file"],
            ["left in the file", bytes_text(self.stored_bytes), "not in memory"],
            ["packed weights", bytes_text(self.packed_bytes), "shared by all plans"],
            ["plans", bytes_text(self.plans_bytes), count_text(self.n_plans, "shape")],
            [
                "contexts",
                bytes_text(self.contexts_bytes),
                count_text(self.n_contexts, "call"),
            ],
            ["total", bytes_text(self.total_bytes), ""],
        ]
        if self.tensors_bytes:
            share = f"{bytes_text(self.tensors_bytes)} without reuse"
            rows.append(["one call", bytes_text(self.arena_bytes), share])
        return rows

    def __repr__(self) -> str:
        """Give the table."""
        return text_table(["memory", "size", ""], self._rows())

    def _repr_html_(self) -> str:
        return html_table(["memory", "size", ""], self._rows())
