"""A replica and a delivery that speak through the table, here in memory: what is served at every moment."""

import time
from dataclasses import replace
from typing import Any

import pytest

from serving import delivery_eks
from serving.delivery import Candidate
from serving.delivery_eks import EksTarget, ReplicasAwaited
from serving.errors import DeliveryRefused, ModelNotFound, ModelUnavailable
from serving.golden import decode
from serving.replica import RolledModel, tried_in_a_process
from serving.rollout import LOOK_S, Report, Wanted
from serving.runtime import Model
from tests.serving.conftest import scale_manifest, scale_model

FACTORS = {"v1": 2.0, "v2": 3.0, "v3": 4.0}


class Table:
    """The rows of one model."""

    def __init__(self) -> None:
        self.row: Wanted | None = None
        self.said: dict[str, Report] = {}
        self.away = False

    def wanted(self, model: str) -> Wanted | None:
        if self.away:
            raise ConnectionError
        return self.row

    def want(self, model: str, wanted: Wanted, before: Wanted | None) -> bool:
        if (before.revision if before else 0) != (self.row.revision if self.row else 0):
            return False
        self.row = replace(wanted, revision=(before.revision if before else 0) + 1)
        return True

    def give(self, share: float) -> None:
        """Let the candidate have this share of the requests, as the machine does."""
        self.row = replace(self.row or Wanted(), share=share)

    def report(self, model: str, report: Report) -> None:
        self.said[report.replica] = report

    def last_report(self, model: str, replica: str) -> Report | None:
        return self.said.get(replica)

    def reports(self, model: str) -> list[Report]:
        return list(self.said.values())


def model(version: str) -> Model:
    if version not in FACTORS:
        raise ModelUnavailable(f"no {version}")
    data = scale_model(FACTORS[version])
    return Model(scale_manifest(data, version, FACTORS[version]), data)


def found(version: str) -> dict[str, Any]:
    if version == "v3":
        return {"refused": "its process ends with -11"}
    return {"digest": candidate(version).digest, "golden": 1, "slowest_ms": 1.0}


def candidate(version: str, **changes: Any) -> Candidate:
    manifest = scale_manifest(scale_model(FACTORS.get(version, 1.0)), version)
    known = Candidate("d1", "scale", version, manifest.sha256, golden=1, p99_ms=100)
    return replace(known, **changes)


@pytest.fixture
def table() -> Table:
    return Table()


@pytest.fixture
def woken() -> list[int]:
    return []


@pytest.fixture
def target(table: Table, woken: list[int], monkeypatch: pytest.MonkeyPatch) -> EksTarget:
    monkeypatch.setattr(delivery_eks, "_WAIT_S", 0)
    monkeypatch.setattr(delivery_eks, "_ASK_S", 0)
    monkeypatch.setattr(delivery_eks, "_HEARD_S", 0)
    return EksTarget(table, "scale", "d1", lambda: woken.append(1))  # type: ignore[arg-type]


def replica(table: Table, name: str = "a") -> RolledModel:
    made = RolledModel("scale", "v1", table, model, found, name)  # type: ignore[arg-type]
    made.load()
    return made


def versions(replica: RolledModel, times: int = 400) -> dict[str, int]:
    """How often which version is given to a request that names none."""
    given = [replica.get("scale", None).manifest.version for _ in range(times)]
    return {version: given.count(version) for version in sorted(set(given))}


def test_a_delivery_from_the_catalogues_version_to_the_next(table: Table, target: EksTarget) -> None:
    one, two = replica(table), replica(table, "b")
    assert versions(one) == {"v1": 400}
    assert target.prepare(candidate("v2")) == {"previous": "none", "unchanged": False}
    with pytest.raises(ReplicasAwaited):
        target.attempt(candidate("v2"))
    one.load()
    target.attempt(candidate("v2"))
    two.load()
    target.attempt(candidate("v2"))
    assert versions(one) == {"v1": 400}
    with pytest.raises(ReplicasAwaited):
        target.shift(candidate("v2"), 0.1)
    one.load()
    two.load()
    target.shift(candidate("v2"), 0.1)
    shared = versions(one)
    assert 0 < shared["v2"] < 100
    with pytest.raises(ReplicasAwaited):
        target.promote(candidate("v2"))
    one.load()
    two.load()
    target.promote(candidate("v2"))
    assert versions(one) == versions(two) == {"v2": 400}
    assert table.row == Wanted(version="v2", delivery="d1", revision=3)
    assert versions(replica(table, "late")) == {"v2": 400}
    assert target.prepare(candidate("v2"))["unchanged"] is True


def test_what_one_replica_refuses_is_refused_and_nobody_asks_it(table: Table, target: EksTarget) -> None:
    one = replica(table)
    target.prepare(candidate("v3"))
    one.load()
    with pytest.raises(DeliveryRefused, match="on replica a: its process ends with -11"):
        target.attempt(candidate("v3"))
    assert target.roll_back("none") == "none"
    one.load()
    assert versions(one) == {"v1": 400}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"digest": "0" * 64}, "and 000000000000 was tried"),
        ({"golden": 2}, "not every golden request was run"),
        ({"p99_ms": 0.5}, "takes 1 ms at its best, and the objective is 0 ms"),
    ],
)
def test_a_candidate_that_is_not_what_was_tried_is_refused(
    table: Table, target: EksTarget, changes: dict[str, Any], reason: str
) -> None:
    one = replica(table)
    target.prepare(candidate("v2"))
    one.load()
    with pytest.raises(DeliveryRefused, match=reason):
        target.attempt(candidate("v2", **changes))


def test_the_candidates_requests_are_counted_and_the_live_ones_are_not(
    table: Table, target: EksTarget
) -> None:
    one = replica(table)
    target.prepare(candidate("v2"))
    one.load()
    table.give(1.0)
    one.load()
    asked = one.get("scale", None)
    request, _ = decode(asked.manifest.golden[0], asked.manifest.signature)
    for _ in range(3):
        asked.infer(request)
    one.load()
    measured = target.measured(candidate("v2"))
    assert (measured["requests"], measured["faults"]) == (3, 0)
    assert measured["p99"] > 0


def test_a_rollback_has_ended_once_no_replica_gives_requests_to_the_candidate(
    table: Table, target: EksTarget
) -> None:
    one = replica(table)
    target.prepare(candidate("v2"))
    one.load()
    table.give(0.5)
    one.load()
    assert versions(one).keys() == {"v1", "v2"}
    with pytest.raises(ReplicasAwaited, match="to go back to"):
        target.roll_back("none")
    one.load()
    assert target.roll_back("none") == "none"
    assert versions(one) == {"v1": 400}


def test_a_replica_that_hears_last_is_waited_for(
    table: Table, target: EksTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = replica(table), replica(table, "b")
    monkeypatch.setattr(delivery_eks, "_HEARD_S", LOOK_S)

    def sleep(seconds: float) -> None:
        if seconds >= LOOK_S:  # each looks once in that time
            two.load()

    monkeypatch.setattr(time, "sleep", sleep)
    target = EksTarget(table, "scale", "d1", one.load)  # type: ignore[arg-type]
    target.prepare(candidate("v2"))
    target.attempt(candidate("v2"))
    with pytest.raises(ReplicasAwaited):
        target.promote(candidate("v2"))
    one.load()
    with pytest.raises(ReplicasAwaited):
        target.promote(candidate("v2"))
    two.load()
    target.promote(candidate("v2"))
    assert versions(one) == versions(two) == {"v2": 400}


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_candidate_that_ended_its_server_is_refused_and_not_loaded_again(
    table: Table, target: EksTarget, share: float
) -> None:
    target.prepare(candidate("v2"))
    table.give(share)
    replica(table)
    again = replica(table)  # the container, started anew
    assert versions(again) == {"v1": 400}
    with pytest.raises(DeliveryRefused, match="on replica a: the server that had loaded it ended"):
        target.measured(candidate("v2"))
    table.row = Wanted(candidate="v2", delivery="d2", revision=2)
    again.load()
    EksTarget(table, "scale", "d2", lambda: None).attempt(candidate("v2"))  # type: ignore[arg-type]


def test_rolled_back_after_the_requests_had_moved(table: Table, target: EksTarget) -> None:
    one = replica(table)
    for version in ("v1", "v2"):
        step = EksTarget(table, "scale", f"to-{version}", lambda: None)  # type: ignore[arg-type]
        step.prepare(candidate(version))
        one.load()
        table.want("scale", Wanted(version=version, delivery=f"to-{version}"), table.row)
        one.load()
    assert versions(one) == {"v2": 400}
    late = EksTarget(table, "scale", "to-v2", lambda: None)  # type: ignore[arg-type]
    assert late.roll_back(None) == "v2"  # a recovery does not know what was before
    with pytest.raises(ReplicasAwaited, match="to go back to v1"):
        late.roll_back("v1")
    one.load()
    assert late.roll_back("v1") == "v1"
    assert versions(one) == {"v1": 400}
    with pytest.raises(DeliveryRefused, match="no longer the candidate"):
        late.promote(candidate("v2"))


def test_a_stranger_does_not_move_what_another_delivery_has_taken_over(
    table: Table, target: EksTarget
) -> None:
    target.prepare(candidate("v2"))
    EksTarget(table, "scale", "d2", lambda: None).prepare(candidate("v1"))  # type: ignore[arg-type]
    with pytest.raises(DeliveryRefused, match="no longer the candidate"):
        target.shift(candidate("v2"), 0.1)
    with pytest.raises(DeliveryRefused, match="no longer the candidate"):
        target.promote(candidate("v2"))
    before = table.row
    assert before
    assert table.want("scale", before, before)
    assert not table.want("scale", before, before)  # the revision is gone


def test_who_cannot_ask_serves_on_and_who_starts_waits(table: Table) -> None:
    one = replica(table)
    table.away = True
    one.load()
    assert versions(one) == {"v1": 400}
    new = replica(table, "new")
    with pytest.raises(ModelUnavailable, match="does not know yet which version is live"):
        new.get("scale", None)
    table.away = False
    new.load()
    assert versions(new) == {"v1": 400}


def test_a_version_that_is_named_is_the_live_one_or_a_candidate_with_a_share(
    table: Table, target: EksTarget
) -> None:
    one = replica(table)
    target.prepare(candidate("v2"))
    one.load()
    with pytest.raises(ModelNotFound):
        one.get("scale", "v2")
    table.give(0.01)
    one.load()
    assert one.get("scale", "v2").manifest.version == "v2"
    assert one.get("scale", "v1").manifest.version == "v1"
    with pytest.raises(ModelNotFound):
        one.get("scale", "v3")


def test_a_live_version_that_cannot_be_loaded_leaves_the_one_before(table: Table, target: EksTarget) -> None:
    one = replica(table)
    table.row = Wanted(version="v9", delivery="d1", revision=1)
    one.load()
    assert versions(one) == {"v1": 400}
    with pytest.raises(DeliveryRefused, match="a stays at v1: no v9"):
        target.promote(candidate("v9"))


def test_replicas_that_have_gone_are_not_waited_for(table: Table, target: EksTarget) -> None:
    one = replica(table)
    target.prepare(candidate("v2"))
    one.load()
    table.said["gone"] = Report(
        replica="gone", delivery="d1", version="v1", candidate="v2", state="loading", at=time.time() - 901
    )
    target.attempt(candidate("v2"))
    table.said["gone"] = replace(table.said["gone"], at=time.time())
    with pytest.raises(ReplicasAwaited):
        target.attempt(candidate("v2"))


def test_a_replica_is_woken_for_what_is_not_live(table: Table, target: EksTarget, woken: list[int]) -> None:
    target.prepare(candidate("v2"))
    assert woken == [1]
    table.row = Wanted(version="v2", delivery="d0", revision=1)
    target.prepare(candidate("v2"))
    assert woken == [1]


def test_a_process_that_breaks_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_THREADS", "many")  # no setting that a server can start with
    assert tried_in_a_process("v1") == {"refused": "the process that loads it ends with 1"}
