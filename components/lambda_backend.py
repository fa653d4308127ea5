"""CPU inference: one Lambda function for each model."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components import iam
from components.api_document import Json, lambda_integration
from components.api_routes import MODEL_OPERATIONS
from components.capture import CaptureStream
from components.function import Function, FunctionArgs, FunctionDefaults, FunctionNetwork
from components.model_network import ModelNetwork, s3_group
from components.packages import Package


@dataclass(frozen=True, kw_only=True)
class LambdaBackendArgs:
    """Arguments of `LambdaBackend`."""

    defaults: FunctionDefaults
    model: str
    version: str
    """Version to serve at first; deliveries move on from there."""
    package: Package
    models_bucket: pulumi.Input[str]
    capture: CaptureStream | None = None
    """Stream for the statistics of its requests; None means that none are kept."""
    memory_mb: int = 1024
    """Memory of the function, MiB; processor time grows with it."""
    timeout_s: int = 20
    ephemeral_mb: int = 512
    reserved_concurrency: int = 10
    provisioned_concurrency: int = 0
    snap_start: bool = False
    network: ModelNetwork | None = None
    """Where in the VPC the function stands; None is outside of it."""


class LambdaBackend(pulumi.ComponentResource):
    """Serves one ONNX model on the CPU; its role reads that model's prefix and no other.

    API Gateway calls it as a role that can invoke this model's live alias and nothing else.
    """

    function: Function
    integrations: pulumi.Output[Mapping[str, Json]]
    """Operation (`infer`, `metadata`, `ready`) -> its integration in API Gateway."""

    def __init__(
        self, name: str, args: LambdaBackendArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("inference-platform:lambda_backend:LambdaBackend", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        self.function = Function(
            name,
            FunctionArgs(
                defaults=args.defaults,
                component="lambda-backend",
                role_name=f"model-{args.model}",
                description=f"Serves model {args.model}",
                package=args.package,
                handler="serving.lambda_app.handler",
                environment={
                    "MODEL_NAME": args.model,
                    "MODEL_VERSION": args.version,
                    "MODEL_BUCKET": args.models_bucket,
                    **(args.capture.environment if args.capture else {}),
                },
                statements=[
                    iam.allow(
                        "ReadModel",
                        ["s3:GetObject"],
                        [f"{args.defaults.names.bucket_arn('models')}/models/{args.model}/*"],
                    ),
                    *([args.capture.statement(args.defaults.names)] if args.capture else ()),
                ],
                memory_mb=args.memory_mb,
                timeout_s=args.timeout_s,
                ephemeral_mb=args.ephemeral_mb,
                reserved_concurrency=args.reserved_concurrency,
                provisioned_concurrency=args.provisioned_concurrency,
                snap_start=args.snap_start,
                network=_inside(name, args, args.network, child) if args.network else None,
                delivered=True,
            ),
            opts=child,
        )
        invoke_role = iam.role(
            f"{name}-invoke",
            trust_policy=iam.trust("apigateway.amazonaws.com", args.defaults.names.account_id),
            statements=self.function.alias_arn.apply(
                lambda arn: [iam.allow("Invoke", ["lambda:InvokeFunction"], [arn])]
            ),
            description=f"API Gateway asks model {args.model}",
            tags=args.defaults.tags.component("lambda-backend"),
            opts=child,
        )
        self.integrations = pulumi.Output.all(self.function.invoke_arn, invoke_role.arn).apply(
            lambda arns: dict.fromkeys(MODEL_OPERATIONS, lambda_integration(arns[0], arns[1]))
        )
        self.register_outputs({"function_name": self.function.function_name})


def _inside(
    name: str, args: LambdaBackendArgs, network: ModelNetwork, opts: pulumi.ResourceOptions
) -> FunctionNetwork:
    """The function's place in the VPC, from which it reaches what it needs."""
    tags = args.defaults.tags.component("lambda-backend")
    group_id = s3_group(name, network, description=f"Function of model {args.model}", tags=tags, opts=opts)
    if args.capture:
        aws.vpc.SecurityGroupEgressRule(
            f"{name}-to-firehose",
            security_group_id=group_id,
            # Of an endpoint in the VPC or, through NAT, public.
            cidr_ipv4="0.0.0.0/0",
            description="Firehose takes the statistics of requests",
            ip_protocol="tcp",
            from_port=443,
            to_port=443,
            tags=tags,
            opts=opts,
        )
    return FunctionNetwork(subnet_ids=network.subnet_ids, security_group_id=group_id)
