"""One Lambda function with its role, log group, versions and live alias."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
import pulumi_aws as aws

from components import iam
from components.packages import Package
from components.tags import Tags
from naming import Names

LIVE = "live"
"""Alias that traffic goes to."""


@dataclass(frozen=True, kw_only=True)
class FunctionDefaults:
    """What all functions of an environment share."""

    names: Names
    tags: Tags
    data_key_arn: pulumi.Input[str]
    """Encrypts the environment variables."""
    logs_key_arn: pulumi.Input[str]
    log_retention_days: int = 30
    log_level: str = "INFO"
    tracing: bool = True
    runtime: str = "python3.13"
    architecture: str = "arm64"
    """What the packages were built for: `arm64` or `x86_64`."""


@dataclass(frozen=True, kw_only=True)
class FunctionNetwork:
    """Where a function stands that calls private endpoints."""

    subnet_ids: Sequence[pulumi.Input[str]]
    """One subnet per zone, two at least."""
    security_group_id: pulumi.Input[str]


@dataclass(frozen=True, kw_only=True)
class FunctionArgs:
    """Arguments of `Function`."""

    defaults: FunctionDefaults
    component: str
    """Value of the `component` tag."""
    role_name: str
    """What the function is for; the last part of its name."""
    description: str
    package: Package
    handler: str
    """What Lambda calls: `module.function`."""
    environment: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    """Variables beside LOG_LEVEL."""
    statements: pulumi.Input[Sequence[iam.Statement]] = ()
    """What its role allows beside writing its own logs and traces."""
    memory_mb: int = 256
    """Memory, MiB; processor time grows with it."""
    timeout_s: int = 10
    ephemeral_mb: int = 512
    reserved_concurrency: int = 10
    provisioned_concurrency: int = 0
    snap_start: bool = False
    network: FunctionNetwork | None = None
    """None is outside of the VPC, which costs less and reaches public endpoints only."""
    delivered: bool = False
    """Whether deliveries, not Pulumi, move the alias and MODEL_VERSION after the first deployment."""


class Function(pulumi.ComponentResource):
    """A function whose role writes its own log group and traces; `statements` add the rest."""

    function_name: pulumi.Output[str]
    alias_arn: pulumi.Output[str]
    invoke_arn: pulumi.Output[str]
    """What an API Gateway integration or authorizer calls: the live alias."""
    role_arn: pulumi.Output[str]

    def __init__(self, name: str, args: FunctionArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("inference-platform:function:Function", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        defaults, names = args.defaults, args.defaults.names
        tags = defaults.tags.component(args.component)
        function_name = names.function(args.role_name)
        log_group = aws.cloudwatch.LogGroup(
            f"{name}-logs",
            name=f"/aws/lambda/{function_name}",
            retention_in_days=defaults.log_retention_days,
            kms_key_id=defaults.logs_key_arn,
            tags=tags,
            opts=child,
        )
        log_group_arn = names.arn("logs", f"log-group:/aws/lambda/{function_name}")
        own = [
            iam.allow("Logs", ["logs:CreateLogStream", "logs:PutLogEvents"], [f"{log_group_arn}:*"]),
            # X-Ray has no resources to name.
            iam.allow("Traces", ["xray:PutTraceSegments", "xray:PutTelemetryRecords"], ["*"]),
        ]
        inside = _network_statements(names) if args.network else []
        role = iam.role(
            name,
            trust_policy=iam.trust("lambda.amazonaws.com", names.account_id),
            statements=pulumi.Output.all(args.statements, defaults.data_key_arn).apply(
                lambda known: [
                    *(own if defaults.tracing else own[:1]),
                    *inside,
                    iam.allow("Decrypt", ["kms:Decrypt"], [known[1]]),
                    *known[0],
                ]
            ),
            description=args.description,
            tags=tags,
            opts=child,
        )
        self.role_arn = role.arn
        function = aws.lambda_.Function(
            f"{name}-function",
            name=function_name,
            description=args.description,
            role=role.arn,
            runtime=defaults.runtime,
            architectures=[defaults.architecture],
            handler=args.handler,
            s3_bucket=args.package.bucket,
            s3_key=args.package.key,
            source_code_hash=args.package.sha256_base64,
            memory_size=args.memory_mb,
            timeout=args.timeout_s,
            ephemeral_storage={"size": args.ephemeral_mb},
            reserved_concurrent_executions=args.reserved_concurrency,
            environment={"variables": {"LOG_LEVEL": defaults.log_level, **args.environment}},
            kms_key_arn=defaults.data_key_arn,
            logging_config={"log_format": "JSON", "log_group": log_group.name},
            tracing_config={"mode": "Active" if defaults.tracing else "PassThrough"},
            vpc_config={
                "subnet_ids": args.network.subnet_ids,
                "security_group_ids": [args.network.security_group_id],
            }
            if args.network
            else None,
            snap_start={"apply_on": "PublishedVersions"} if args.snap_start else None,
            publish=True,
            tags=tags,
            opts=pulumi.ResourceOptions(
                parent=self,
                ignore_changes=["environment.variables.MODEL_VERSION"] if args.delivered else None,
            ),
        )
        alias = aws.lambda_.Alias(
            f"{name}-alias",
            name=LIVE,
            function_name=function.name,
            function_version=function.version,
            description="Takes the traffic",
            opts=pulumi.ResourceOptions(
                parent=self, ignore_changes=["functionVersion", "routingConfig"] if args.delivered else None
            ),
        )
        if args.provisioned_concurrency:
            aws.lambda_.ProvisionedConcurrencyConfig(
                f"{name}-provisioned",
                function_name=function.name,
                qualifier=alias.name,
                provisioned_concurrent_executions=args.provisioned_concurrency,
                opts=child,
            )
        self.function_name = function.name
        self.alias_arn, self.invoke_arn = alias.arn, alias.invoke_arn
        self.register_outputs({"function_name": self.function_name, "alias_arn": self.alias_arn})


def tell_failures(
    name: str, function_name: pulumi.Input[str], names: Names, opts: pulumi.ResourceOptions
) -> None:
    """Send what an asynchronous run gives up, after two more tries, to the default bus.

    `EventAlerts` passes it on. The function's role needs `failure_statement`.
    """
    aws.lambda_.FunctionEventInvokeConfig(
        name,
        function_name=function_name,
        qualifier=LIVE,
        destination_config={"on_failure": {"destination": names.arn("events", "event-bus/default")}},
        opts=opts,
    )


def failure_statement(names: Names) -> iam.Statement:
    """What a role needs for `tell_failures`."""
    return iam.allow("Events", ["events:PutEvents"], [names.arn("events", "event-bus/default")])


def _network_statements(names: Names) -> list[iam.Statement]:
    """What Lambda needs to put network interfaces into the subnets.

    https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html#configuration-vpc-permissions
    """
    return [
        iam.allow(
            "Interfaces",
            [
                "ec2:AssignPrivateIpAddresses",
                "ec2:CreateNetworkInterface",
                "ec2:DeleteNetworkInterface",
                "ec2:UnassignPrivateIpAddresses",
            ],
            [names.arn("ec2", f"{kind}/*") for kind in ("network-interface", "security-group", "subnet")],
        ),
        # Descriptions cannot be limited to resources.
        iam.allow("FindInterfaces", ["ec2:DescribeNetworkInterfaces"], ["*"]),
    ]
