"""One server for the shows of every process: which hub a viewer gets, and what of a show's past."""

import asyncio
import json
import os
import zlib
from pathlib import Path

from greenroom.observers.hub import Hub
from greenroom.observers.message_file import MessageFile, ShowHead, message_path
from greenroom.observers.relay import SILENT_S, ActorRelay, ShowHubs
from greenroom.store.workspace import Workspace


def message(kind: str, **fields: object) -> bytes:
    return json.dumps({"type": kind, **fields}).encode()


def test_who_names_nobody_follows_the_newest_show_and_others_stay() -> None:
    async def main() -> None:
        hubs = ShowHubs()
        nobody = hubs.hub_of("")
        waiting, of_mira = nobody.join(), hubs.hub_of("mira").join()
        hubs.begin("mira", message("hello", actor="mira"), [])
        assert await waiting.take() is None and waiting.dismissed
        assert await of_mira.take() is None and of_mira.dismissed
        assert hubs.hub_of("") is hubs.hub_of("mira") is not nobody
        viewer = hubs.hub_of("").join()
        assert json.loads(await viewer.take() or b"")["actor"] == "mira"
        hubs.begin("ada", message("hello", actor="ada"), [])
        assert await viewer.take() is None and viewer.dismissed
        assert hubs.hub_of("") is hubs.hub_of("ada") is not hubs.hub_of("mira")
        again = hubs.hub_of("ada").join()
        hubs.begin("ada", message("hello", actor="ada", show="second"), [])
        told = [json.loads(await again.take() or b"") for _ in range(1)]
        assert told[-1]["show"] == "second" and not again.dismissed  # the same hub: nobody moves
        assert hubs.hub_of("nobody") is nobody

    asyncio.run(main())


def test_a_show_that_left_nothing_but_messages_is_over(tmp_path: Path) -> None:
    """Its process was killed, and after a restart another one has its number."""

    async def main() -> dict[str, object]:
        hubs = ShowHubs()
        with MessageFile(message_path(tmp_path, "mira"), ShowHead("a", os.getpid(), ())) as file:
            file("hello", message("hello", actor="mira"))
            file.begin()
            relay = ActorRelay(Workspace(tmp_path), "mira", hubs)
            relay.step()
            assert relay.on
            relay._heard_s -= SILENT_S + 1
            relay.step()
        assert not relay.on
        viewer = hubs.hub_of("mira").join()
        told = [json.loads(await viewer.take() or b"") for _ in range(2)]
        return dict(told[-1])

    end = asyncio.run(main())
    assert (end["type"], end["show"], end["frames"]) == ("end", None, 0)


def test_the_past_of_a_show_is_history_and_not_news() -> None:
    async def main() -> list[dict[str, object]]:
        hub = Hub()
        viewer = hub.join()
        past = [("frame", message("frame", tick=tick)) for tick in range(100)]
        past.insert(50, ("swap", message("swap", tick=50)))
        hub.begin(message("hello"), past)
        lines = b"".join(zlib.decompress(batch) for batch in reversed(hub.history())).splitlines()
        assert [json.loads(line)["tick"] for line in lines] == list(range(100))
        return [json.loads(await viewer.take() or b"") for _ in range(3)]

    told = asyncio.run(main())
    assert [each["type"] for each in told] == ["hello", "swap", "frame"] and told[2]["tick"] == 99
