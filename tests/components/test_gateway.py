"""The gateway: who may be called, tenants with their limits and credentials, and logs that keep no secret."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import pytest

from components.gateway import Gateway, GatewayArgs, UsageLimits
from components.identity import Identity, IdentityArgs
from components.lambda_backend import LambdaBackend, LambdaBackendArgs
from tests.components.iam_documents import documents, statements_of
from tests.components.platform_args import (
    ACCOUNT,
    LOGS_KEY,
    NAMES,
    REGION,
    SECRETS_KEY,
    TAGS,
    function_defaults,
    package,
)
from tests.components.recorded import Recorded, deployed

TENANTS = {
    "acme": UsageLimits(rate_per_s=10, burst=20, quota_per_day=1000),
    "globex": UsageLimits(rate_per_s=5, burst=5, quota_per_day=50),
}
STAGE, API = "aws:apigateway/stage:Stage", "aws:apigateway/restApi:RestApi"
KEY, PLAN = "aws:apigateway/apiKey:ApiKey", "aws:apigateway/usagePlan:UsagePlan"
PARAMETER = "aws:ssm/parameter:Parameter"


def gateway(models: Sequence[str] = ("digits", "fraud"), *, tracing: bool = True, **more: Any) -> Recorded:
    def build() -> None:
        identity = Identity(
            "identity",
            IdentityArgs(
                names=NAMES,
                tags=TAGS,
                domain_prefix="inference-dev",
                tenant_scopes={tenant: ["infer"] for tenant in TENANTS},
            ),
        )
        defaults = function_defaults(tracing=tracing)
        integrations = {
            model: LambdaBackend(
                f"model-{model}",
                LambdaBackendArgs(
                    defaults=defaults,
                    model=model,
                    version="v1",
                    package=package("model-server"),
                    models_bucket="models",
                ),
            ).integrations
            for model in models
        }
        args = {
            "authorizer_package": package("authorizer"),
            "models": integrations,
            "tenants": TENANTS,
            "secrets_key_arn": SECRETS_KEY,
            **more,
        }
        Gateway("gateway", GatewayArgs(defaults=defaults, identity=identity, **args))

    return deployed(build)


@pytest.fixture(scope="module")
def made() -> Recorded:
    return gateway()


def document(recorded: Recorded) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(recorded.one(API).inputs["body"])
    return loaded


@pytest.mark.parametrize(
    ("role", "alias"),
    [
        ("gateway-invoke", "gateway-authorizer-alias"),
        ("model-digits-invoke", "model-digits-alias"),
        ("model-fraud-invoke", "model-fraud-alias"),
    ],
)
def test_each_invoke_role_calls_one_live_alias_and_nothing_else(
    made: Recorded, role: str, alias: str
) -> None:
    [(_, invoke)] = statements_of(made, f"{role}-role-policy").items()
    assert invoke["Action"] == ["lambda:InvokeFunction"]
    assert invoke["Resource"] == [f"arn:aws:mock:us-east-1:111111111111:{alias}"]


def test_api_gateway_alone_takes_the_invoke_roles_and_for_this_account_only(made: Recorded) -> None:
    trusts = [
        found
        for found in documents(made)
        if found.kind == "trust" and found.holder.name.endswith("-invoke-role")
    ]
    assert len(trusts) == 3
    for trust in trusts:
        [statement] = trust.statements
        assert statement["Principal"] == {"Service": "apigateway.amazonaws.com"}
        assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": ACCOUNT}}


def test_each_model_s_routes_lead_to_its_own_alias(made: Recorded) -> None:
    paths = document(made)["paths"]
    for model in ("digits", "fraud"):
        integration = paths[f"/v2/models/{model}/infer"]["post"]["x-amazon-apigateway-integration"]
        assert integration["uri"] == f"arn:aws:mock:us-east-1:111111111111:model-{model}-alias/invocations"
        assert integration["credentials"].endswith(f":model-{model}-invoke-role")


def test_the_authorizer_of_the_document_is_the_function(made: Recorded) -> None:
    token = document(made)["components"]["securitySchemes"]["token"]
    authorizer = token["x-amazon-apigateway-authorizer"]
    assert authorizer["authorizerUri"].endswith(":gateway-authorizer-alias/invocations")
    assert authorizer["authorizerCredentials"].endswith(":gateway-invoke-role")


def test_the_authorizer_reads_the_tenants_parameters_and_nothing_else(made: Recorded) -> None:
    statements = statements_of(made, "gateway-authorizer-role-policy")
    assert statements["ReadTenants"]["Action"] == ["ssm:GetParameter"]
    assert statements["ReadTenants"]["Resource"] == [
        f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/inference-platform/dev/tenants/*"
    ]
    assert statements["DecryptTenants"]["Action"] == ["kms:Decrypt"]
    assert statements["DecryptTenants"]["Resource"] == [SECRETS_KEY]
    assert set(statements) == {"Logs", "Traces", "Decrypt", "ReadTenants", "DecryptTenants"}


@pytest.mark.parametrize("source", ["authorizer", "header"])
def test_gateway_and_authorizer_agree_on_where_the_key_comes_from(source: str) -> None:
    recorded = gateway(api_key_source=source)
    assert document(recorded)["x-amazon-apigateway-api-key-source"] == source.upper()
    variables = recorded.named("gateway-authorizer-function").inputs["environment"]["variables"]
    assert variables["API_KEY_SOURCE"] == source


def test_the_authorizer_trusts_this_pool_and_maps_every_scope_that_has_routes(made: Recorded) -> None:
    variables = made.named("gateway-authorizer-function").inputs["environment"]["variables"]
    assert variables["USER_POOL_ID"] == "identity-pool-id"
    assert variables["ISSUER"] == f"https://cognito-idp.{REGION}.amazonaws.com/identity-pool-id"
    assert set(json.loads(variables["SCOPE_ROUTES"])) == {"inference/infer", "inference/jobs"}


def test_a_changed_document_is_deployed_anew(made: Recorded) -> None:
    body = made.one(API).inputs["body"]
    deployment = made.one("aws:apigateway/deployment:Deployment")
    assert deployment.inputs["triggers"] == {"document": hashlib.sha256(body.encode()).hexdigest()}
    assert made.one(API).urn in deployment.depends_on
    other = gateway(models=["digits"]).one("aws:apigateway/deployment:Deployment")
    assert other.inputs["triggers"] != deployment.inputs["triggers"]


def test_an_unchanged_catalogue_is_not_deployed_anew(made: Recorded) -> None:
    other = gateway(models=["fraud", "digits"])
    assert other.one(API).inputs["body"] == made.one(API).inputs["body"]


def test_bodies_are_never_logged(made: Recorded) -> None:
    settings = made.one("aws:apigateway/methodSettings:MethodSettings").inputs
    assert settings["methodPath"] == "*/*"
    assert settings["settings"]["dataTraceEnabled"] is False
    assert settings["settings"]["cachingEnabled"] is False


@pytest.mark.parametrize("level", ["OFF", "ERROR", "INFO"])
def test_the_stage_has_limits_metrics_and_the_log_level_asked_for(level: str) -> None:
    recorded = gateway(rate_per_s=7, burst=9, execution_logs=level)
    settings = recorded.one("aws:apigateway/methodSettings:MethodSettings").inputs["settings"]
    assert (settings["throttlingRateLimit"], settings["throttlingBurstLimit"]) == (7, 9)
    assert settings["loggingLevel"] == level
    assert settings["metricsEnabled"] is True


def test_the_access_log_is_encrypted_and_keeps_no_body_token_or_key(made: Recorded) -> None:
    stage = made.one(STAGE).inputs
    fields = json.loads(stage["accessLogSettings"]["format"])
    secret = (
        "apikey",
        "authorizer.token",
        "authorization",
        "header",
        "querystring",
        "body",
        "input",
        "cognito",
    )
    for variable in fields.values():
        assert variable.startswith("$context.")
        assert not any(word in variable.lower() for word in secret), variable
    assert {"requestId", "tenant", "status", "route", "latencyMs"} <= set(fields)
    group = made.named("gateway-access-logs").inputs
    assert (group["kmsKeyId"], group["retentionInDays"]) == (LOGS_KEY, 14)
    assert stage["accessLogSettings"]["destinationArn"].endswith(":gateway-access-logs")


@pytest.mark.parametrize("tracing", [True, False])
def test_the_stage_is_traced_as_asked(tracing: bool) -> None:
    assert gateway(tracing=tracing).one(STAGE).inputs["xrayTracingEnabled"] is tracing


@pytest.mark.parametrize("tenant", TENANTS)
def test_each_tenant_has_a_key_in_a_plan_of_its_own(made: Recorded, tenant: str) -> None:
    plan = made.named(f"gateway-{tenant}-plan")
    limits = TENANTS[tenant]
    assert plan.inputs["throttleSettings"] == {"rateLimit": limits.rate_per_s, "burstLimit": limits.burst}
    assert plan.inputs["quotaSettings"] == {"limit": limits.quota_per_day, "period": "DAY"}
    assert plan.inputs["apiStages"] == [{"apiId": "gateway-api-id", "stage": "live"}]
    tie = made.named(f"gateway-{tenant}-plan-key").inputs
    assert (tie["keyId"], tie["usagePlanId"]) == (f"gateway-{tenant}-key-id", f"gateway-{tenant}-plan-id")
    assert "value" not in made.named(f"gateway-{tenant}-key").inputs


def test_tenants_share_nothing(made: Recorded) -> None:
    assert len(made.all(KEY)) == len(made.all(PLAN)) == len(made.all(PARAMETER)) == len(TENANTS)


@pytest.mark.parametrize("tenant", TENANTS)
def test_a_tenant_s_credentials_are_a_secret_encrypted_parameter_named_by_its_client(
    made: Recorded, tenant: str
) -> None:
    parameter = made.named(f"gateway-{tenant}-credentials")
    assert parameter.inputs["type"] == "SecureString"
    assert parameter.inputs["keyId"] == SECRETS_KEY
    assert parameter.inputs["name"] == f"/inference-platform/dev/tenants/identity-tenant-{tenant}-id"
    assert json.loads(parameter.inputs["value"]) == {
        "tenant": tenant,
        "api_key": f"secret value of gateway-{tenant}-key",
    }
    assert "value" in parameter.secrets
