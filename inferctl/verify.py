"""`verify`: whether the deployed platform is what was asked for, and works."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from inferctl.checks import Finding, Result, fault, ok, run, unknown
from inferctl.client import Client
from inferctl.graph import Graph
from inferctl.session import Session, deployed
from toolchain.progress import Step

RENEWAL = timedelta(days=30)
"""ACM renews 60 days before the end: https://docs.aws.amazon.com/acm/latest/userguide/managed-renewal.html"""


def examine(name: str) -> list[Result]:
    """All checks of a deployed environment."""
    session = deployed(name)
    client, graph = session.client(), Graph.of(session.engine.export())
    return run(
        "verify",
        [
            ("API", lambda _: api(session, client)),
            ("stage", lambda _: stage(session, client)),
            ("functions", lambda _: functions(graph, client)),
            ("endpoints", lambda _: endpoints(graph, client)),
            ("certificates", lambda _: certificates(graph, client)),
            ("alarms", lambda _: alarms(graph, client)),
            ("drift", lambda step: drift(session, step)),
        ],
        name,
    )


def api(session: Session, client: Client) -> Iterator[Finding]:
    """Open where it must be, closed where it must be, and every model ready."""
    live = httpx.get(f"{client.url}/v2/health/live", timeout=30)
    if live.is_error:
        yield fault(
            f"{client.url}/v2/health/live answers {live.status_code}: {live.text[:200]}",
            f"run `inferctl up --env {session.env.name}`, then read the gateway's log",
        )
        return
    yield ok(f"{client.url} is live")
    refused = httpx.get(f"{client.url}/v2/models", timeout=30)
    if refused.status_code != httpx.codes.UNAUTHORIZED:
        yield fault(
            f"/v2/models answers {refused.status_code} without a token instead of 401",
            "stop the traffic and run `inferctl up`: the authorizer is not in front of the API",
        )
    else:
        yield ok("without a token it answers 401")
    tenant = next((tenant.name for tenant in session.env.tenants if "infer" in tenant.scopes), None)
    if tenant is None:
        yield unknown("no tenant has the scope infer, so no model can be asked")
        return
    headers = client.headers(tenant)
    wakes = "a request or a job wakes it"
    if session.env.costs and (parking := session.env.costs.parking):
        wakes += f"; while it is parked, only the schedule of {parking.wake} does"
    for model, entry in session.env.models.items():
        if getattr(entry, "mode", None) == "async":
            yield ok(f"model {model} takes jobs only")
            continue
        ready = httpx.get(f"{client.url}/v2/models/{model}/ready", headers=headers, timeout=60)
        # So the router answers; the gateway says 503 of a router or an endpoint that is out of order, too.
        if ready.status_code == httpx.codes.SERVICE_UNAVAILABLE and '"jobs":' in ready.text:
            yield ok(f"model {model} is asleep: {wakes}")
        elif ready.is_error and not _published(client, model):
            yield unknown(f"model {model} waits for its first publication")
        elif ready.is_error:
            yield fault(
                f"model {model} answers {ready.status_code}: {ready.text[:200]}",
                f"read its log: `inferctl logs {model} --env {session.env.name}`",
            )
        else:
            yield ok(f"model {model} is ready")


def _published(client: Client, model: str) -> bool:
    """Whether the model store holds any version."""
    bucket = client.outputs["models_bucket"]
    listed = client.aws("s3").list_objects_v2(Bucket=bucket, Prefix=f"models/{model}/", MaxKeys=1)
    return bool(listed.get("KeyCount"))


def stage(session: Session, client: Client) -> Iterator[Finding]:
    """The gateway's limits."""
    held = client.aws("apigateway").get_stage(restApiId=client.outputs["api_id"], stageName="live")
    settings = held.get("methodSettings", {}).get("*/*", {})
    wanted = {
        "throttlingRateLimit": session.env.gateway.rate_per_s,
        "throttlingBurstLimit": session.env.gateway.burst,
    }
    yield from _compared("stage live", wanted, settings)


def functions(graph: Graph, client: Client) -> Iterator[Finding]:
    """Configuration and aliases of the Lambda functions, against the stack's state."""
    api = client.aws("lambda")
    for function in graph.of_type("aws:lambda/function:Function"):
        asked, name = function["inputs"], function["outputs"]["name"]
        held = api.get_function_configuration(FunctionName=name)
        wanted = {
            "MemorySize": asked.get("memorySize"),
            "Timeout": asked.get("timeout"),
            "Runtime": asked.get("runtime"),
            "Handler": asked.get("handler"),
        }
        yield from _compared(f"function {name}", wanted, held)
    for alias in graph.of_type("aws:lambda/alias:Alias"):
        name = alias["outputs"]["functionName"]
        version = api.get_alias(FunctionName=name, Name=alias["outputs"]["name"])["FunctionVersion"]
        if version == "$LATEST":
            yield fault(
                f"alias {alias['outputs']['name']} of {name} serves $LATEST, which any update changes",
                "deliver a version: `inferctl up`",
            )
        else:
            yield ok(f"alias {alias['outputs']['name']} of {name} serves version {version}")


def endpoints(graph: Graph, client: Client) -> Iterator[Finding]:
    """SageMaker: a rolled-back update can be reported as success, so what serves is asked."""
    found, api = list(graph.of_type("aws:sagemaker/endpoint:Endpoint")), client.aws("sagemaker")
    configurations = {
        configuration["outputs"]["name"]: configuration["inputs"]
        for configuration in graph.of_type("aws:sagemaker/endpointConfiguration:EndpointConfiguration")
    }
    for endpoint in found:
        name = endpoint["outputs"]["name"]
        held = api.describe_endpoint(EndpointName=name)
        yield from _compared(f"endpoint {name}", {"EndpointStatus": "InService"}, held)
        # Deliveries move an endpoint to configurations of their own, with what the stack asks of instances.
        live = api.describe_endpoint_config(EndpointConfigName=held["EndpointConfigName"])
        asked = configurations.get(endpoint["inputs"].get("endpointConfigName"), {})
        for variant in asked.get("productionVariants", ()):
            wanted = {"InstanceType": variant.get("instanceType")}
            yield from _compared(f"configuration of {name}", wanted, live["ProductionVariants"][0])
    if not found:
        yield ok("no model runs on SageMaker")


def certificates(graph: Graph, client: Client) -> Iterator[Finding]:
    """Certificates are issued and not about to end."""
    found = list(graph.of_type("aws:acm/certificate:Certificate"))
    for certificate in found:
        arn = certificate["outputs"]["arn"]
        held = client.aws("acm").describe_certificate(CertificateArn=arn)["Certificate"]
        ends = held.get("NotAfter")
        if held["Status"] != "ISSUED":
            yield fault(
                f"the certificate of {held['DomainName']} is {held['Status']}",
                "see that its DNS records are in the zone, then `inferctl up`",
            )
        elif ends and ends - datetime.now(UTC) < RENEWAL:
            yield fault(
                f"the certificate of {held['DomainName']} ends on {ends:%Y-%m-%d} and was not renewed",
                "see that its validation record is still in the zone",
            )
        else:
            yield ok(f"{held['DomainName']} until {ends:%Y-%m-%d}" if ends else held["DomainName"])
    if not found:
        yield ok("the API uses AWS's own name and certificate")


def alarms(graph: Graph, client: Client) -> Iterator[Finding]:
    """Every alarm exists and may act. One that rings has told its people, and is as it was asked for."""
    wanted = {alarm["outputs"]["name"] for alarm in graph.of_type("aws:cloudwatch/metricAlarm:MetricAlarm")}
    if not wanted:
        yield ok("the stack has no alarm")
        return
    pages = client.aws("cloudwatch").get_paginator("describe_alarms").paginate()
    held = {alarm["AlarmName"]: alarm for page in pages for alarm in page["MetricAlarms"]}
    if gone := sorted(wanted - held.keys()):
        yield fault(f"alarms are missing: {', '.join(gone)}", "run `inferctl up`: it makes them again")
    if muted := sorted(name for name in wanted & held.keys() if not held[name].get("ActionsEnabled", True)):
        yield fault(f"may not act: {', '.join(muted)}", "`aws cloudwatch enable-alarm-actions`")
    if not (gone or muted):
        raised = sorted(name for name in wanted if held[name]["StateValue"] == "ALARM")
        yield ok(f"{len(wanted)} alarms; raised now, see their runbooks: {', '.join(raised) or 'none'}")


def drift(session: Session, step: Step) -> Iterator[Finding]:
    """What was changed beside the program, and what the program asks for that is not deployed."""
    drifted, planned = session.engine.drift(step), session.engine.preview(step)
    name = session.env.name
    if drifted.parked:
        yield ok(f"parked until the next working morning: {', '.join(step.path for step in drifted.parked)}")
    up = f"`inferctl plan --env {name}` shows it, `inferctl up --env {name}` puts it right"
    for outcome, said in ((drifted, "changed outside the program"), (planned, "asked for, but not deployed")):
        if outcome.errors or outcome.violations:
            yield fault("\n".join([*outcome.errors, *outcome.violations]), up)
        elif outcome.steps:
            names = [f"{step.path} ({step.operation})" for step in outcome.steps]
            more = f" and {len(names) - 10} more" if len(names) > 10 else ""
            yield fault(f"{said}: {', '.join(names[:10])}{more}", up)
        else:
            yield ok(f"nothing is {said}")


def _compared(what: str, wanted: Mapping[str, Any], held: Mapping[str, Any]) -> Iterator[Finding]:
    """Fields that are not as asked for; those that were left to AWS are not compared."""
    asked = {field: value for field, value in wanted.items() if value is not None}
    wrong = {field: held.get(field) for field, value in asked.items() if held.get(field) != value}
    if wrong:
        said = ", ".join(
            f"{field} is {value}, asked for was {asked[field]}" for field, value in wrong.items()
        )
        yield fault(f"{what}: {said}", "run `inferctl up`: it puts it back")
    else:
        yield ok(f"{what}: as asked for")
