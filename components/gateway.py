"""The front door: a REST API with tokens, tenant keys, rate limits and a route for each model."""

import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pulumi
import pulumi_aws as aws

from components import iam
from components.api_document import ROUTES, Authorizer, Json, ModelRoute, api_document
from components.api_routes import STAGE
from components.function import Function, FunctionArgs, FunctionDefaults
from components.identity import RESOURCE_SERVER, Identity
from components.packages import Package

# https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-logging.html
_ACCESS_LOG_FIELDS = {
    "requestId": "$context.requestId",
    "traceId": "$context.xrayTraceId",
    "time": "$context.requestTimeEpoch",
    "tenant": "$context.authorizer.tenant",
    "method": "$context.httpMethod",
    "route": "$context.resourcePath",
    "status": "$context.status",
    "error": "$context.error.responseType",
    "latencyMs": "$context.responseLatency",
    "integrationMs": "$context.integrationLatency",
    "integrationStatus": "$context.integrationStatus",
    "responseBytes": "$context.responseLength",
    "sourceIp": "$context.identity.sourceIp",
}


@dataclass(frozen=True, kw_only=True)
class UsageLimits:
    """What one tenant may use."""

    rate_per_s: float
    """Steady requests per second."""
    burst: int
    """Requests admitted at once above the steady rate."""
    quota_per_day: int
    """Requests per day."""


@dataclass(frozen=True, kw_only=True)
class GatewayArgs:
    """Arguments of `Gateway`."""

    defaults: FunctionDefaults
    """Shared with the functions: names, tags, keys and logs."""
    identity: Identity
    authorizer_package: Package
    models: Mapping[str, pulumi.Input[Mapping[str, Json]]]
    """Model name -> operation of `MODEL_OPERATIONS` -> its `x-amazon-apigateway-integration`."""
    openai: pulumi.Input[Mapping[str, Json]] | None = None
    """OpenAI-compatible path -> its integration; None where nothing serves language models."""
    jobs: pulumi.Input[Json] | None = None
    """Integration of the jobs API; None where there are no jobs."""
    tenants: Mapping[str, UsageLimits]
    """Tenant name -> what it may use."""
    secrets_key_arn: pulumi.Input[str]
    api_key_source: Literal["authorizer", "header"] = "authorizer"
    rate_per_s: float = 100
    """Steady requests per second of the whole stage, over all tenants."""
    burst: int = 200
    """Requests that the stage admits at once above the steady rate."""
    authorizer_cache_s: int = 300
    authorizer_concurrency: int = 50
    execution_logs: str = "ERROR"
    own_domain: bool = False
    """Whether clients come through a domain of the platform's; the gateway's own URL is then closed."""


class Gateway(pulumi.ComponentResource):
    """One API for all clients.

    Each tenant has an API key and a usage plan, tied to its Cognito client by an encrypted parameter that
    only the authorizer reads. The gateway calls the authorizer as a role of its own; a model's integration
    brings the role that reaches that model and nothing else.
    """

    url: pulumi.Output[str]
    api_id: pulumi.Output[str]
    stage_arn: pulumi.Output[str]
    stage_name: pulumi.Output[str]
    document: pulumi.Output[str]

    def __init__(self, name: str, args: GatewayArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("inference-platform:gateway:Gateway", name, None, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        self._names = args.defaults.names
        self._tags = args.defaults.tags.component("gateway")

        authorizer = self._authorizer()
        invoke_role = iam.role(
            f"{name}-invoke",
            trust_policy=iam.trust("apigateway.amazonaws.com", self._names.account_id),
            statements=authorizer.alias_arn.apply(
                lambda arn: [iam.allow("Invoke", ["lambda:InvokeFunction"], [arn])]
            ),
            description="API Gateway calls the authorizer",
            tags=self._tags,
            opts=self._child,
        )
        self.document = self._document(authorizer, invoke_role)
        api = aws.apigateway.RestApi(
            f"{name}-api",
            name=self._names.prefix,
            body=self.document,
            endpoint_configuration={"types": "REGIONAL"},
            put_rest_api_mode="overwrite",
            disable_execute_api_endpoint=args.own_domain,
            tags=self._tags,
            opts=self._child,
        )
        stage = self._stage(api)
        self._tenants(api, stage)
        self.api_id, self.url = api.id, stage.invoke_url
        self.stage_arn, self.stage_name = stage.arn, stage.stage_name
        self.register_outputs({"url": self.url, "api_id": self.api_id})

    def _authorizer(self) -> Function:
        args, pool_id = self._args, self._args.identity.pool_id
        region = self._names.region
        prefix = self._names.parameter("tenants")
        return Function(
            f"{self._name}-authorizer",
            FunctionArgs(
                defaults=args.defaults,
                component="gateway",
                role_name="authorizer",
                description="Verifies tokens and ties them to tenants",
                package=args.authorizer_package,
                handler="serving.authorizer.handler",
                environment={
                    "USER_POOL_ID": pool_id,
                    "ISSUER": pool_id.apply(
                        lambda pool: f"https://cognito-idp.{region}.amazonaws.com/{pool}"
                    ),
                    "TENANT_PARAMETER_PREFIX": prefix,
                    "API_KEY_SOURCE": args.api_key_source,
                    "SCOPE_ROUTES": json.dumps(
                        {f"{RESOURCE_SERVER}/{scope}": routes for scope, routes in ROUTES.items()}
                    ),
                },
                statements=pulumi.Output.from_input(args.secrets_key_arn).apply(
                    lambda key: [
                        iam.allow(
                            "ReadTenants",
                            ["ssm:GetParameter"],
                            [self._names.arn("ssm", f"parameter{prefix}/*")],
                        ),
                        iam.allow("DecryptTenants", ["kms:Decrypt"], [key]),
                    ]
                ),
                reserved_concurrency=args.authorizer_concurrency,
            ),
            opts=self._child,
        )

    def _document(self, authorizer: Function, invoke_role: aws.iam.Role) -> pulumi.Output[str]:
        args = self._args

        def build(known: Mapping[str, Any]) -> str:
            return json.dumps(
                api_document(
                    self._names.prefix,
                    [ModelRoute(model=model, integrations=found) for model, found in known["models"].items()],
                    Authorizer(
                        invoke_arn=known["authorizer_arn"],
                        credentials_arn=known["role_arn"],
                        cache_s=args.authorizer_cache_s,
                        api_key_source=args.api_key_source,
                    ),
                    known["openai"],
                    known["jobs"],
                ),
                sort_keys=True,
            )

        return pulumi.Output.all(
            role_arn=invoke_role.arn,
            authorizer_arn=authorizer.invoke_arn,
            models=pulumi.Output.all(**args.models),
            openai=args.openai,
            jobs=args.jobs,
        ).apply(build)

    def _stage(self, api: aws.apigateway.RestApi) -> aws.apigateway.Stage:
        args, name = self._args, self._name
        access_log = aws.cloudwatch.LogGroup(
            f"{name}-access-logs",
            name=f"/aws/apigateway/{self._names.prefix}/access",
            retention_in_days=args.defaults.log_retention_days,
            kms_key_id=args.defaults.logs_key_arn,
            tags=self._tags,
            opts=self._child,
        )
        deployment = aws.apigateway.Deployment(
            f"{name}-deployment",
            rest_api=api.id,
            # A stage shows a changed document only after a new deployment.
            triggers={
                "document": self.document.apply(lambda body: hashlib.sha256(body.encode()).hexdigest())
            },
            opts=pulumi.ResourceOptions(parent=self, depends_on=[api]),
        )
        stage = aws.apigateway.Stage(
            f"{name}-stage",
            rest_api=api.id,
            deployment=deployment.id,
            stage_name=STAGE,
            xray_tracing_enabled=args.defaults.tracing,
            access_log_settings={
                "destination_arn": access_log.arn,
                "format": json.dumps(_ACCESS_LOG_FIELDS),
            },
            tags=self._tags,
            opts=self._child,
        )
        aws.apigateway.MethodSettings(
            f"{name}-limits",
            rest_api=api.id,
            stage_name=stage.stage_name,
            method_path="*/*",
            settings={
                "throttling_rate_limit": args.rate_per_s,
                "throttling_burst_limit": args.burst,
                "metrics_enabled": True,
                "logging_level": args.execution_logs,
                "data_trace_enabled": False,  # it would write prompts and predictions to the logs
                "caching_enabled": False,
            },
            opts=self._child,
        )
        return stage

    def _tenants(self, api: aws.apigateway.RestApi, stage: aws.apigateway.Stage) -> None:
        args, name = self._args, self._name
        for tenant, limits in args.tenants.items():
            key = aws.apigateway.ApiKey(
                f"{name}-{tenant}-key",
                name=f"{self._names.prefix}-{tenant}",
                description=f"API key of tenant {tenant}",
                tags=self._tags,
                opts=self._child,
            )
            plan = aws.apigateway.UsagePlan(
                f"{name}-{tenant}-plan",
                name=f"{self._names.prefix}-{tenant}",
                description=f"Limits of tenant {tenant}",
                api_stages=[{"api_id": api.id, "stage": stage.stage_name}],
                throttle_settings={"rate_limit": limits.rate_per_s, "burst_limit": limits.burst},
                quota_settings={"limit": limits.quota_per_day, "period": "DAY"},
                tags=self._tags,
                opts=self._child,
            )
            aws.apigateway.UsagePlanKey(
                f"{name}-{tenant}-plan-key",
                key_id=key.id,
                key_type="API_KEY",
                usage_plan_id=plan.id,
                # The provider gives the key's value back in clear text.
                opts=pulumi.ResourceOptions(parent=self, additional_secret_outputs=["value"]),
            )
            aws.ssm.Parameter(
                f"{name}-{tenant}-credentials",
                name=pulumi.Output.concat(
                    self._names.parameter("tenants/"), args.identity.tenant_client_ids[tenant]
                ),
                description=f"Which tenant a Cognito client is, and its API key: {tenant}",
                type="SecureString",
                key_id=args.secrets_key_arn,
                value=key.value.apply(functools.partial(_credentials, tenant)),
                tags=self._tags,
                opts=self._child,
            )


def _credentials(tenant: str, api_key: str) -> str:
    return json.dumps({"tenant": tenant, "api_key": api_key})
