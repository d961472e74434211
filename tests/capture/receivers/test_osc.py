import pytest
from hypothesis import given
from hypothesis import strategies as st
from pythonosc.osc_message_builder import OscMessageBuilder

from greenroom.capture.receivers.osc import DEEPEST, parse_osc
from tests.capture.receivers.senders import bundle

ARGUMENTS = st.lists(
    st.one_of(
        st.integers(-(2**31), 2**31 - 1),
        st.floats(width=32, allow_nan=False),
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
        st.binary(min_size=1),
        st.booleans(),
    ),
    max_size=12,
)


@given(ARGUMENTS)
def test_what_python_osc_builds_is_read_as_it_was(arguments: list[object]) -> None:
    message = OscMessageBuilder("/a/b")
    for argument in arguments:
        message.add_arg(argument)
    [(address, parsed)] = parse_osc(message.build().dgram)
    assert (address, parsed) == ("/a/b", arguments)


def test_a_bundle_in_a_bundle_is_opened() -> None:
    inner = bundle(("/a", [1]), ("/b", ["x", 0.5]))
    outer = b"#bundle\0" + bytes(8) + len(inner).to_bytes(4, "big") + inner
    assert parse_osc(outer) == [("/a", [1]), ("/b", ["x", 0.5])]


def test_bundles_without_an_end_are_refused() -> None:
    data = b"/a\0\0,\0\0\0"
    for _ in range(DEEPEST + 1):
        data = b"#bundle\0" + bytes(8) + len(data).to_bytes(4, "big") + data
    with pytest.raises(ValueError, match="too deep"):
        parse_osc(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_value_error_or_messages(data: bytes) -> None:
    for start in (b"", b"#bundle\0", b"/VMC/Ext/Bone/Pos\0\0\0,sfffffff\0\0\0"):
        try:
            parse_osc(start + data)
        except ValueError:
            pass


@pytest.mark.parametrize("length", range(1, 40))
def test_a_packet_cut_short_is_a_value_error(length: int) -> None:
    data = bundle(("/VMC/Ext/Bone/Pos", ["Hips", 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0]))
    with pytest.raises(ValueError):
        parse_osc(data[:-length])
