"""A show's messages in a file: who reads them, and which show they are of."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from greenroom.observers.message_file import (
    MessageFile,
    MessageReader,
    ShowHead,
    actors_with_messages,
    message_path,
)


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[[str], MessageFile]]:
    """Make the file of a show, and close it in the end."""
    with ExitStack() as stack:
        path = message_path(tmp_path, "mira")
        yield lambda show: stack.enter_context(MessageFile(path, head(show)))


Begin = Callable[[str], MessageFile]


def head(show: str) -> ShowHead:
    return ShowHead(show, 1, ((0, "walk", False),))


def test_messages_come_from_the_shows_first_frame_on(tmp_path: Path, begin: Begin) -> None:
    path = message_path(tmp_path, "mira")
    reader = MessageReader(path)
    assert reader.read().lines == []
    file = begin("a")
    file("hello", b"{1}")
    assert not path.exists() and actors_with_messages(tmp_path) == []
    file.begin()
    file.begin()
    batch = reader.read()
    assert (batch.head, batch.lines) == (head("a"), [b"{1}"])
    for kind in ("frame", "swap", "alert"):
        file(kind, kind.encode())
    assert reader.read().lines == [b"alert"]  # the ring has the other two
    assert reader.read().lines == []
    assert actors_with_messages(tmp_path) == ["mira"]


def test_a_show_that_is_refused_leaves_the_messages_of_the_other(
    tmp_path: Path, begin: Begin
) -> None:
    path = message_path(tmp_path, "mira")
    on, refused = begin("a"), begin("b")
    on.begin()
    refused("hello", b"{2}")
    refused.close()
    on("alert", b"{3}")
    batch = MessageReader(path).read()
    assert (batch.head, batch.lines) == (head("a"), [b"{3}"])


def test_the_next_show_takes_the_files_place(tmp_path: Path, begin: Begin) -> None:
    path = message_path(tmp_path, "mira")
    reader = MessageReader(path)
    first = begin("a")
    first.begin()
    assert reader.read().head == head("a")
    first("end", b"{end}")
    second = begin("b")
    second("hello", b"{hello}")
    second.begin()
    batch = reader.read()
    assert (batch.head, batch.lines) == (head("b"), [b"{hello}"])


def test_half_a_line_waits_for_its_end(tmp_path: Path, begin: Begin) -> None:
    path = message_path(tmp_path, "mira")
    begin("a").begin()
    reader = MessageReader(path)
    reader.read()
    with open(path, "ab") as file:
        file.write(b'{"ty')
        file.flush()
        assert reader.read().lines == []
        file.write(b'pe"}\n')
    assert reader.read().lines == [b'{"type"}']


def test_an_avatar_is_named_before_the_show_begins(tmp_path: Path, begin: Begin) -> None:
    path = message_path(tmp_path, "mira")
    file = begin("a")
    file.name_avatar(tmp_path / "me.vrm")
    file.begin()
    found = MessageReader(path).read().head
    assert found is not None and found.avatar == str((tmp_path / "me.vrm").resolve())
