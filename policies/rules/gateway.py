"""API Gateway: REST APIs, written as resources or as an OpenAPI document, and HTTP APIs."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field

from policies.documents import NotADocument, openapi, operations
from policies.resources import Resource, Stack
from policies.rule import Finding, Findings, Sample, Settings, between, expect, resource_rule, stack_rule

REST_API = "aws:apigateway/restApi:RestApi"
METHOD = "aws:apigateway/method:Method"
STAGE = "aws:apigateway/stage:Stage"
METHOD_SETTINGS = "aws:apigateway/methodSettings:MethodSettings"
USAGE_PLAN = "aws:apigateway/usagePlan:UsagePlan"
HTTP_API = "aws:apigatewayv2/api:Api"
HTTP_ROUTE = "aws:apigatewayv2/route:Route"
HTTP_STAGE = "aws:apigatewayv2/stage:Stage"

Rate = Annotated[float, Field(gt=0)]


def _api(security: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    scheme = {"type": "apiKey", "in": "header", "name": "Authorization", "x-amazon-apigateway-authorizer": {}}
    return {
        "body": {
            "openapi": "3.0.1",
            "paths": {"/v2/models": {"get": {"security": security}}},
            "components": {"securitySchemes": {"token": scheme}},
        }
    }


@resource_rule(
    id="apigw-authorizer-required",
    title="Every route of an API needs an authorized caller",
    severity="critical",
    why="Anyone on the internet could use the models, read tenants' results and run up the bill.",
    fix="give the operation a `security` that names a scheme with x-amazon-apigateway-authorizer, or the "
    "method an authorization other than NONE",
    types=[REST_API, METHOD, HTTP_API, HTTP_ROUTE],
    settings={"publicRoutes": list[str]},
    good=_api([{"token": []}]),
    bad=_api([]),
)
def authorizer_required(resource: Resource, settings: Settings) -> Findings:
    """`publicRoutes` (`GET /path`) may be open, and so may OPTIONS: a browser's preflight sends no token."""
    if resource.type == METHOD:
        if resource.get("httpMethod") != "OPTIONS":
            yield from expect(
                resource, "authorization", lambda kind: kind not in (None, "NONE"), "an authorizer"
            )
    elif resource.type == HTTP_ROUTE:
        route = resource.get("routeKey", "")
        if not route.startswith("OPTIONS ") and route not in settings["publicRoutes"]:
            kinds = ("JWT", "AWS_IAM", "CUSTOM")
            yield from expect(resource, "authorizationType", lambda kind: kind in kinds, " or ".join(kinds))
    else:
        if resource.type == HTTP_API and resource.has("target"):
            yield Finding("`target` makes a route that is open to everyone; write an aws.apigatewayv2.Route")
        try:
            document = openapi(resource, "body")
        except NotADocument as error:
            yield Finding(str(error))
            return
        for route in open_routes(document):
            if not route.startswith("OPTIONS ") and route not in settings["publicRoutes"]:
                yield Finding(f"`body`: {route} needs no authorizer")


def open_routes(document: Mapping[str, Any]) -> Sequence[str]:
    """Operations that a caller without authorization can reach."""
    schemes = {
        **(document.get("components") or {}).get("securitySchemes", {}),
        **document.get("securityDefinitions", {}),  # Swagger 2.0
    }
    authorizing = {
        name
        for name, scheme in schemes.items()
        if "x-amazon-apigateway-authorizer" in scheme
        or scheme.get("x-amazon-apigateway-authtype") == "awsSigv4"
    }
    default = document.get("security") or []

    def is_open(operation: Mapping[str, Any]) -> bool:
        alternatives = operation.get("security", default)
        return not alternatives or any(not authorizing & set(needed) for needed in alternatives)

    return [route for route, operation in operations(document) if is_open(operation)]


_LIMITS = {"throttlingRateLimit": 100, "throttlingBurstLimit": 200}
_REST_STAGE = Sample(type=STAGE, name="live", props={"stageName": "live"})


@stack_rule(
    id="apigw-throttling",
    title="Every API stage and usage plan has a request rate limit",
    severity="high",
    why="Each admitted request may start paid compute: without a limit, a client's loop sets the bill.",
    fix="set throttling_rate_limit and throttling_burst_limit for `*/*` of the stage, within the cap",
    types=[STAGE, HTTP_STAGE, USAGE_PLAN],
    settings={"maxRate": Rate, "maxBurst": Rate},
    good=[
        _REST_STAGE,
        Sample(
            type=METHOD_SETTINGS,
            props={"methodPath": "*/*", "settings": _LIMITS},
            refers_to={"stageName": "live"},
        ),
    ],
    bad=[_REST_STAGE],
)
def throttling(resource: Resource, stack: Stack, settings: Settings) -> Findings:
    """A method's own limits replace the stage's, so they are judged as well."""
    if resource.type == HTTP_STAGE:
        yield from _limits(resource, "defaultRouteSettings.throttling{}Limit", settings)
    elif resource.type == USAGE_PLAN:
        yield from _limits(resource, "throttleSettings.{}Limit", settings, str.lower)
    else:
        all_settings = stack.companions(resource, METHOD_SETTINGS, "stageName")
        if not any(each.get("methodPath") == "*/*" for each in all_settings):
            yield Finding("it has no MethodSettings for `*/*`")
        for each in all_settings:
            if each.get("methodPath") == "*/*" or each.has("settings.throttlingRateLimit"):
                yield from _limits(each, "settings.throttling{}Limit", settings)


def _limits(
    resource: Resource, path: str, settings: Settings, spelling: Callable[[str], str] = str
) -> Findings:
    for limit, most in (("Rate", settings["maxRate"]), ("Burst", settings["maxBurst"])):
        # 0 refuses everything, -1 is the provider's word for no limit.
        fits = between(0.001, most)
        yield from expect(resource, path.format(spelling(limit)), fits, f"above 0 and at most {most:g}")


RULES = (authorizer_required, throttling)
