"""The whole loop on a virtual clock: months of shows, nights, alerts, people and mishaps, from a seed.

Store, log, registry, requests, pipeline and workflow engine are those that are shipped; clock and disk
are replaced. Training, judging and watching are faked (`tests.simulation.fakes`): months of them
cannot be had in minutes, and what is tried here is what is done with them. A crash drops all that is in
memory in the middle of an operation, and the workspace is opened anew.

    python -m tests.simulation.simulator --seed 1 --days 30

A broken invariant is told with the seed and the event's number: the same two make it again.
"""

from __future__ import annotations

import argparse
import datetime
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from greenroom.clock import NS_PER_S, VirtualClock, utc_day
from greenroom.consent.gate import refusal_reason
from greenroom.contracts import CAUSES, Alert
from greenroom.errors import BadInput, CorruptObject, GreenroomError, Refused
from greenroom.monitoring.alerts import AlertOrigin, record_alert
from greenroom.monitoring.detectors.prevalence import SPIKE
from greenroom.registry import approval
from greenroom.registry.auto_approval import read_auto_approval
from greenroom.registry.promote import live_ref, promote, rollback
from greenroom.registry.release import load_release
from greenroom.registry.signing import revoke_key
from greenroom.retraining.requests import HELD, read_rules, request_run, runs
from greenroom.retraining.triggers import evaluate_triggers
from greenroom.retraining.workflow import run_pending
from greenroom.store.log import Moved
from greenroom.store.workspace import Workspace
from tests import examples
from tests.people import approve, set_policy
from tests.simulation import fakes
from tests.simulation.faulty_disk import Crash, Disk
from tests.simulation.invariants import Broken, check

ACTORS = ("mira", "noor")
PEOPLE = ("Ada", "Bob", "Cy")
_START = int(datetime.datetime(2026, 10, 1, 9, tzinfo=datetime.UTC).timestamp()) * NS_PER_S
_HOUR_NS = 3600 * NS_PER_S
_WEIGHTS = (6.0, 1.5, 1.0, 1.5, 0.5)
"""Of `fakes.QUALITIES`."""


_NORMS = (0.05, 0.1, 0.1, 0.1, 0.1, 0.2)
"""Of online updates: most keep the usual bound, some break any."""
_BOUNDS = {"norm": 0.15, "replay_loss": 0.02, "seconds": 60}
_TIGHT = ({"norm": 0.08}, {"replay_loss": 0.005}, {"seconds": 10})


class SettableClock(VirtualClock):
    """A virtual clock that can be set, as NTP and people do."""

    def jump(self, ns: int) -> None:
        """Set the time of day ahead or back; what is monotonic goes on."""
        self._offset += ns


class Simulator:
    """One world.

    Args:
        home: an empty folder.
        seed: of everything that happens.

    Attributes:
        event: the number of the one that happens.
        counts: what happened, how often.
    """

    def __init__(self, home: Path, seed: int) -> None:
        """Begin with two actors on stage."""
        self.home, self.seed, self.dice = home, seed, random.Random(seed)
        self.clock, self.disk = SettableClock(utc_ns=_START), Disk()
        self.event, self.checked_entries, self.takes = 0, 0, 0
        self.counts: Counter[str] = Counter()
        self.what = "the beginning"
        self.work = fakes.FakeWork(seed, _WEIGHTS, self._within, _NORMS, on_air=0.9)
        self.mishap = 0.15
        self.open()
        for actor in ACTORS:
            fakes.debut(self.workspace, actor, "Ada")
            self._policy(actor, "Ada")

    def open(self) -> None:
        """Open the workspace anew, as a process that has just begun."""
        self.workspace = Workspace(self.home, self.clock)

    def run(self, days: int) -> None:
        """Let so many days pass.

        Raises:
            Broken: an invariant does not hold; the sentence names seed and event.
        """
        events: dict[Callable[[], None], float] = {
            self.show: 3,
            self.alerts: 2,
            self.record: 4,
            self.ask: 1,
            self.update: 2,
            self.hand: 1,
            self.withdraw: 0.4,
            self.keys: 0.2,
            self.policies: 0.5,
            self.back: 0.5,
            self.set_clock: 0.5,
            self.fill: 0.3,
        }
        with self.disk.mounted():
            for _ in range(days):
                for _ in range(self.dice.randint(2, 6)):
                    (event,) = self.dice.choices(list(events), list(events.values()))
                    self.do(event)
                self.do(self.night)
            self.disk.full, self.mishap = False, 0.0
            self.do(self.night)
            self._end()

    def do(self, event: Callable[[], None]) -> None:
        """Let one thing happen, perhaps with a crash in it, and look whether all holds."""
        self.event += 1
        self.what = event.__name__
        self.counts[self.what] += 1
        self.clock.advance(self.dice.randint(60, 3 * 3600) * NS_PER_S)
        if self.dice.random() < self.mishap:
            self.disk.left, self.disk.torn = self.dice.randint(1, 30), self.dice.random() < 0.5
        try:
            self._tried(event)
            self.disk.left = -1
            fresh = Workspace(self.home, self.clock)
            self.checked_entries = check(fresh, self.checked_entries)
        except Exception as error:
            raise Broken(
                f"seed {self.seed}, event {self.event} ({self.what}): {error or repr(error)}"
            ) from error

    def _tried(self, event: Callable[[], None]) -> None:
        """Let it happen; people are refused, disks are full, and machines go off."""
        try:
            event()
        except Crash:
            self.counts["crash"] += 1
            self.open()
        except (Refused, BadInput, Moved):
            self.counts["refused"] += 1
        except (GreenroomError, OSError) as error:
            if not self.disk.full or isinstance(error, CorruptObject):
                raise
            self.counts["no room"] += 1

    def _within(self, step: str) -> None:
        """Something may happen within a step too: the machine goes off."""
        if self.dice.random() < self.mishap / 4:
            self.disk.off()

    def _actor(self) -> str:
        return self.dice.choice(ACTORS)

    def _someone(self) -> str:
        return self.dice.choice(PEOPLE)

    def show(self) -> None:
        """Perform what is on stage, or be refused; never anything else."""
        actor = self._actor()
        release = self.workspace.log.ref(live_ref(actor))
        load_release(self.workspace, str(release))
        show = examples.show(str(release), actor, seed=self.event)
        self.workspace.publish(show, by="stage")

    def alerts(self) -> None:
        """Raise a storm of alerts, of one cause, while others come in."""
        actor, cause = self._actor(), self.dice.choice((*CAUSES, "new style", "new style"))
        spike = cause == "new style" and self.dice.random() < 0.7
        signal = f"{SPIKE}glad" if spike else "style"
        for n in range(self.dice.choice((1, 3, 12))):
            alert = Alert(signal, cause, (), 3.0, 10 + n, 0, 0, 5)
            key = f"{self.event}.{n}"
            record_alert(
                self.workspace.log, alert, AlertOrigin(actor, key=key, source="chart"), by="charts"
            )
        self._attend()

    def _attend(self) -> None:
        self.counts["asked"] += len(evaluate_triggers(self.workspace, "watch"))

    def record(self) -> None:
        """Keep a few takes, with rights and without; some consents are over on the next day."""
        actor = self._actor()
        for _ in range(self.dice.randint(1, 3)):
            first, last = self.dice.choice((-30, -30, -30, 2)), self.dice.choice((2, 3, 10, 300))
            purposes = self.dice.choice((("train", "perform"), ("train",), ("perform",)))
            quarantined = self.dice.random() < 0.25
            self._take(actor, None if quarantined else self._agreed(first, last, *purposes))

    def _agreed(self, first: int, last: int, *purposes: str) -> dict[str, Any]:
        """Return rights from so many days after today until so many after it."""
        today = utc_day(self.clock.utc_ns())
        days = [(today + datetime.timedelta(n)).isoformat() for n in (first, last)]
        return fakes.rights(*days, *purposes)

    def _take(self, actor: str, agreed: dict[str, Any] | None) -> None:
        self.takes += 1
        fakes.take(self.workspace, actor, self.seed * 100_000 + self.takes, agreed)

    def night(self) -> None:
        """Pass the night; attend to alerts and schedules, and do the runs until none is open."""
        self.clock.advance(self.dice.randint(6, 12) * _HOUR_NS)
        self._tried(self._attend)
        for _ in range(20):
            self._tried(self._work)
            self.disk.full = False  # somebody saw to it
            if not [run for run in runs(Workspace(self.home).log) if not run.outcome]:
                return
            self.clock.advance(600 * NS_PER_S)
        raise Broken("a run does not end, however often it is gone on with")

    def _work(self) -> None:
        for run in run_pending(self.workspace, self.work):
            self.counts[f"online {run.outcome}" if run.job.get("online") else run.outcome] += 1

    def ask(self) -> None:
        """Somebody asks for a run."""
        request_run(self.workspace, self._actor(), "somebody asked", self._someone())

    def update(self) -> None:
        """Somebody wants what was just captured to be learned at once."""
        actor = self._actor()
        self._take(actor, self._agreed(0, self.dice.choice((0, 1, 30))))
        request_run(self.workspace, actor, "somebody asked", self._someone(), job={"online": True})

    def hand(self) -> None:
        """Somebody approves what is held, or any model, and promotes it."""
        actor = self._actor()
        held_runs = [run for run in runs(self.workspace.log, actor) if run.outcome == HELD]
        models = self.workspace.catalog.find("model", actor=actor)
        model = models[-1 if held_runs else self.dice.randrange(len(models))].object
        release = approve(self.workspace, model, self._someone())
        promote(self.workspace, actor, release, "stage")

    def withdraw(self) -> None:
        """Somebody revokes a release: any of them, the one on stage too."""
        actor = self._actor()
        releases = self.workspace.catalog.find("release", actor=actor)
        release = releases[self.dice.randrange(len(releases))].object
        approval.revoke(self.workspace, release, self._someone(), "it was not liked")

    def keys(self) -> None:
        """A key is revoked; its owner gets another when next signing, and signs the policies again."""
        owner = self._someone()
        revoke_key(self.workspace, owner, "Ada")
        if self.dice.random() < 0.7:
            for actor in ACTORS:
                self._policy(actor, owner)

    def policies(self) -> None:
        """Somebody signs other rules."""
        self._policy(self._actor(), self._someone())

    def _policy(self, actor: str, by: str) -> None:
        dice = self.dice
        until = utc_day(self.clock.utc_ns()) + datetime.timedelta(dice.choice((5, 40, 90)))
        standing: dict[str, Any] = {"until": until.isoformat(), "per_day": dice.randint(1, 4)}
        if dice.random() < 0.9:
            standing["kinds"] = ["retrain", "online"]
            standing["bounds"] = {**_BOUNDS, "in_a_row": dice.randint(1, 3)}
            if dice.random() < 0.3:
                standing["bounds"] |= dice.choice(_TIGHT)
        bounded = read_auto_approval(standing, "here") if dice.random() < 0.9 else None
        rules = {
            "causes": dice.sample(CAUSES[2:], 2),
            "cool_down_s": dice.choice((0, 3600, 86_400)),
            "per_day": dice.randint(1, 6),
            "freeze_after": dice.choice((0, 3, 5)),
            "nightly": dice.choice(("", "", "0 3 * * *", "30 2 * * 1-5")),
            "zone": dice.choice(("UTC", "Europe/Paris", "Asia/Tokyo", "America/New_York")),
        }
        gates = [fakes.GATE] if dice.random() < 0.9 else []
        learning = read_rules(rules, "here").manifest()
        set_policy(self.workspace, actor, by, gates=gates, auto_approval=bounded, learning=learning)

    def back(self) -> None:
        """Somebody rolls back."""
        rollback(self.workspace, self._actor(), self._someone())

    def set_clock(self) -> None:
        """The clock is set: by a little, by an hour, by days; ahead or back."""
        by = self.dice.choice((1, 30, 3600, 86_400, 20 * 86_400))
        self.clock.jump(self.dice.choice((-1, 1)) * by * NS_PER_S)

    def fill(self) -> None:
        """The disk is full until the next night."""
        self.disk.full = True

    def _end(self) -> None:
        """Count the consents that ended meanwhile, and hash everything once more."""
        day = utc_day(self.clock.utc_ns())
        for row in self.workspace.catalog.find("take"):
            reason = refusal_reason(self.workspace, row.object, "train", day)
            self.counts["consent over"] += "expired" in reason
        bad = Workspace(self.home, self.clock).fsck().bad
        if bad:
            raise Broken(f"seed {self.seed}, at the end: {bad[0].what} {bad[0].reason}")


def simulate(home: Path, seed: int, days: int) -> Counter[str]:
    """Let days pass in an empty folder; return what happened, how often.

    Args:
        home: the folder.
        seed: of everything that happens.
        days: that pass.

    Raises:
        Broken: an invariant does not hold.
    """
    world = Simulator(home, seed)
    world.run(days)
    return world.counts


def main(arguments: list[str] | None = None) -> int:
    """Simulate as the command line says; return the exit status."""
    parser = argparse.ArgumentParser(prog="tests.simulation.simulator", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--days", type=int, default=30)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        try:
            counts = simulate(Path(folder), options.seed, options.days)
        except Broken as error:
            print(error)
            return 1
    summary = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
    print(f"seed {options.seed}, {options.days} days: all holds ({summary})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
