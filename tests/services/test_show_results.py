from greenroom.live.show import ShowResult
from greenroom.services.show_results import link_faults, show_summary


def test_what_was_lost_is_told_and_what_was_not_is_not() -> None:
    clean = {"lost": 0, "duplicated": 0, "reordered": 0, "malformed": 0, "refused": 0}
    result = {
        "sinks": [
            {"url": "null:", "sent": 60, "failed": 0},
            {"url": "vmc://255.255.255.255:1", "sent": 0, "failed": 1300},
        ],
        "receivers": [
            {"url": "wav:a", "received": 5, **clean},
            {"url": "vmc://:1", "received": 1200, **clean, "lost": 3, "malformed": 1},
            {"url": "mvn://:1", "received": 0, **clean},
        ],
    }
    assert link_faults(result) == [
        "vmc://255.255.255.255:1: 1,300 of 1,300 were not sent",
        "vmc://:1: 1,200 received, 3 lost, 1 malformed",
        "mvn://:1: nothing was received",
    ]


def test_frames_that_were_performed_and_not_recorded_are_told() -> None:
    facts = {"frames": 90, "missed": 0, "late": 0, "rungs": {}, "sinks": [], "receivers": []}
    assert "not recorded" not in show_summary(ShowResult("0" * 64, {**facts, "unrecorded": 0}, {}))
    told = show_summary(ShowResult("0" * 64, {**facts, "unrecorded": 1140}, {}))
    assert "1,140 frames were performed and not recorded" in told
