"""GPUs that are paid for and do nothing are parked at once, not only at night."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from components import iam
from components.event_alerts import tell
from components.parking import Capacity, Idle, statements
from components.tags import Tags
from naming import Names


@dataclass(frozen=True, kw_only=True)
class IdleParkingArgs:
    """Arguments of `IdleParking`."""

    names: Names
    tags: Tags
    capacities: Sequence[Capacity]
    """What is parked; those without `idle` are left out."""
    topic_arn: pulumi.Input[str]
    """Topic that hears when something was not parked."""


class IdleParking(pulumi.ComponentResource):
    """A rule on the alarms' change of state starts a state machine, which makes the call of that alarm.

    What was parked comes back with the next morning's schedule. An alarm that rings on then parks no more
    before it has stopped ringing: its state does not change.
    """

    def __init__(self, name: str, args: IdleParkingArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("inference-platform:idle_parking:IdleParking", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        names, tags = args.names, args.tags.component("cost-guard")
        watched = [capacity for capacity in args.capacities if capacity.idle]
        idle = [capacity.idle for capacity in watched if capacity.idle]
        machine_name = names.function("idle-parking")
        machine_arn = names.arn("states", f"stateMachine:{machine_name}")
        role = iam.role(
            f"{name}-machine",
            trust_policy=iam.trust("states.amazonaws.com", names.account_id),
            statements=statements(watched),
            description="Parks capacity whose GPUs are idle",
            tags=tags,
            opts=child,
        )
        machine = aws.sfn.StateMachine(
            f"{name}-machine",
            name=machine_name,
            type="STANDARD",
            role_arn=role.arn,
            definition=pulumi.Output.json_dumps(idle_machine(idle), sort_keys=True),
            tags=tags,
            opts=child,
        )
        starter = iam.role(
            f"{name}-start",
            trust_policy=iam.trust("events.amazonaws.com", names.account_id),
            statements=[iam.allow("Start", ["states:StartExecution"], [machine_arn])],
            description="EventBridge starts the parking of idle capacity",
            tags=tags,
            opts=child,
        )
        rule = aws.cloudwatch.EventRule(
            f"{name}-rung",
            description="GPUs of a model have been idle for an hour",
            event_pattern=json.dumps(idle_pattern(idle), sort_keys=True),
            tags=tags,
            opts=child,
        )
        aws.cloudwatch.EventTarget(
            f"{name}-rung-target",
            rule=rule.name,
            target_id="parking",
            arn=machine.arn,
            role_arn=starter.arn,
            opts=child,
        )
        tell(
            f"{name}-failed",
            description="Idle GPUs were not parked, and are paid for",
            event_pattern=json.dumps(failed_pattern(machine_arn), sort_keys=True),
            topic_arn=args.topic_arn,
            tags=tags,
            opts=child,
        )
        self.register_outputs({})


def failed_pattern(machine_arn: str) -> Mapping[str, Any]:
    """Events of executions that did not park.

    https://docs.aws.amazon.com/step-functions/latest/dg/eventbridge-integration.html
    """
    return {
        "source": ["aws.states"],
        "detail-type": ["Step Functions Execution Status Change"],
        "detail": {"stateMachineArn": [machine_arn], "status": ["ABORTED", "FAILED", "TIMED_OUT"]},
    }


def idle_pattern(idle: Sequence[Idle]) -> Mapping[str, Any]:
    """Events of the alarms that begin to ring.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch-and-eventbridge.html
    """
    return {
        "source": ["aws.cloudwatch"],
        "detail-type": ["CloudWatch Alarm State Change"],
        "detail": {"alarmName": sorted(each.alarm for each in idle), "state": {"value": ["ALARM"]}},
    }


def idle_machine(idle: Sequence[Idle]) -> Mapping[str, Any]:
    """Definition of the machine: an alarm's name leads to its call."""
    choices = [
        {"Variable": "$.detail.alarmName", "StringEquals": each.alarm, "Next": each.alarm} for each in idle
    ]
    retry = [{"ErrorEquals": ["States.ALL"], "IntervalSeconds": 30, "MaxAttempts": 5, "BackoffRate": 2}]
    return {
        "Comment": "Parks capacity whose GPUs are idle",
        "StartAt": "Which",
        "TimeoutSeconds": 3600,
        "States": {
            "Which": {"Type": "Choice", "Choices": choices},
            **{each.alarm: {**each.call.task, "Retry": retry, "End": True} for each in idle},
        },
    }
