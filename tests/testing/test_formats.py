"""The suite for formats names what a faulty reader does wrong."""

import pytest

from greenroom.capture.formats.wav import write_wav
from greenroom.capture.readers import AudioReader, Original, Recording
from greenroom.testing import check_format
from greenroom.testing.live import _frame

TONE = write_wav(_frame(0).face)


class Undescribed(AudioReader):
    """A sound."""


class Greedy(AudioReader):
    """source → ours: everything."""

    def sniff(self, head, path):
        return True


class Crashing(AudioReader):
    """source → ours: nothing."""

    def read(self, data, where, mapping):
        if data != TONE:
            raise IndexError("list index out of range")
        return super().read(data, where, mapping)


class Altering(AudioReader):
    """source → ours: other bytes."""

    def read(self, data, where, mapping):
        recording = super().read(data, where, mapping)
        original = Original(self.name, where, data + b" ")
        return Recording({"audio": original}, recording.seconds, audio=recording.audio)


class Idle(AudioReader):
    """source → ours: nothing is read."""

    def read(self, data, where, mapping):
        return None


@pytest.mark.parametrize(
    ("reader", "sentence"),
    [
        (Idle(), "which is no Recording"),
        (Undescribed(), "source → ours"),
        (Greedy(), "sniff claims"),
        (Crashing(), "it must raise BadInput"),
        (Altering(), "has other bytes than the file"),
    ],
    ids=lambda each: type(each).__name__,
)
def test_a_faulty_reader_is_named(reader, sentence):
    with pytest.raises(AssertionError, match=sentence):
        check_format(reader, TONE)
