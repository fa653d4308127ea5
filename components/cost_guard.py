"""What stops spending, or tells somebody in time."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import pulumi
import pulumi_aws as aws

from components import iam, metric
from components.count_alarm import ring
from components.idle_parking import IdleParking, IdleParkingArgs
from components.parking import Capacity, WorkingHours, statements
from components.tags import Tags
from naming import Names

ALLOCATION_TAGS = ("platform", "environment", "owner", "cost-center", "component")

# What starts a machine or an environment that is billed by the hour.
_NEW_CAPACITY = (
    "autoscaling:CreateAutoScalingGroup",
    "autoscaling:SetDesiredCapacity",
    "autoscaling:UpdateAutoScalingGroup",
    "ec2:CreateFleet",
    "ec2:CreateNatGateway",
    "ec2:RunInstances",
    "ec2:StartInstances",
    "eks:CreateCluster",
    "eks:CreateNodegroup",
    "eks:UpdateNodegroupConfig",
    "lambda:PutProvisionedConcurrencyConfig",
    "sagemaker:CreateEndpoint",
    "sagemaker:CreateTrainingJob",
    "sagemaker:CreateTransformJob",
    "sagemaker:UpdateEndpoint",
    "sagemaker:UpdateEndpointWeightsAndCapacities",
)


@dataclass(frozen=True, kw_only=True)
class CostGuardArgs:
    """Arguments of `CostGuard`."""

    names: Names
    tags: Tags
    topic_arn: pulumi.Input[str]
    """Topic that hears of budgets and anomalies."""
    monthly_usd: float
    """Budget of the environment, USD a month."""
    anomaly_usd: float = 50
    """USD beyond what is usual that are told."""
    stopped_role_arns: Sequence[pulumi.Input[str]] = ()
    """ARNs of the roles that may start no new capacity once the budget is used up; none means no stop."""
    hours: WorkingHours | None = None
    """When capacity is up; None means always."""
    capacities: Sequence[Capacity] = field(default_factory=tuple)
    """What is parked outside these hours, and within them where it tells that it is idle."""
    runbooks: str = "docs/runbooks"
    """Folder or URL of the runbook pages, as an alarm's text names them."""
    activate_tags: bool = False
    """Whether the cost tags are made known to billing, which only a payer account can."""


class CostGuard(pulumi.ComponentResource):
    """A budget that warns at 80 % spent and at 100 % expected, anomalies, and parked capacity.

    Where roles are named, a policy that denies new capacity is attached to them when the budget is used up,
    by AWS and at once; the runbook `budget` says how to lift it.
    """

    def __init__(self, name: str, args: CostGuardArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("inference-platform:cost_guard:CostGuard", name, None, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        self._tags = args.tags.component("cost-guard")
        budget = self._budget()
        if args.stopped_role_arns:
            self._stop(budget)
        self._anomalies()
        if args.activate_tags:
            for tag in ALLOCATION_TAGS:
                aws.costexplorer.CostAllocationTag(
                    f"{name}-tag-{tag}", tag_key=tag, status="Active", opts=self._child
                )
        if args.hours is not None and args.capacities:
            self._park(args.hours)
        self.register_outputs({})

    def _budget(self) -> aws.budgets.Budget:
        args = self._args
        return aws.budgets.Budget(
            f"{self._name}-budget",
            name=f"{args.names.prefix}-monthly",
            budget_type="COST",
            time_unit="MONTHLY",
            limit_amount=f"{args.monthly_usd:g}",
            limit_unit="USD",
            cost_filters=[
                {
                    "name": "TagKeyValue",
                    "values": [
                        f"user:environment${args.names.environment}",
                    ],
                }
            ],
            notifications=[
                {
                    "comparison_operator": "GREATER_THAN",
                    "notification_type": kind,
                    "threshold": percent,
                    "threshold_type": "PERCENTAGE",
                    "subscriber_sns_topic_arns": [args.topic_arn],
                }
                for kind, percent in (("ACTUAL", 80), ("FORECASTED", 100))
            ],
            tags=self._tags,
            opts=self._child,
        )

    def _stop(self, budget: aws.budgets.Budget) -> None:
        args = self._args
        role_arns = pulumi.Output.all(*args.stopped_role_arns)
        deny = aws.iam.Policy(
            f"{self._name}-no-new-capacity",
            description="The budget is used up: no new capacity",
            policy=iam.policy(
                {"Sid": "NoNewCapacity", "Effect": "Deny", "Action": list(_NEW_CAPACITY), "Resource": "*"}
            ),
            tags=self._tags,
            opts=self._child,
        )
        executor = iam.role(
            f"{self._name}-stop",
            trust_policy=iam.trust("budgets.amazonaws.com", args.names.account_id),
            statements=pulumi.Output.all(role_arns, deny.arn).apply(
                lambda known: [
                    iam.allow(
                        "Stop",
                        ["iam:AttachRolePolicy", "iam:DetachRolePolicy"],
                        known[0],
                        {"ArnEquals": {"iam:PolicyARN": known[1]}},
                    )
                ]
            ),
            description="Budgets denies new capacity, and lifts that",
            tags=self._tags,
            opts=self._child,
        )
        aws.budgets.BudgetAction(
            f"{self._name}-stop",
            budget_name=budget.name,
            action_type="APPLY_IAM_POLICY",
            approval_model="AUTOMATIC",
            notification_type="ACTUAL",
            action_threshold={"action_threshold_type": "PERCENTAGE", "action_threshold_value": 100},
            definition={
                "iam_action_definition": {
                    "policy_arn": deny.arn,
                    "roles": role_arns.apply(lambda arns: [arn.rpartition("/")[2] for arn in arns]),
                }
            },
            execution_role_arn=executor.arn,
            subscribers=[{"address": args.topic_arn, "subscription_type": "SNS"}],
            tags=self._tags,
            opts=self._child,
        )

    def _anomalies(self) -> None:
        args = self._args
        monitor = aws.costexplorer.AnomalyMonitor(
            f"{self._name}-anomalies",
            name=args.names.prefix,
            monitor_type="CUSTOM",
            monitor_specification=json.dumps(
                {
                    "Tags": {
                        "Key": "environment",
                        "MatchOptions": ["EQUALS"],
                        "Values": [args.names.environment],
                    }
                }
            ),
            tags=self._tags,
            opts=self._child,
        )
        aws.costexplorer.AnomalySubscription(
            f"{self._name}-anomalies",
            name=args.names.prefix,
            # Only mail is sent daily or weekly; a topic hears at once.
            frequency="IMMEDIATE",
            monitor_arn_lists=[monitor.arn],
            subscribers=[{"type": "SNS", "address": args.topic_arn}],
            threshold_expression={
                "dimension": {
                    "key": "ANOMALY_TOTAL_IMPACT_ABSOLUTE",
                    "match_options": ["GREATER_THAN_OR_EQUAL"],
                    "values": [f"{args.anomaly_usd:g}"],
                }
            },
            tags=self._tags,
            opts=self._child,
        )

    def _park(self, hours: WorkingHours) -> None:
        args = self._args
        role = iam.role(
            f"{self._name}-parking",
            trust_policy=iam.trust("scheduler.amazonaws.com", args.names.account_id),
            statements=statements(args.capacities),
            description="Parks capacity and wakes it",
            tags=self._tags,
            opts=self._child,
        )
        if any(capacity.idle for capacity in args.capacities):
            IdleParking(
                f"{self._name}-idle",
                IdleParkingArgs(
                    names=args.names,
                    tags=args.tags,
                    capacities=args.capacities,
                    topic_arn=args.topic_arn,
                ),
                opts=self._child,
            )
        if args.capacities:
            self._tell_what_failed()
        for capacity in args.capacities:
            for verb, at, call in (("park", hours.park, capacity.park), ("wake", hours.wake, capacity.wake)):
                aws.scheduler.Schedule(
                    f"{self._name}-{verb}-{capacity.name}",
                    description=f"{verb}s {capacity.name}",
                    schedule_expression=hours.expression(at),
                    schedule_expression_timezone=hours.timezone,
                    flexible_time_window={"mode": "OFF"},
                    target={
                        "arn": call.target,
                        "role_arn": role.arn,
                        "input": call.input,
                        "retry_policy": {
                            "maximum_retry_attempts": 10,
                            "maximum_event_age_in_seconds": 3600,
                        },
                    },
                    opts=self._child,
                )

    def _tell_what_failed(self) -> None:
        """An alarm on schedules that have given up: models sleep by day, or machines run by night.

        CloudWatch counts by group, and all schedules are in the account's own.
        https://docs.aws.amazon.com/scheduler/latest/UserGuide/monitoring-cloudwatch.html
        """
        args = self._args
        ring(
            f"{self._name}-parking-failed",
            alarm_name=f"{args.names.prefix}-parking-failed",
            text="A schedule did not park or wake capacity, whatever it tried. "
            f"Runbook: {args.runbooks}/parking-failed.md",
            counted=metric.schedules("InvocationDroppedCount"),
            more_than=0,
            topic_arn=args.topic_arn,
            tags=self._tags,
            opts=self._child,
        )
