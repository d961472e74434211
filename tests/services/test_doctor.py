"""Go only where a show can be given; each no says what to do."""

import errno
import json
import os
import re
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from greenroom import embedded
from greenroom.capture.receivers import open_receiver
from greenroom.cli import main
from greenroom.errors import BadInput
from greenroom.registry.promote import live_release
from greenroom.registry.release import load_release
from greenroom.services import doctor
from greenroom.services.doctor import Check, Diagnosis, DoctorRequest, examine, lines_of
from greenroom.store.workspace import Workspace
from tests.capture.receivers.senders import free_port


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("home"))
    embedded.install(workspace)
    return workspace


def named(diagnosis: Diagnosis, name: str) -> Check:
    [check] = [check for check in diagnosis.checks if check.name == name]
    return check


def test_each_check_is_made_once_and_a_no_says_what_to_do(workspace: Workspace) -> None:
    names: list[str] = []
    diagnosis = examine(workspace, DoctorRequest("mira"), names.append)
    assert names == [check.name for check in diagnosis.checks]
    wanted = {"release", "model", "shared memory", "disk", "pace", "priority", "clock"}
    assert wanted <= set(names)
    assert diagnosis.go == all(check.ok for check in diagnosis.checks)
    for check in diagnosis.checks:
        assert check.ok or check.then, check
        assert check.value


def test_an_actor_without_a_release_is_a_no(workspace: Workspace) -> None:
    diagnosis = examine(workspace, DoctorRequest("nobody"))
    release = named(diagnosis, "release")
    assert not release.ok and release.then and not diagnosis.go
    assert "model" not in [check.name for check in diagnosis.checks]


def test_a_disk_that_is_too_small_for_the_evening_is_a_no(workspace: Workspace) -> None:
    check = named(examine(workspace, DoctorRequest("mira", hours=1e6)), "disk")
    assert not check.ok and "free some disk" in check.then and "1e+06 h" in check.limit


def test_a_slow_model_is_a_no(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "MODEL_MS", 0.0)
    assert not named(examine(workspace, DoctorRequest("mira")), "model").ok


def test_real_time_priority_is_asked_for_and_given_back() -> None:
    before = os.sched_getscheduler(0)
    check = doctor._priority()
    assert os.sched_getscheduler(0) == before
    assert check.ok or "setcap" in check.then


def test_a_page_port_in_use_is_a_no(workspace: Workspace) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        url = f"ws://127.0.0.1:{other.getsockname()[1]}"
        check = named(examine(workspace, DoctorRequest("mira", outputs=[url])), url)
    assert not check.ok and "choose another port" in check.then


def test_what_another_program_hears_is_not_taken_from_it(workspace: Workspace) -> None:
    url = f"vmc://127.0.0.1:{free_port()}"
    running: Any = open_receiver(url, workspace)
    running.poll(0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        request = DoctorRequest("mira", inputs=[url], listen_s=0.1)
        check = named(examine(workspace, request), url)
        assert not check.ok and "in use" in check.value and check.then
        sender.sendto(b"anything", ("127.0.0.1", running.port.address.port))
    running.poll(1)
    assert running.reports()[0]["received"] == 1
    running.close()


def test_inputs_are_not_tried_while_a_show_of_the_actor_is_on(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "find_show", lambda home, actor: object())
    monkeypatch.setattr(doctor, "open_receiver", None)
    check = doctor._sender(
        workspace, DoctorRequest("mira", inputs=["vmc://:39540"]), "vmc://:39540"
    )
    assert not check.ok and "a show of mira is on" in check.value and check.then


def test_a_sender_is_counted_by_the_polls_in_which_it_is_heard(
    workspace: Workspace, tmp_path: Path
) -> None:
    port = free_port()
    url = f"vmc://0.0.0.0:{port}"
    request = DoctorRequest("mira", listen_s=0.1, allow=["127.0.0.1"])
    check = doctor._sender(workspace, request, url)
    assert not check.ok and re.fullmatch(r"heard in 0 of \d+ polls", check.value)
    with pytest.raises(BadInput, match="nobody said which may send"):
        doctor._sender(workspace, DoctorRequest("mira"), url)
    soundfile.write(tmp_path / "a.wav", np.zeros(24_000), 24_000)
    check = doctor._sender(workspace, request, f"wav:{tmp_path / 'a.wav'}")
    assert check.ok and check.limit == "1 poll"


def test_shared_memory_is_really_allocated(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    release = load_release(workspace, live_release(workspace, "mira"))
    assert doctor._shared_memory(release).ok
    monkeypatch.setattr(os, "posix_fallocate", full)
    check = doctor._shared_memory(release)
    assert not check.ok and "No space left" in check.value and "remount" in check.then


def test_a_screen_is_read_at_a_glance() -> None:
    checks = [
        Check("disk", True, "9 GB free", "1 GB"),
        Check("pace", False, "9 ms", "5 ms", "stop"),
    ]
    text = list(lines_of(Diagnosis(False, checks)))
    assert text[0].startswith("ok  disk") and text[1].startswith("NO  pace")
    assert "→ stop" in text[2] and text[-1].startswith("NO-GO")
    assert list(lines_of(Diagnosis(True, checks[:1])))[-1] == "GO"


def test_the_command_ends_with_one_where_it_is_no_go(workspace: Workspace, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        main, ["--home", str(workspace.home), "doctor", "nobody", "--json"], standalone_mode=True
    )
    answer = json.loads(result.stdout)
    assert result.exit_code == 1 and answer["go"] is False
    assert set(answer["checks"][0]) == {"name", "ok", "value", "limit", "then"}
