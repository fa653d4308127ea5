"""Deliveries: the machine that brings model versions to life, what starts it, where it keeps its records."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pulumi
import pulumi_aws as aws

from components import iam
from components.delivery_machine import delivery_machine
from components.delivery_workers import lambda_statements, sagemaker_statements
from components.function import LIVE, Function, FunctionArgs, FunctionDefaults
from components.names import Names
from components.packages import Package
from components.sagemaker_backend import SageMakerBackend


@dataclass(frozen=True, kw_only=True)
class DeliveredModel:
    """A model, as deliveries see it."""

    backend: Literal["lambda", "sagemaker", "eks"]
    """What serves it; says which worker moves its requests. Deliveries to EKS are refused, saying so."""
    endpoint: SageMakerBackend | None = None
    """Its endpoint, on SageMaker."""
    p99_ms: int
    """99th percentile of the latency that its objective allows, milliseconds."""
    availability: float
    """Percent of requests that are to be answered without a 5xx."""
    alarms: Sequence[str] = ()
    """Names of metric alarms that refuse a canary when they ring after it began."""
    canary_s: int | None = None
    """How long its canaries are watched; None means as all models'."""


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
        workers = self._workers()
        for model, entry in args.models.items():
            self._parameters(model, entry, entry.backend in workers)
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
            ],
            {
                "DELIVERY_TABLE": table.name,
                "DELIVERY_MACHINE_ARN": machine_arn,
                "MODEL_PARAMETERS": self.parameters_path,
            },
        )
        trial = self._trial()
        machine = self._machine(machine_name, control, trial, workers)
        self._starts(machine, machine_arn)
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
            point_in_time_recovery={"enabled": True},
            deletion_protection_enabled=args.protect,
            tags=self._tags,
            opts=pulumi.ResourceOptions(parent=self, protect=args.protect),
        )

    def _workers(self) -> dict[str, Function]:
        """One function for each backend that deliveries can move requests on and that has a model."""
        args = self._args
        on = {
            backend: [name for name, entry in args.models.items() if entry.backend == backend]
            for backend in ("lambda", "sagemaker")
        }
        workers = {}
        if on["lambda"]:
            statements = lambda_statements(args.defaults, on["lambda"])
            workers["lambda"] = self._function("lambda", "worker", 900, statements, {})
        if on["sagemaker"]:
            endpoints = [args.models[model].endpoint for model in on["sagemaker"]]
            roles = [endpoint.execution_role_arn for endpoint in endpoints if endpoint]
            statements = sagemaker_statements(args.defaults, on["sagemaker"], roles)
            workers["sagemaker"] = self._function("sagemaker", "sagemaker_worker", 900, statements, {})
        return workers

    def _parameters(self, model: str, entry: DeliveredModel, moved: bool) -> None:
        args = self._args
        settings = {
            "backend": entry.backend,
            "worker": self._names.function(f"delivery-{entry.backend}") if moved else "",
            "target": {"function": self._names.function(f"model-{model}"), "alias": LIVE},
            "p99_ms": entry.p99_ms,
            "availability": entry.availability,
            "alarms": list(entry.alarms),
            "canary_s": args.canary_s if entry.canary_s is None else entry.canary_s,
            "canary_share": args.canary_percent / 100,
            "look_s": args.look_s,
        }
        for role, value in (
            ("delivery", _with_endpoint(settings, entry.endpoint)),
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

    def _starts(self, machine: aws.sfn.StateMachine, machine_arn: str) -> None:
        """Rules on the default bus that start the machine with the event as it is."""
        names = self._names
        role = iam.role(
            f"{self._name}-start",
            trust_policy=iam.trust("events.amazonaws.com", names.account_id),
            statements=[iam.allow("Start", ["states:StartExecution"], [machine_arn])],
            description="EventBridge starts deliveries",
            tags=self._tags,
            opts=self._child,
        )
        for what, (description, pattern) in _patterns(names, machine_arn).items():
            rule = aws.cloudwatch.EventRule(
                f"{self._name}-{what}",
                name=names.function(f"delivery-{what}"),
                description=description,
                event_pattern=json.dumps(pattern, sort_keys=True),
                tags=self._tags,
                opts=self._child,
            )
            aws.cloudwatch.EventTarget(
                f"{self._name}-{what}-target",
                rule=rule.name,
                target_id="delivery",
                arn=machine.arn,
                role_arn=role.arn,
                opts=self._child,
            )


def _with_endpoint(settings: Mapping[str, object], endpoint: SageMakerBackend | None) -> pulumi.Input[str]:
    """The settings of a model as JSON; of an endpoint with how it is updated."""
    if endpoint is None:
        return json.dumps(settings, sort_keys=True)

    def known(request: Mapping[str, object]) -> str:
        target = {"endpoint": request["EndpointName"], "deployment": request["DeploymentConfig"]}
        return json.dumps({**settings, "target": target}, sort_keys=True)

    return endpoint.update_request.apply(known)


def _patterns(names: Names, machine_arn: str) -> dict[str, tuple[str, Mapping[str, object]]]:
    """What starts the machine: rule -> description and pattern of its events."""
    ended = {
        "stateMachineArn": [machine_arn],
        # Beside those who end with a refusal, which is recorded: the rest died on the way.
        "$or": [
            {"status": ["ABORTED", "TIMED_OUT"]},
            {"status": ["FAILED"], "error": [{"anything-but": ["DeliveryRefused"]}]},
        ],
    }
    return {
        "published": (
            "A version's manifest is in the models bucket",
            {
                "source": ["aws.s3"],
                "detail-type": ["Object Created"],
                "detail": {
                    "bucket": {"name": [names.bucket("models")]},
                    "object": {"key": [{"wildcard": "models/*/manifest.json"}]},
                },
            },
        ),
        "approved": (
            "A package of the model registry is approved",
            {
                "source": ["aws.sagemaker"],
                "detail-type": ["SageMaker Model Package State Change"],
                "detail": {
                    "ModelApprovalStatus": ["Approved"],
                    "ModelPackageGroupName": [{"prefix": f"{names.prefix}-"}],
                },
            },
        ),
        "ended": (
            "A delivery's execution ended before the delivery did",
            {
                "source": ["aws.states"],
                "detail-type": ["Step Functions Execution Status Change"],
                "detail": ended,
            },
        ),
    }
