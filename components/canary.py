"""The canary: a function on a schedule that asks every model its golden request through the API."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components import iam
from components.function import Function, FunctionArgs, FunctionDefaults
from components.gateway import Gateway
from components.identity import Identity
from components.packages import Package

TENANT = "canary"
"""The tenant that it asks as: a machine client, an API key and a usage plan of its own."""


@dataclass(frozen=True, kw_only=True)
class CanaryArgs:
    """Arguments of `Canary`."""

    defaults: FunctionDefaults
    """Shared with the other functions: names, tags, keys and logs."""
    package: Package
    identity: Identity
    """The user pool, in which the canary is a tenant."""
    gateway: Gateway
    """The API that is asked."""
    url: pulumi.Input[str]
    """Base URL at which clients find the API."""
    models: Sequence[str]
    """Names of the models that are asked."""
    secrets_key_arn: pulumi.Input[str]
    key_in_header: bool = False
    """Whether clients send their API key along with the token."""
    every_minutes: int = 5
    """Minutes between two rounds."""


class Canary(pulumi.ComponentResource):
    """Asks as a tenant would, so that it sees what clients see: token, authorizer, limits, gateway, model.

    Its role reads its own client's secret and its own API key, and the manifests of the models that it asks.
    """

    function: Function

    def __init__(self, name: str, args: CanaryArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("inference-platform:canary:Canary", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        defaults, names = args.defaults, args.defaults.names
        client_id = args.identity.tenant_client_ids[TENANT]
        parameter = names.parameter("tenants/")
        models = sorted(args.models)
        self.function = Function(
            name,
            FunctionArgs(
                defaults=defaults,
                component="observability",
                role_name="canary",
                description="Asks every model its golden request through the API",
                package=args.package,
                handler="serving.canary.handler",
                environment={
                    "API_ID": args.gateway.api_id,
                    "API_STAGE": args.gateway.stage_name,
                    "API_URL": args.url,
                    "OAUTH_URL": pulumi.Output.concat(
                        "https://", args.identity.domain, f".auth.{names.region}.amazoncognito.com"
                    ),
                    "USER_POOL_ID": args.identity.pool_id,
                    "CLIENT_ID": client_id,
                    "API_KEY_PARAMETER": pulumi.Output.concat(parameter, client_id)
                    if args.key_in_header
                    else "",
                    "MODELS": ",".join(models),
                    "MODEL_BUCKET": names.bucket("models"),
                },
                statements=pulumi.Output.all(args.identity.pool_arn, client_id, args.secrets_key_arn).apply(
                    lambda known: [
                        iam.allow("OwnSecret", ["cognito-idp:DescribeUserPoolClient"], [known[0]]),
                        iam.allow(
                            "Manifests",
                            ["s3:GetObject"],
                            [f"{names.bucket_arn('models')}/models/{m}/*/manifest.json" for m in models],
                        ),
                        *(
                            [
                                iam.allow(
                                    "OwnKey",
                                    ["ssm:GetParameter"],
                                    [names.arn("ssm", f"parameter{parameter}{known[1]}")],
                                ),
                                iam.allow("DecryptOwnKey", ["kms:Decrypt"], [known[2]]),
                            ]
                            if args.key_in_header
                            else ()
                        ),
                    ]
                ),
                timeout_s=min(900, 60 + 30 * len(models)),
                reserved_concurrency=1,
            ),
            opts=child,
        )
        caller = iam.role(
            f"{name}-schedule",
            trust_policy=iam.trust("scheduler.amazonaws.com", names.account_id),
            statements=self.function.alias_arn.apply(
                lambda arn: [iam.allow("Invoke", ["lambda:InvokeFunction"], [arn])]
            ),
            description="Starts the canary",
            tags=defaults.tags.component("observability"),
            opts=child,
        )
        aws.scheduler.Schedule(
            f"{name}-schedule",
            description="Asks every model its golden request",
            schedule_expression=f"rate({args.every_minutes} minutes)",
            flexible_time_window={"mode": "OFF"},
            target={
                "arn": self.function.alias_arn,
                "role_arn": caller.arn,
                # The next round is better than a late one.
                "retry_policy": {"maximum_retry_attempts": 0, "maximum_event_age_in_seconds": 60},
            },
            opts=child,
        )
        self.register_outputs({"function_name": self.function.function_name})
