"""When capacity is turned down and up again, and the calls that do it.

EventBridge Scheduler makes the calls itself (universal targets): nothing runs for the sake of parking.
https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-targets-universal.html
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from components import iam
from components.names import Names

_TARGET = "arn:aws:scheduler:::aws-sdk:"


@dataclass(frozen=True, kw_only=True)
class WorkingHours:
    """Monday to Friday, in the time zone's own hours."""

    timezone: str
    """IANA name; the Scheduler follows its summer time."""
    wake: str
    """`HH:MM` at which capacity comes back."""
    park: str
    """`HH:MM` at which it goes; later than `wake`."""

    def expression(self, at: str) -> str:
        """Cron expression of the working days at that time of day.

        https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html#cron-based
        """
        hour, minute = at.split(":")
        return f"cron({int(minute)} {int(hour)} ? * MON-FRI *)"

    def awake(self, local: datetime) -> bool:
        """Whether capacity is up at this local time."""
        return local.weekday() < 5 and self.wake <= local.strftime("%H:%M") < self.park


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call of an AWS API."""

    api: str
    """`<service>:<operation>` as the Scheduler names them, in camel case."""
    parameters: Mapping[str, Any]

    @property
    def target(self) -> str:
        """ARN of the universal target."""
        return f"{_TARGET}{self.api}"

    @property
    def input(self) -> str:
        return json.dumps(self.parameters, sort_keys=True)


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """Something that can be parked: the calls, and what its role must be allowed for them."""

    name: str
    """What it is; a part of the schedules' names."""
    park: Call
    wake: Call
    statement: iam.Statement


def provisioned_concurrency(names: Names, function_name: str, alias: str, environments: int) -> Capacity:
    """Environments of a function that are kept warm, billed by the hour. Without them it starts cold."""
    subject = {"FunctionName": function_name, "Qualifier": alias}
    return Capacity(
        name=f"{function_name.removeprefix(f'{names.prefix}-')}-concurrency",
        park=Call(api="lambda:deleteProvisionedConcurrencyConfig", parameters=subject),
        wake=Call(
            api="lambda:putProvisionedConcurrencyConfig",
            parameters={**subject, "ProvisionedConcurrentExecutions": environments},
        ),
        statement=iam.allow(
            "ProvisionedConcurrency",
            ["lambda:DeleteProvisionedConcurrencyConfig", "lambda:PutProvisionedConcurrencyConfig"],
            [names.arn("lambda", f"function:{function_name}:{alias}")],
        ),
    )


def endpoint_instances(
    names: Names, endpoint_name: str, variant: str, *, least: int, most: int, floor: int
) -> Capacity:
    """Instances of a SageMaker endpoint: parked at `floor` (1 for real-time, 0 for async)."""
    subject = {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{endpoint_name}/variant/{variant}",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    }
    call = "applicationautoscaling:registerScalableTarget"
    return Capacity(
        name=f"{endpoint_name.removeprefix(f'{names.prefix}-')}-instances",
        park=Call(api=call, parameters={**subject, "MinCapacity": floor, "MaxCapacity": floor}),
        wake=Call(api=call, parameters={**subject, "MinCapacity": least, "MaxCapacity": most}),
        statement=iam.allow(
            "Instances",
            ["application-autoscaling:RegisterScalableTarget"],
            [names.arn("application-autoscaling", "scalable-target/*")],
            {"StringEquals": {"application-autoscaling:service-namespace": "sagemaker"}},
        ),
    )


def node_group(
    names: Names, cluster_name: str, node_group_name: str, *, least: int, desired: int, most: int
) -> Capacity:
    """Nodes of the cluster's system pods. Parked, nothing in the cluster runs, and no GPU node starts."""
    subject = {"ClusterName": cluster_name, "NodegroupName": node_group_name}

    def sized(low: int, wanted: int) -> Mapping[str, Any]:
        return {**subject, "ScalingConfig": {"MinSize": low, "DesiredSize": wanted, "MaxSize": most}}

    return Capacity(
        name=f"{node_group_name}-nodes",
        park=Call(api="eks:updateNodegroupConfig", parameters=sized(0, 0)),
        wake=Call(api="eks:updateNodegroupConfig", parameters=sized(least, desired)),
        statement=iam.allow(
            "Nodes",
            ["eks:UpdateNodegroupConfig"],
            [names.arn("eks", f"nodegroup/{cluster_name}/{node_group_name}/*")],
        ),
    )


def statements(capacities: Sequence[Capacity]) -> list[iam.Statement]:
    """What the schedules' role is allowed: the calls that park and wake, each on what it is for."""
    return [
        {**capacity.statement, "Sid": f"{capacity.statement['Sid']}{place}"}
        for place, capacity in enumerate(capacities, start=1)
    ]
