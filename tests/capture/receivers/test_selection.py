import numpy as np
import pytest

from greenroom.capture.receivers import open_receiver, try_receiver
from greenroom.errors import BadInput
from greenroom.frames import BONE
from tests.capture.receivers.senders import Line, free_port
from tests.capture.receivers.test_vmc import pose


@pytest.mark.parametrize(
    ("use", "body", "root", "face"),
    [
        ("body", True, False, False),
        ("root", False, True, False),
        ("face", False, False, True),
        ("body,root", True, True, False),
        ("root,body,face,voice", True, True, True),
    ],
)
def test_only_what_is_used_is_given(use: str, body: bool, root: bool, face: bool) -> None:
    line = Line("vmc", f"?use={use}")
    line.send(*pose())
    got = line.poll()
    has_body = got.body is not None and got.body.validity[BONE["head"]] > 0
    has_root = got.body is not None and bool(np.isfinite(got.body.root).all())
    assert (has_body, has_root, got.face is not None) == (body, root, face)
    assert line.report["url"] == line.url
    line.close()


def test_what_no_source_gives_is_bad_input() -> None:
    with pytest.raises(BadInput, match="'legs' is nothing that a source gives"):
        open_receiver("vmc://:39540?use=legs", None)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="it gives no voice; it gives: face"):
        try_receiver(f"livelink://:{free_port()}?use=voice", None)  # type: ignore[arg-type]
