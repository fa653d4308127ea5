"""API Gateway stages and domains: what they log, trace, cache, and which protocol they speak."""

from policies.documents import NotADocument, openapi, operations
from policies.resources import Resource
from policies.rule import Finding, Findings, Sample, Settings, expect, is_true, resource_rule
from policies.rules.gateway import HTTP_API, HTTP_STAGE, METHOD, METHOD_SETTINGS, REST_API, STAGE

DOMAIN = "aws:apigateway/domainName:DomainName"
HTTP_DOMAIN = "aws:apigatewayv2/domainName:DomainName"


@resource_rule(
    id="apigw-access-logs",
    title="Every API stage writes an access log in JSON",
    severity="high",
    why="Which tenant asked what, and who was refused, can be learned from no other place.",
    fix="set access_log_settings with destination_arn and a JSON format",
    types=[STAGE, HTTP_STAGE],
    good={
        "accessLogSettings": {
            "destinationArn": "arn:aws:logs:::log-group:api",
            "format": '{"id": "$context.requestId"}',
        }
    },
    bad={
        "accessLogSettings": {
            "destinationArn": "arn:aws:logs:::log-group:api",
            "format": "$context.requestId",
        }
    },
)
def access_logs(stage: Resource, settings: Settings) -> Findings:
    if not stage.has("accessLogSettings.destinationArn"):
        yield Finding("`accessLogSettings.destinationArn` is not set")
    yield from expect(
        stage, "accessLogSettings.format", lambda text: str(text).lstrip().startswith("{"), "a JSON object"
    )


@resource_rule(
    id="apigw-xray",
    title="Every REST stage traces its requests",
    severity="low",
    why="Without it, a trace begins at the function and hides what the gateway took.",
    fix="set xray_tracing_enabled=True",
    types=[STAGE],
    good={"xrayTracingEnabled": True},
    bad={},
)
def xray(stage: Resource, settings: Settings) -> Findings:
    yield from expect(stage, "xrayTracingEnabled", is_true, "true")


@resource_rule(
    id="apigw-request-validation",
    title="The gateway refuses malformed requests before they reach a model",
    severity="low",
    why="A request that the gateway refuses starts no paid compute.",
    fix="set request_validator_id, or x-amazon-apigateway-request-validator in the OpenAPI document",
    types=[METHOD, REST_API],
    good={"httpMethod": "POST", "requestValidatorId": "abc123"},
    bad={"httpMethod": "POST"},
)
def request_validation(resource: Resource, settings: Settings) -> Findings:
    """In a document, operations with a body count: only a body can be wrong in a way that costs."""
    if resource.type == METHOD:
        if resource.get("httpMethod") != "OPTIONS" and not resource.has("requestValidatorId"):
            yield Finding("`requestValidatorId` is not set")
        return
    try:
        document = openapi(resource, "body")
    except NotADocument as error:
        yield Finding(str(error))
        return
    validator = "x-amazon-apigateway-request-validator"
    for route, operation in operations(document):
        if "requestBody" in operation and not (validator in operation or validator in document):
            yield Finding(f"`body`: {route} has a body and no {validator}")


@resource_rule(
    id="apigw-no-data-trace",
    title="The gateway does not write requests and answers to its logs",
    severity="high",
    why="Prompts, tensors and predictions would stand in the logs in clear text.",
    fix="set data_trace_enabled=False",
    types=[METHOD_SETTINGS, HTTP_STAGE],
    good={"settings": {"dataTraceEnabled": False}},
    bad={"settings": {"dataTraceEnabled": True}},
)
def no_data_trace(resource: Resource, settings: Settings) -> Findings:
    place = "settings" if resource.type == METHOD_SETTINGS else "defaultRouteSettings"
    yield from expect(resource, f"{place}.dataTraceEnabled", lambda value: value is not True, "false")


@resource_rule(
    id="apigw-no-cache-dev",
    title="No stage pays for a response cache unless the environment wants one, encrypted",
    severity="low",
    why="The smallest cache costs 14 USD a month, used or not, and predictions are rarely asked twice.",
    fix="remove cache_cluster_enabled; where a cache is wanted, set cache_data_encrypted",
    types=[STAGE, METHOD_SETTINGS],
    settings={"allowed": bool},
    good={"cacheClusterEnabled": False},
    bad=[Sample(type=METHOD_SETTINGS, props={"settings": {"cachingEnabled": True}})],
)
def no_cache(resource: Resource, settings: Settings) -> Findings:
    if resource.type == STAGE:
        if not settings["allowed"]:
            yield from expect(resource, "cacheClusterEnabled", lambda value: value is not True, "false")
    elif resource.get("settings.cachingEnabled"):
        yield from expect(resource, "settings.cacheDataEncrypted", is_true, "true")


@resource_rule(
    id="apigw-tls12-domain",
    title="API domains accept TLS 1.2 or newer",
    severity="high",
    why="TLS 1.0 and 1.1 can be broken on the way.",
    fix='set security_policy="TLS_1_2"',
    types=[DOMAIN, HTTP_DOMAIN],
    good={"securityPolicy": "TLS_1_2"},
    bad={"securityPolicy": "TLS_1_0"},
)
def tls12_domain(domain: Resource, settings: Settings) -> Findings:
    """New policies are named `SecurityPolicy_TLS13_…`, some of them with TLS 1.2."""
    path = "securityPolicy" if domain.type == DOMAIN else "domainNameConfiguration.securityPolicy"

    def strong(policy: object) -> bool:
        return str(policy).startswith(("TLS_1_2", "TLS_1_3", "SecurityPolicy_TLS12", "SecurityPolicy_TLS13"))

    yield from expect(domain, path, strong, "TLS_1_2 or newer")


@resource_rule(
    id="apigw-no-wildcard-cors",
    title="Browsers may call the API from named origins only",
    severity="medium",
    why="With `*`, any web page can use a visitor's access to the API.",
    fix="list the origins in allow_origins",
    types=[HTTP_API],
    good={"corsConfiguration": {"allowOrigins": ["https://console.example.com"]}},
    bad={"corsConfiguration": {"allowOrigins": ["*"]}},
)
def no_wildcard_cors(api: Resource, settings: Settings) -> Findings:
    path = "corsConfiguration.allowOrigins"
    yield from expect(api, path, lambda origins: "*" not in (origins or []), "a list of origins")


RULES = (
    access_logs,
    xray,
    request_validation,
    no_data_trace,
    no_cache,
    tls12_domain,
    no_wildcard_cors,
)
