"""The seam between a monitor and a deployment that serves.

Tables that are the columns of a tensor are counted in C, inside the call
(`_core.Program.watch`). Of the others, and of outputs, the deployment hands some calls
to `Listener`, within the budget.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from trimtab.monitor.intake import Intake
from trimtab.monitor.reference import Reference

if TYPE_CHECKING:
    from trimtab import _core
    from trimtab.deploy.arm import Arm
    from trimtab.deploy.deployment import Deployment
    from trimtab.monitor.feed import Feed

__all__ = ["Attachment", "Listener", "intake_for"]


class Listener:
    """What a deployment calls, on the serving threads; nothing of it raises.

    Parameters
    ----------
    feed : Feed
    """

    def __init__(self, feed: Feed) -> None:
        #: Is the next call to be handed to `saw`?
        self.due = feed.intake.due
        self._feed = feed

    def saw(self, values: Sequence[Any], result: Any, seconds: float) -> None:
        """Take note of a call that was due.

        Parameters
        ----------
        values : sequence of array-like
            What the model took, in graph order.
        result : ndarray or tuple of ndarray
            What it returned.
        seconds : float
            What the model took.
        """
        self._feed.saw(values, result, seconds)

    def answered(self, request_id: Any, result: Any) -> None:
        """Take note of a request whose label may come.

        Parameters
        ----------
        request_id : hashable, or list of these
            One for each row of the outputs.
        result : ndarray or tuple of ndarray
        """
        self._feed.answered(request_id, result)

    def swapped(self, arm: Arm) -> None:
        """Take note that another model serves.

        Parameters
        ----------
        arm : Arm
            Its programs count where those before it did.
        """
        self._feed.swapped(arm)


class Attachment:
    """Counts what a deployment does, until `close`.

    Parameters
    ----------
    deployment : Deployment
    reference : Reference or None
        None: nothing but calls is counted.
    listener : Listener
    share : float or None
        Of the calls' time that looking may take; None: every call is looked at.
    """

    def __init__(
        self,
        deployment: Deployment,
        reference: Reference | None,
        listener: Listener,
        *,
        share: float | None,
    ) -> None:
        self.deployment = deployment
        self.watcher: _core.Watcher = deployment.watcher
        #: Tables that are counted in C: (side, index) -> name.
        self.places = _places(deployment, reference)
        sketches: dict[str, dict[int, Any]] = {"inputs": {}, "outputs": {}}
        for (side, index), name in self.places.items():
            assert reference is not None
            sketches[side][index] = reference.table_sketch(name)
        deployment.program.watch(
            self.watcher,
            inputs=sketches["inputs"],
            outputs=sketches["outputs"],
            **({"every": 1} if share is None else {"budget": share}),
        )
        deployment.listener = listener

    @property
    def tables(self) -> frozenset[str]:
        """Tables that are counted in C."""
        return frozenset(self.places.values())

    def swap(self) -> dict[str, _core.TableSketch]:
        """Take what was counted since the last time.

        Returns
        -------
        sketches : dict of str to TableSketch
            By table.
        """
        if not self.places:
            return {}
        filled = self.watcher.swap()
        return {
            name: filled[side][index] for (side, index), name in self.places.items()
        }

    def totals(self) -> dict[str, Any]:
        """Give the counters of the deployment.

        Returns
        -------
        totals : dict
            Of `_core.Watcher.snapshot`; they only grow.
        """
        from trimtab.monitor.sinks.families import read_watcher

        deployment = self.deployment
        return {
            **read_watcher(self.watcher)(),
            "input_names": deployment.input_names,
            "output_names": deployment.output_names,
            "clipping": {} if deployment.is_closed else deployment.model.clipping(),
        }

    def close(self) -> None:
        """Leave the deployment as it was; it goes on serving."""
        self.deployment.listener = None
        if not self.deployment.is_closed:
            self.deployment.program.watch(self.watcher)


def _places(
    deployment: Deployment, reference: Reference | None
) -> dict[tuple[str, int], str]:
    model = deployment.model
    numbers = {
        side: {spec.name: i for i, spec in enumerate(specs)}
        for side, specs in (("input", model.inputs), ("output", model.outputs))
    }
    found = {}
    for table in reference.tables if reference is not None else ():
        spec = table.spec
        index = numbers.get(spec.side, {}).get(spec.tensor)
        if index is not None and spec.is_raw and not table.has_texts:
            found[f"{spec.side}s", index] = table.name
    return found


def intake_for(intake: Intake, reference: Reference, tables: frozenset[str]) -> None:
    """Ask for the tensors that are not counted in C.

    Parameters
    ----------
    intake : Intake
    reference : Reference
    tables : frozenset of str
        That are counted in C.

    Examples
    --------
    >>> intake_for(intake, reference, attachment.tables)   # doctest: +SKIP
    """
    wanted: dict[str, set[str]] = {"input": set(), "output": set()}
    for table in reference.tables:
        if table.name not in tables and table.spec.side in wanted:
            wanted[table.spec.side].add(table.spec.tensor)
    # tensors in the middle are read by running the model again
    intake.inputs = None if reference.inside else frozenset(wanted["input"])
    intake.outputs = frozenset(wanted["output"])
