"""What the driver makes of the engine's files and events."""

from pathlib import Path
from typing import Any

import pytest

from inferctl.engine import _restore_torn_state
from inferctl.outcome import Outcome, is_drift


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
