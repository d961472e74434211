from greenroom.services.show_results import link_faults


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
