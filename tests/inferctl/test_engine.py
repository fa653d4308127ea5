"""What the driver makes of the engine's files and events."""

import json
import subprocess
import threading
from pathlib import Path
from typing import Any, cast

import pytest

from inferctl.engine import Engine, _restore_torn_state
from inferctl.outcome import Outcome, is_drift
from toolchain.progress import Step


@pytest.fixture
def stacks(tmp_path: Path) -> Path:
    folder = tmp_path / ".pulumi/stacks/p"
    folder.mkdir(parents=True)
    return folder


def test_a_torn_state_is_replaced_by_the_engines_backup(stacks: Path, tmp_path: Path) -> None:
    (stacks / "local.json").write_text('{"version": 3, "checkp')
    (stacks / "local.json.bak").write_text('{"version": 3}')
    (stacks / "local.json.attrs").write_text("")
    (stacks / "other.json").write_text('{"version": 3, "other": true}')
    _restore_torn_state(tmp_path)
    assert (stacks / "local.json").read_text() == '{"version": 3}'
    assert not (stacks / "local.json.attrs").exists()
    assert (stacks / "other.json").read_text() == '{"version": 3, "other": true}'


def test_a_state_torn_when_first_written_is_removed(stacks: Path, tmp_path: Path) -> None:
    (stacks / "local.json").write_text("")
    _restore_torn_state(tmp_path)
    assert list(stacks.iterdir()) == []


def test_an_outcome_counts_only_what_changes() -> None:
    outcome = Outcome(changes={"same": 40, "create": 2, "update": 1})
    assert outcome.changed == 3
    assert outcome.summary() == "2 create, 40 same, 1 update"


@pytest.mark.parametrize(
    ("differing", "others", "drifted"),
    [
        pytest.param({"value": {}}, ["value"], False, id="left to others"),
        pytest.param(
            {"environment.variables.MODEL_VERSION": {}},
            ["environment.variables.MODEL_VERSION"],
            False,
            id="path",
        ),
        pytest.param(
            {"routingConfig.additionalVersionWeights": {}}, ["routingConfig"], False, id="below a path"
        ),
        pytest.param({"value": {}, "tags": {}}, ["value"], True, id="one of two"),
        pytest.param({"values": {}}, ["value"], True, id="another name"),
        pytest.param({"memorySize": {}}, [], True, id="input"),
        pytest.param({}, [], False, id="outputs alone"),
    ],
)
def test_drift_is_what_the_program_does_not_leave_to_others(
    differing: dict[str, Any], others: list[str], drifted: bool
) -> None:
    assert is_drift({"op": "update", "detailedDiff": differing}, others) is drifted
    assert is_drift({"op": "update", "diffs": list(differing)}, others) is drifted
    assert is_drift({"op": "delete"}, others)


def test_a_refresh_tells_what_is_parked_from_what_was_changed(tmp_path: Path) -> None:
    """Of two endpoints at one instance, one is there by a schedule."""
    kind = "aws:appautoscaling/target:Target"

    def target(name: str, least: int) -> dict[str, Any]:
        inputs = {"resourceId": f"endpoint/{name}", "minCapacity": least}
        urn = f"urn:pulumi:s::p::{kind}::{name}"
        return {"urn": urn, "type": kind, "custom": True, "inputs": inputs, "outputs": inputs}

    call = {"ResourceId": "endpoint/parked", "MinCapacity": 1}
    calls = {"arn": "arn:aws:scheduler:::aws-sdk:applicationautoscaling:registerScalableTarget"}
    schedule = {
        "urn": "night",
        "type": "aws:scheduler/schedule:Schedule",
        "inputs": {"target": {**calls, "input": json.dumps(call)}},
    }
    events = tmp_path / "events"
    with events.open("w") as file:
        for name in ("parked", "changed"):
            about = {"urn": target(name, 2)["urn"], "type": kind, "old": target(name, 2)}
            found = {**about, "new": target(name, 1), "detailedDiff": {"minCapacity": {}}}
            before = {"metadata": {**about, "new": target(name, 2), "op": "refresh"}}
            file.write(json.dumps({"resourcePreEvent": before}) + "\n")
            file.write(json.dumps({"resOutputsEvent": {"metadata": {**found, "op": "update"}}}) + "\n")
    with subprocess.Popen(["true"]) as process:
        outcome = Engine._follow(
            cast(Engine, None),
            Step("refresh", threading.Event()),
            process,
            events,
            [schedule, *(target(name, 2) for name in ("parked", "changed"))],
        )
    assert [step.path for step in outcome.parked] == ["parked"]
    assert [step.path for step in outcome.steps] == ["changed"]
