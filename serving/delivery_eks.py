"""Steps that bring a model version to life on the cluster, where the replicas do what the table says.

    prepare    the version as the candidate of all replicas, and a message that starts one where none runs
    attempt    whether every replica has loaded it and got its golden requests right, fast enough
    shift      a share of the requests to it
    watch      what it answered, by the replicas' own counts
    promote    all requests to it, once every replica says so
    roll_back  no candidate, and the version that was live before

Each step reads the row, and writes it only where nobody else did since: who was overtaken changes nothing.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from serving.delivery import Candidate
from serving.errors import DeliveryRefused
from serving.metrics import BUCKETS
from serving.rollout import LOOK_S, Report, Rollouts, Wanted

# Within this every replica has heard of a candidate; who has said nothing before may be there all the same.
_HEARD_S = LOOK_S + 1
# With a candidate a replica speaks every ten seconds; who is silent for longer has gone, unless it loads.
_SILENT_S, _LOADING_S = 30, 900
# How long a step waits for replicas before the machine asks it again.
_WAIT_S, _ASK_S = 60, 0.5


class ReplicasAwaited(Exception):
    """Replicas are being started, or are loading; ask again."""


class EksTarget:
    """The replicas of one model. `wake`: puts the message into the model's queue that starts a first one."""

    def __init__(self, rollouts: Rollouts, model: str, delivery: str, wake: Callable[[], object]) -> None:
        self._rollouts, self._model, self._delivery, self._wake = rollouts, model, delivery, wake

    def prepare(self, candidate: Candidate) -> Mapping[str, Any]:
        """Have the replicas load the candidate, unless it is live already; all have heard of it then."""
        before = self._rollouts.wanted(self._model)
        live = before.version if before else ""
        found = {"previous": live or "none", "unchanged": live == candidate.version}
        if live != candidate.version:
            if before is None or (before.candidate, before.delivery) != (candidate.version, self._delivery):
                self._want(Wanted(version=live, candidate=candidate.version, delivery=self._delivery), before)
            self._wake()
            time.sleep(_HEARD_S)
        return found

    def attempt(self, candidate: Candidate) -> None:
        """Wait for replicas. Raises DeliveryRefused with what one found, ReplicasAwaited while one loads."""

        def ready() -> bool:
            reports = self._heard(candidate)
            return bool(reports) and all(report.state == "ready" for report in reports)

        self._wait(ready, f"replicas of {self._model} to load {candidate.version}")

    def shift(self, candidate: Candidate, share: float) -> None:
        """Send a share (0 to 1) of the requests to the candidate, and wait until every replica does."""
        wanted = self._own(candidate)
        if wanted.share != share:
            self._want(replace(wanted, share=share), wanted)

        def shifted() -> bool:
            return all(report.share == share for report in self._heard(candidate) if report.state == "ready")

        self._wait(shifted, f"replicas of {self._model} to send requests to {candidate.version}")

    def measured(self, candidate: Candidate) -> Mapping[str, float]:
        """Requests, faults and p99 (ms) of the candidate; p99 is the upper end of its bucket."""
        reports = self._heard(candidate)
        latencies = [
            sum(counts) for counts in zip(*(r.latencies for r in reports if r.latencies), strict=True)
        ]
        found = {
            "requests": float(sum(report.requests for report in reports)),
            "faults": float(sum(report.faults for report in reports)),
        }
        seen = 0
        for bound, count in zip((*BUCKETS, float("inf")), latencies, strict=False):
            seen += count
            if seen and seen >= 0.99 * sum(latencies):
                return found | {"p99": bound * 1e3}
        return found

    def promote(self, candidate: Candidate) -> None:
        """Send all requests to the candidate, and wait until no replica serves another version."""
        wanted = self._rollouts.wanted(self._model)
        if wanted is None or wanted.version != candidate.version:
            wanted = self._own(candidate)
            self._want(Wanted(version=candidate.version, delivery=self._delivery), wanted)

        def serves() -> bool:
            reports = self._fresh()
            for report in reports:
                if report.state == "refused" and not report.candidate:
                    raise DeliveryRefused(f"{report.replica} stays at {report.version}: {report.reason}")
            return all(report.version == candidate.version for report in reports if report.version)

        self._wait(serves, f"replicas of {self._model} to serve {candidate.version}")

    def roll_back(self, previous: str | None) -> str:
        """Take the candidate away, bring back what was live before this delivery, and say which serves.

        It is done once no replica gives requests to what was taken away.

        `previous`: None where it is not known: what is live stays, and there is no way that it is half so.
        """
        live = self._undo(previous)

        def undone(report: Report) -> bool:
            # Who cannot load the one before has said so and stays where it is; waiting would not help.
            back = report.version in ("", live) or report.state == "refused"
            return not report.share and (back or live == "none")

        self._wait(lambda: all(map(undone, self._fresh())), f"replicas of {self._model} to go back to {live}")
        return live

    def _undo(self, previous: str | None) -> str:
        """Write the row that `roll_back` waits for; the version that it says, or `none`."""
        while True:
            wanted = self._rollouts.wanted(self._model)
            if wanted is None:
                return "none"
            moved = previous is not None and wanted.delivery == self._delivery
            live = (previous or "") if moved else wanted.version
            live = "" if live == "none" else live
            before = replace(wanted, version=live, candidate="", share=0.0)
            if self._rollouts.want(self._model, before, wanted):
                return live or "none"

    def _own(self, candidate: Candidate) -> Wanted:
        wanted = self._rollouts.wanted(self._model)
        if wanted is None or (wanted.candidate, wanted.delivery) != (candidate.version, self._delivery):
            raise DeliveryRefused(f"{candidate.version} is no longer the candidate of {self._model}")
        return wanted

    def _want(self, wanted: Wanted, before: Wanted | None) -> None:
        if not self._rollouts.want(self._model, wanted, before):
            raise DeliveryRefused(f"somebody else moved {self._model} meanwhile; deliver again")

    def _fresh(self) -> list[Report]:
        """What replicas say that are there and have heard of this delivery."""
        now = time.time()
        return [
            report
            for report in self._rollouts.reports(self._model)
            if report.delivery == self._delivery
            and now - report.at < (_LOADING_S if report.state == "loading" else _SILENT_S)
        ]

    def _heard(self, candidate: Candidate) -> list[Report]:
        """What they say of the candidate. Raises DeliveryRefused where one has found a fault with it."""
        reports = [report for report in self._fresh() if report.candidate == candidate.version]
        for report in reports:
            if fault := _fault(report, candidate):
                raise DeliveryRefused(
                    f"{self._model} {candidate.version} on replica {report.replica}: {fault}"
                )
        return reports

    def _wait(self, done: Callable[[], bool], what: str) -> None:
        until = time.monotonic() + _WAIT_S
        while not done():
            if time.monotonic() > until:
                raise ReplicasAwaited(f"waiting for {what}")
            time.sleep(_ASK_S)


def _fault(report: Report, candidate: Candidate) -> str:
    """Why a replica does not serve the candidate rightly; empty when it does, or still loads it."""
    if report.state == "refused":
        return report.reason
    if report.state != "ready":
        return ""
    if report.digest != candidate.digest:
        return f"it loaded {report.digest[:12]}, and {candidate.digest[:12]} was tried"
    if report.golden != candidate.golden:
        return "not every golden request was run"
    if report.slowest_ms > candidate.p99_ms:
        return (
            f"a golden request takes {report.slowest_ms:.0f} ms at its best, and the objective is "
            f"{candidate.p99_ms:.0f} ms"
        )
    return ""
