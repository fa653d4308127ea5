"""Deliveries: the machine that brings model versions to life, and where it keeps its records."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components import delivery_starts, iam
from components.delivery_machine import delivery_machine
from components.delivery_models import DeliveredModel
from components.delivery_workers import eks_statements, lambda_statements, sagemaker_statements
from components.function import LIVE, Function, FunctionArgs, FunctionDefaults
from components.packages import Package


@dataclass(frozen=True, kw_only=True)
class DeliveryArgs:
    """Arguments of `Delivery`."""

    defaults: FunctionDefaults
    package: Package
    """Zip of the control function and the workers."""
    trial_package: Package
    """Zip of the model server, which the trial loads versions with."""
    models_bucket: pulumi.Input[str]
    """Bucket that versions are published to."""
    models: Mapping[str, DeliveredModel]
    """What can be delivered, by name."""
    canary_s: int = 600
    """How long a canary is watched before all requests go to it, seconds; 0 means no canary."""
    canary_percent: int = 10
    """Share of the requests that a canary takes."""
    look_s: int = 30
    """Seconds between two looks at a canary."""
    topic_arn: pulumi.Input[str]
    """Topic that is told how each delivery ended."""
    queue_s: int = 5
    """How often a delivery that waits for another asks whether it is its turn, seconds."""
    trial_memory_mb: int = 2048
    """Memory of the trial, which loads every version once, MiB."""
    protect: bool = True
    """Whether the history refuses deletion."""


class Delivery(pulumi.ComponentResource):
    """One state machine for all models; one delivery of a model at a time.

    A published manifest, an approval in the model registry and operators start it. The functions may do what
    their steps need: the trial reads models, the control function keeps records, and only the worker of a
    backend can move its requests.
    """

    machine_arn: pulumi.Output[str]
    table_name: pulumi.Output[str]
    parameters_path: str
    """Parameters of a model lie below it: `<path>/<model>/live`, `pin`, `delivery`."""

    def __init__(self, name: str, args: DeliveryArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("inference-platform:delivery:Delivery", name, None, opts)
        self._name, self._args, self._names = name, args, args.defaults.names
        self._child = pulumi.ResourceOptions(parent=self)
        self._tags = args.defaults.tags.component("delivery")
        self.parameters_path = self._names.parameter("models")
        machine_name = self._names.function("delivery")
        machine_arn = self._names.arn("states", f"stateMachine:{machine_name}")
        table = self._table()
        workers = self._workers(table)
        for model, entry in args.models.items():
            self._parameters(model, entry)
        moved = [model for model, entry in args.models.items() if not entry.unmoved]
        control = self._function(
            "control",
            "control",
            60,
            [
                iam.allow(
                    "Records",
                    ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:DeleteItem", "dynamodb:Query"],
                    [self._names.arn("dynamodb", f"table/{machine_name}")],
                ),
                iam.allow("Known", ["ssm:GetParameter"], [self._parameter_arn("*")]),
                iam.allow("Live", ["ssm:PutParameter"], [self._parameter_arn("*/live")]),
                iam.allow(
                    "Turns",
                    ["states:DescribeExecution"],
                    [self._names.arn("states", f"execution:{machine_name}:*")],
                ),
                *delivery_starts.registry_statements(self._names, moved),
            ],
            {
                "DELIVERY_TABLE": table.name,
                "DELIVERY_MACHINE_ARN": machine_arn,
                "MODEL_PARAMETERS": self.parameters_path,
            },
        )
        trial = self._trial()
        machine = self._machine(machine_name, control, trial, workers)
        delivery_starts.starts(name, names=self._names, machine=machine, tags=self._tags, opts=self._child)
        delivery_starts.registry(name, names=self._names, models=moved, tags=self._tags, opts=self._child)
        delivery_starts.told(name, topic_arn=args.topic_arn, tags=self._tags, opts=self._child)
        self.machine_arn, self.table_name = machine.arn, table.name
        self.register_outputs({"machine_arn": self.machine_arn, "table_name": self.table_name})

    def _table(self) -> aws.dynamodb.Table:
        args = self._args
        return aws.dynamodb.Table(
            f"{self._name}-records",
            name=self._names.function("delivery"),
            billing_mode="PAY_PER_REQUEST",
            hash_key="model",
            range_key="entry",
            attributes=[{"name": "model", "type": "S"}, {"name": "entry", "type": "S"}],
            server_side_encryption={"enabled": True, "kms_key_arn": args.defaults.data_key_arn},
            # What replicas of models say of themselves; records have no such attribute.
            ttl={"attribute_name": "expires", "enabled": True},
            point_in_time_recovery={"enabled": True},
            deletion_protection_enabled=args.protect,
            tags=self._tags,
            opts=pulumi.ResourceOptions(parent=self, protect=args.protect),
        )

    def _workers(self, table: aws.dynamodb.Table) -> dict[str, Function]:
        """One function for each backend that has a model which deliveries move."""
        args = self._args
        on: dict[str, list[str]] = {}
        for model, entry in args.models.items():
            if not entry.unmoved:
                on.setdefault(entry.backend, []).append(model)
        workers = {}
        for backend, models in on.items():
            environment: dict[str, pulumi.Input[str]] = {}
            match backend:
                case "lambda":
                    statements = lambda_statements(args.defaults)
                case "eks":
                    statements = eks_statements(args.defaults, self._names.function("delivery"), models)
                    environment = {"DELIVERY_TABLE": table.name}
                case _:
                    endpoints = [args.models[model].endpoint for model in models]
                    roles = [endpoint.execution_role_arn for endpoint in endpoints if endpoint]
                    statements = sagemaker_statements(args.defaults, roles)
            workers[backend] = self._function(backend, f"{backend}_worker", 900, statements, environment)
        return workers

    def _parameters(self, model: str, entry: DeliveredModel) -> None:
        args = self._args
        canary = {
            "canary_s": args.canary_s,
            "canary_share": args.canary_percent / 100,
            "look_s": args.look_s,
        }
        for role, value in (
            ("delivery", entry.settings(self._names, model, **canary)),
            # Of deliveries and operators from then on; here so that they go with the stack.
            ("live", "none"),
            ("pin", "none"),
        ):
            aws.ssm.Parameter(
                f"{self._name}-{model}-{role}",
                name=f"{self.parameters_path}/{model}/{role}",
                type="String",
                value=value,
                tags=self._tags,
                opts=pulumi.ResourceOptions(
                    parent=self, ignore_changes=None if role == "delivery" else ["value"]
                ),
            )

    def _parameter_arn(self, below: str) -> str:
        return self._names.arn("ssm", f"parameter{self.parameters_path}/{below}")

    def _function(
        self,
        role: str,
        handler: str,
        timeout_s: int,
        statements: pulumi.Input[Sequence[iam.Statement]],
        environment: Mapping[str, pulumi.Input[str]],
    ) -> Function:
        return Function(
            f"{self._name}-{role}",
            FunctionArgs(
                defaults=self._args.defaults,
                component="delivery",
                role_name=f"delivery-{role}",
                description=f"Delivers model versions: {role}",
                package=self._args.package,
                handler=f"serving.delivery_app.{handler}",
                environment=environment,
                statements=statements,
                timeout_s=timeout_s,
            ),
            opts=self._child,
        )

    def _trial(self) -> Function:
        return Function(
            f"{self._name}-trial",
            FunctionArgs(
                defaults=self._args.defaults,
                component="delivery",
                role_name="delivery-trial",
                description="Tries model versions before any backend sees them",
                package=self._args.trial_package,
                handler="serving.trial_app.handler",
                environment={"MODEL_BUCKET": self._args.models_bucket},
                statements=[
                    iam.allow(
                        "ReadModels", ["s3:GetObject"], [f"{self._names.bucket_arn('models')}/models/*"]
                    )
                ],
                memory_mb=self._args.trial_memory_mb,
                timeout_s=300,
            ),
            opts=self._child,
        )

    def _machine(
        self, machine_name: str, control: Function, trial: Function, workers: Mapping[str, Function]
    ) -> aws.sfn.StateMachine:
        names, queue_s = self._names, self._args.queue_s
        role = iam.role(
            f"{self._name}-machine",
            trust_policy=iam.trust("states.amazonaws.com", names.account_id),
            statements=[
                iam.allow(
                    "Steps",
                    ["lambda:InvokeFunction"],
                    [
                        names.arn("lambda", f"function:{names.function(f'delivery-{role}')}{alias}")
                        for role in ("control", "trial", *workers)
                        for alias in ("", f":{LIVE}")
                    ],
                ),
                iam.allow("Notify", ["events:PutEvents"], [names.arn("events", "event-bus/default")]),
            ],
            description="Runs the steps of deliveries",
            tags=self._tags,
            opts=self._child,
        )
        definition = pulumi.Output.all(control.alias_arn, trial.alias_arn).apply(
            lambda arns: json.dumps(
                delivery_machine(control_arn=arns[0], trial_arn=arns[1], queue_s=queue_s), sort_keys=True
            )
        )
        return aws.sfn.StateMachine(
            f"{self._name}-machine",
            name=machine_name,
            type="STANDARD",
            role_arn=role.arn,
            definition=definition,
            tags=self._tags,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[control, trial, *workers.values()]),
        )
