"""Windows by rows and by time: nothing lost, nothing twice, whatever the clocks do."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.monitor.clocks import FakeClock

from trimtab.errors import InputError
from trimtab.monitor.windows import MAX_PANES, Pane, Panes, Window


def panes_of(window: Window, clock: FakeClock | None = None) -> Panes[list[int]]:
    """Panes whose content is a list of row numbers."""
    return Panes(window, new=list, merge=list.extend, clock=clock or FakeClock())


def feed(panes: Panes[list[int]], sizes: list[int]) -> list[Pane[list[int]]]:
    """Bring batches of rows, cut where panes end."""
    windows: list[Pane[list[int]]] = []
    row = 0
    for size in sizes:
        while size:
            room = panes.room
            part = size if room is None else min(size, room)
            panes.open.content.extend(range(row, row + part))
            windows += panes.add(part)
            row, size = row + part, size - part
    return windows


@settings(deadline=None)
@given(st.integers(1, 7), st.integers(1, 4), st.lists(st.integers(0, 40), max_size=20))
def test_windows_by_rows_slide_over_all_rows(
    pane: int, n_panes: int, sizes: list[int]
) -> None:
    panes = panes_of(Window(rows=pane * n_panes, n_panes=n_panes))
    windows = feed(panes, sizes)
    n_closed = sum(sizes) // pane
    assert len(windows) == max(n_closed - n_panes + 1, 0)
    for i, window in enumerate(windows):
        assert window.content == list(range(i * pane, (i + n_panes) * pane))
        assert window.n_rows == pane * n_panes
    assert panes.open.content == list(range(n_closed * pane, sum(sizes)))


steps = st.lists(st.tuples(st.floats(0, 35), st.integers(0, 3)), max_size=30)


@settings(deadline=None)
@given(steps, st.integers(1, 4))
def test_every_row_is_in_as_many_windows_of_time_as_there_are_panes(
    steps: list[tuple[float, int]], n_panes: int
) -> None:
    clock = FakeClock()
    panes = panes_of(Window(seconds=10.0 * n_panes, n_panes=n_panes), clock)
    windows: list[Pane[list[int]]] = []
    places: dict[int, int] = {}
    row = 0
    for seconds, n_rows in steps:
        clock.pass_(seconds)
        windows += panes.advance()
        for _ in range(n_rows):
            places[row] = int((clock.now_s - 100.0) // 10.0)
            panes.open.content.append(row)
            row += 1
        windows += panes.add(n_rows)
    clock.pass_(10.0 * n_panes + 1e-6)
    windows += panes.advance()
    seen = {i: [w.index for w in windows if i in w.content] for i in places}
    for i, place in places.items():
        # a window ends with each of the panes from its own to the n-th after it; the
        # first windows are complete only once there are as many panes
        first = max(place, n_panes - 1)
        assert seen[i] == list(range(first, place + n_panes))
    indices = [w.index for w in windows]
    assert indices == sorted(set(indices))


def test_a_wall_clock_that_jumps_loses_no_window() -> None:
    clock = FakeClock()
    panes = panes_of(Window(seconds=10.0), clock)
    windows = []
    for i, jump in enumerate([0, -3600, 86400, -1e9, 5, 7200]):
        clock.wall_s += jump
        panes.open.content.append(i)
        panes.add(1)
        clock.pass_(10.0)
        windows += panes.advance()
    assert [w.content for w in windows] == [[0], [1], [2], [3], [4], [5]]
    assert all(w.ended_s - w.started_s == pytest.approx(10.0) for w in windows)


def test_a_monotonic_clock_that_goes_back_is_held() -> None:
    clock = FakeClock()
    panes = panes_of(Window(seconds=10.0), clock)
    panes.open.content.append(1)
    panes.add(1)
    clock.pass_(9.0)
    panes.advance()
    clock.now_s -= 50.0
    assert panes.advance() == []
    clock.now_s += 52.0
    assert [w.content for w in panes.advance()] == [[1]]


def test_a_long_silence_costs_nothing() -> None:
    clock = FakeClock()
    panes = panes_of(Window(seconds=10.0, n_panes=10), clock)
    panes.open.content.append(1)
    panes.add(1)
    clock.pass_(1e9)
    windows = panes.advance()
    assert len(windows) <= 10
    assert panes.n_skipped > 1e8
    assert panes.open.index == 10**9


def test_late_rows_go_where_they_belong_or_nowhere() -> None:
    clock = FakeClock()
    panes = panes_of(Window(seconds=20.0, n_panes=2), clock)
    clock.pass_(10.5)
    panes.advance()
    assert panes.at(0.0) is panes.open
    late = panes.at(5.0)
    assert late is not None
    assert late.index == 0
    clock.pass_(10.0)
    panes.advance()
    assert panes.at(16.0) is None  # the only window with it is over


@pytest.mark.parametrize(
    ("given_", "window"),
    [
        (500, Window(rows=500)),
        ("30s", Window(seconds=30.0)),
        ("1.5h", Window(seconds=5400.0)),
        ("250ms", Window(seconds=0.25)),
        (timedelta(minutes=2), Window(seconds=120.0)),
    ],
)
def test_windows_are_taken_as_people_write_them(given_: object, window: Window) -> None:
    assert Window.of(given_) == window  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong",
    [0, -1, True, "5 parsecs", "", 1.5, None, "0s", timedelta(0)],
)
def test_what_is_no_window_is_refused(wrong: object) -> None:
    with pytest.raises(InputError):
        Window.of(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"rows": 10, "seconds": 1.0},
        {"rows": 10, "n_panes": 3},
        {"rows": 10, "n_panes": 0},
        {"seconds": 10.0, "n_panes": MAX_PANES + 1},
        {"seconds": float("nan")},
        {"seconds": float("inf")},
    ],
)
def test_windows_that_cannot_be_cut_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError):
        Window(**wrong)  # type: ignore[arg-type]
