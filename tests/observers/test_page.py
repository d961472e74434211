"""What the page is told of a frame: gaps of the show, and what an operator has ordered."""

import asyncio
import json
from typing import Any

import numpy as np

from greenroom.live.control import CUT, HELD
from greenroom.live.ring import slot_type
from greenroom.observers.hub import Hub
from greenroom.observers.page import PageObserver
from tests.live.stand_in import SHAPE


def messages(rows: list[tuple[int, int, int]]) -> list[dict[str, Any]]:
    """Return what is published of rows (tick, number, control)."""

    async def main() -> list[dict[str, Any]]:
        hub = Hub()
        observer = PageObserver(hub, ((0, "walk", False),))
        viewer = hub.join()
        told = []
        for tick, number, control in rows:
            row = np.zeros((), dtype=slot_type(SHAPE))
            row["tick"], row["seq"], row["control"] = tick, number, control
            observer.frame(row, {})
            told.append(json.loads(await viewer.take() or b""))
        return told

    return asyncio.run(main())


def test_missed_ticks_are_counted_and_rows_that_were_lost_on_the_way_are_not() -> None:
    told = messages([(0, 0, 0), (5, 1, 0), (6, 2, 0), (9, 5, 0), (20, 10, 0)])
    assert [message["missed"] for message in told] == [0, 4, 4, 4, 10]
    assert [message["frames"] for message in told] == [1, 2, 3, 4, 5]


def test_who_looks_on_from_the_middle_knows_what_was_missed_before() -> None:
    assert messages([(100, 90, 0)])[0]["missed"] == 10


def test_acts_in_force_are_told() -> None:
    told = messages([(0, 0, 0), (1, 1, HELD), (2, 2, HELD | CUT)])
    assert [message["control"] for message in told] == [[], ["hold"], ["hold", "cut"]]
