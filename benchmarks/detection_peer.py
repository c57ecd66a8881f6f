"""What evidently or nannyml say of streams, by their defaults; runs in their venv.

``python detection_peer.py evidently|nannyml FILE.npz`` reads arrays that
`bench_detection` wrote and prints a line of JSON: for each stream and window, the
number of columns that drift and whether the whole does, and the seconds it took.
"""

from __future__ import annotations

import json
import sys
import time
import warnings

import numpy as np
import pandas as pd

warnings.filterwarnings("ignore")


def frames(stream: dict, rows: np.ndarray) -> pd.DataFrame:
    """Rows as a table; categories as texts."""
    frame = pd.DataFrame(rows, columns=stream["names"])
    for name in stream["categorical"]:
        frame[name] = frame[name].astype(int).astype(str)
    return frame


def evidently(stream: dict, reference: np.ndarray, rows: np.ndarray, size: int) -> list:
    """A report with DataDriftPreset for each window."""
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    numbers = [n for n in stream["names"] if n not in stream["categorical"]]
    definition = DataDefinition(
        numerical_columns=numbers, categorical_columns=stream["categorical"]
    )
    before = Dataset.from_pandas(frames(stream, reference), definition)
    found = []
    for start in range(0, len(rows), size):
        now = Dataset.from_pandas(
            frames(stream, rows[start : start + size]), definition
        )
        result = Report([DataDriftPreset()]).run(now, before).dict()
        count = next(
            metric["value"]
            for metric in result["metrics"]
            if "DriftedColumnsCount" in str(metric.get("metric_name", metric))
        )
        found.append([int(count["count"]), bool(count["share"] >= 0.5)])
    return found


def nannyml(stream: dict, reference: np.ndarray, rows: np.ndarray, size: int) -> list:
    """UnivariateDriftCalculator with its methods and thresholds."""
    import nannyml as nml

    calculator = nml.UnivariateDriftCalculator(
        column_names=stream["names"], chunk_size=size
    )
    calculator.fit(frames(stream, reference))
    result = calculator.calculate(frames(stream, rows)).filter(period="analysis")
    table = result.to_df()
    alerts = table.loc[:, [c for c in table.columns if c[-1] == "alert"]]
    counts = alerts.fillna(False).astype(bool).to_numpy().sum(1)
    return [[int(n), bool(n >= len(stream["names"]) / 2)] for n in counts]


PEERS = {"evidently": evidently, "nannyml": nannyml}


def main() -> None:
    """Run the peer over all streams."""
    peer, path = sys.argv[1:3]
    arrays = np.load(path)
    about = json.loads(str(arrays["about"]))
    found, start = {}, time.perf_counter()
    for i, stream in enumerate(about["streams"]):
        reference, rows = arrays[f"reference{i}"], arrays[f"rows{i}"]
        found[stream["name"]] = PEERS[peer](stream, reference, rows, about["size"])
    seconds = time.perf_counter() - start
    print("RESULT", json.dumps({"found": found, "seconds": seconds}))


if __name__ == "__main__":
    main()
