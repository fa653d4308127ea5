"""What belongs to a resource that is in the state alone is there, too: a rule of a group that EKS makes."""

from pathlib import Path
from typing import Any

import pytest

from local_aws.aws_plugin import AwsPlugin, Settings
from local_aws.plan import Planner
from local_aws.provider import Refused, State
from local_aws.sdk_types import resource_type
from local_aws.tables import TABLES
from local_aws.values import Props

RULE = "urn:pulumi:local::p::aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule::r"
INPUTS: Props = {"securityGroupId": "sg-0123456789abcdef0", "ipProtocol": "tcp", "fromPort": 80, "toPort": 80}


class Refusing:
    """An embedded AWS that refuses every creation."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def create(self, *_: Any) -> None:
        raise Refused(self._reason)


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AwsPlugin:
    made = AwsPlugin({"LOCAL_AWS_MODE": "emulate"})
    made._settings = Settings("emulate", tmp_path, {}, ("", ""), "")
    made._planner = Planner("000000000000", "us-east-1")
    monkeypatch.setattr(made, "_held", lambda urn: _table())
    monkeypatch.setattr(made, "log", lambda urn, line: None)
    return made


def _table() -> Any:
    token = RULE.split("::")[2]
    return resource_type(token), TABLES[token]


def test_a_rule_of_a_planned_group_is_planned(plugin: AwsPlugin) -> None:
    plugin._emulation = Refusing("authorize: InvalidGroup.NotFound: not found")  # type: ignore[assignment]
    state = plugin.create(RULE, INPUTS, preview=False)
    assert state.id.startswith("sgr-")
    assert state.outputs["securityGroupId"] == INPUTS["securityGroupId"]
    # A refresh finds it, and a change reaches the state, though the embedded AWS has never heard of it.
    assert plugin.read(RULE, state.id, INPUTS, state.outputs) == State(state.id, state.outputs, INPUTS)
    changed = plugin.update(RULE, state.id, INPUTS, state.outputs, {**INPUTS, "toPort": 81}, preview=False)
    assert changed["toPort"] == 81


def test_any_other_refusal_stands(plugin: AwsPlugin) -> None:
    plugin._emulation = Refusing("authorize: InvalidParameterValue: no such port")  # type: ignore[assignment]
    with pytest.raises(Refused, match="no such port"):
        plugin.create(RULE, INPUTS, preview=False)
