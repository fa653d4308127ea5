"""Prices of functions and of the API in front of the models."""

import re
from collections.abc import Iterator, Mapping

from cost.lines import Line, Plan, Pricer
from cost.load import HOURS
from cost.resources import Resource, number

_MILLION = 1e6
_SCHEDULES = ("aws:cloudwatch/eventRule:EventRule", "aws:scheduler/schedule:Schedule")
_MINUTES = {"minute": 1, "hour": 60, "day": 1440}
# States of the delivery machine that call a function, with a few turns of the one that watches the canary.
_CALLS_PER_DELIVERY = 20


def _processor(resource: Resource) -> str:
    return "arm" if "arm64" in resource.items("architectures") else "x86"


def _memory_gb(resource: Resource) -> float:
    return number(resource.get("memorySize"), "memorySize", 128) / 1024


def _function(resource: Resource, plan: Plan) -> Iterator[Line]:
    """A model's function runs for each of its inferences, any other as its component is called."""
    model = plan.load.of(resource.model)
    if resource.model:
        calls, ms, why = model.calls, model.ms, f"load.models.{resource.model}"
    else:
        (calls, why), ms = _calls(resource, plan), plan.load.function_ms
    yield plan.usage(resource, "lambda.requests", "invocations", calls / _MILLION, why)
    seconds = calls * ms / 1000 * _memory_gb(resource)
    formula = f"{calls:,.10g} x {ms:g} ms x {_memory_gb(resource):g} GB"
    yield plan.usage(resource, f"lambda.{_processor(resource)}", "run time", seconds, formula)


def _calls(resource: Resource, plan: Plan) -> tuple[float, str]:
    """How often a function of no model runs in a month."""
    if resource.component == "jobs":
        return plan.load.jobs, "at most one call for each job"
    if resource.component == "model-delivery":
        return plan.load.deliveries * _CALLS_PER_DELIVERY, f"load.deliveries x {_CALLS_PER_DELIVERY} calls"
    schedules = [each for type_ in _SCHEDULES for each in plan.of(type_)]
    own = [each for each in schedules if each.component == resource.component]
    if runs := sum(_runs(str(each.get("scheduleExpression", ""))) for each in own):
        return runs, "runs of its schedules"
    return plan.load.requests, "at most one call for each request"


def _runs(expression: str) -> float:
    """Runs a month of `rate(5 minutes)`; nothing of what runs at other times."""
    rate = re.fullmatch(r"rate\((\d+) (minute|hour|day)s?\)", expression)
    return HOURS * 60 / (int(rate[1]) * _MINUTES[rate[2]]) if rate else 0


def _provisioned(resource: Resource, plan: Plan) -> Iterator[Line]:
    count = number(resource.get("provisionedConcurrentExecutions"), "provisionedConcurrentExecutions")
    for function in plan.siblings(resource, "aws:lambda/function:Function"):
        seconds = count * _memory_gb(function) * HOURS * 3600
        yield plan.line(
            resource,
            f"lambda.provisioned.{_processor(function)}",
            "provisioned concurrency",
            idle=seconds,
            why=f"{count:g} x {_memory_gb(function):g} GB x {HOURS:g} hours x 3600 s",
            fix="provisioned_concurrency: 0, with snap_start: true for fast starts",
        )


def _rest_api(resource: Resource, plan: Plan) -> Iterator[Line]:
    yield from _requests(resource, plan, "api.rest", "API requests")


def _http_api(resource: Resource, plan: Plan) -> Iterator[Line]:
    yield from _requests(resource, plan, "api.http", "API requests")


def _requests(resource: Resource, plan: Plan, key: str, what: str) -> Iterator[Line]:
    """A line for each model that has a load, so that its requests count to its cost."""
    for name, model in plan.load.models.items():
        millions = plan.part(model.calls / _MILLION, resource)
        yield plan.line(
            resource, key, f"{what} for {name}", load=millions, why=f"load.models.{name}", model=name
        )


def _stage(resource: Resource, plan: Plan) -> Iterator[Line]:
    if resource.get("cacheClusterEnabled"):
        size = str(resource.get("cacheClusterSize", "0.5"))
        key = f"api.cache.{size}" if f"api.cache.{size}" in plan.table.rows else "api.cache.other"
        yield plan.hours(resource, key, f"cache of {size} GB", fix="no cache on the stage")


def _web_acl(resource: Resource, plan: Plan) -> Iterator[Line]:
    yield plan.month(resource, "waf.acl", "web ACL", fix="web_acl: null")
    yield plan.month(resource, "waf.rule", "rules", len(resource.items("rules")))
    yield from _requests(resource, plan, "waf.requests", "requests")


def _pool(resource: Resource, plan: Plan) -> Iterator[Line]:
    tier = str(resource.get("userPoolTier", "ESSENTIALS")).lower()
    users = plan.part(plan.load.users, resource)
    fix = "identity.tier: ESSENTIALS"
    yield plan.line(resource, f"cognito.{tier}", f"users, tier {tier}", load=users, why="load.users", fix=fix)
    thousands = plan.part(plan.load.token_requests / 1000, resource)
    yield plan.usage(resource, "cognito.machine.tokens", "machine tokens", thousands, "load.token_requests")


def _client(resource: Resource, plan: Plan) -> Iterator[Line]:
    if "client_credentials" in resource.items("allowedOauthFlows"):
        yield plan.month(resource, "cognito.machine.client", "machine client")


PRICERS: Mapping[str, Pricer] = {
    "aws:lambda/function:Function": _function,
    "aws:lambda/provisionedConcurrencyConfig:ProvisionedConcurrencyConfig": _provisioned,
    "aws:apigateway/restApi:RestApi": _rest_api,
    "aws:apigatewayv2/api:Api": _http_api,
    "aws:apigateway/stage:Stage": _stage,
    "aws:wafv2/webAcl:WebAcl": _web_acl,
    "aws:cognito/userPool:UserPool": _pool,
    "aws:cognito/userPoolClient:UserPoolClient": _client,
}
