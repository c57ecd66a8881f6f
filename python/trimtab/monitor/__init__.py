"""How a deployed model is doing: sketches of traffic, drift, alerts, live metrics.

The way of a row, one file a station:

- `schema` decides which tensors are tables, and of what kind; `descriptors` turns
  pictures, sound and tokens into columns; `binning` and `table` count them in bins;
  `collect` and `reference` keep what the training data gave, `inner` the embedding.
- `attach` and `feed` are the seam to a `Deployment`: tables of columns are counted in
  C (`_core.Program.watch`), of other calls `intake` takes copies of rows within the
  budget of `sampling`. `Monitor.observe` is the way without a deployment (`naming`,
  `columns`).
- `tally` holds the sketches of a pane, `windows` cuts and merges panes, `live` joins
  both and `judge` compares a window with the reference (`drift.detect`). What fails on
  the way is counted by `troubles`.
- `monitor` hands results on: `alert` (has ``update(result)``, ``active``), `sinks`
  (have ``write(record)``), `joined` (a store of labels: ``predicted(id, row, time)``,
  ``label(id, y, time)``, ``metrics()``, ``counts``), `report`. `snapshot` brings what
  a process counted to another; `worker` is the thread, and what a fork does.

Detectors, sinks and reports read `FeatureSketch` and plain dicts, nothing else of this.
"""

from __future__ import annotations

from trimtab.monitor.feature import FeatureSketch

__all__ = ["FeatureSketch"]
