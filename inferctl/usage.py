"""What a tenant used and what that costs: through the API by logs, through jobs by their table.

A function's log says who asked it and for how many rows. Requests to models on EKS and SageMaker are in the
API's access log, with the seconds that the backend took. Requests under /v1 name the model in their body,
which no log has: they are one line, without a cost.
"""

import json
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from cost import prices
from cost.usage import Compute, rate
from environments.schema import Environment
from inferctl.client import Client
from inferctl.errors import CommandFailed
from inferctl.jobs import job_usage
from inferctl.session import deployed

Env = Annotated[str, typer.Option("--env", "-e", envvar="ENV", help="Environment: a file in environments/.")]


@dataclass(frozen=True, kw_only=True)
class Line:
    """What was used of one model in one way, with seconds of computing."""

    model: str
    how: str
    requests: int
    rows: int
    tokens: int
    compute_s: float | None
    """None where nobody says: an asynchronous endpoint does not."""


_ROUTE = re.compile(r"/v2/models/([^/]+)/infer|(/v1/).*")


def usage(
    tenant: Annotated[str, typer.Option("--tenant", "-t", help="Whose use to show.")],
    env: Env = "local",
    days: Annotated[int, typer.Option(min=1, max=365, help="How many days back.")] = 30,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what a tenant used: requests, rows, tokens and seconds of computing, with their list price.

    The price is that of the seconds used. What a model costs while it waits is nobody's: see `inferctl cost`.

    Example: inferctl usage --tenant acme --days 7
    """
    session = deployed(env)
    client = session.client()
    if tenant not in client.outputs["tenant_client_ids"]:
        known = ", ".join(sorted(client.outputs["tenant_client_ids"]))
        raise CommandFailed(f"there is no tenant {tenant!r}", f"choose one of: {known}")
    lines = used(client, tenant, days)
    costs = [usd(session.env, line) for line in lines]
    if as_json:
        told = [asdict(line) | {"usd": cost} for line, cost in zip(lines, costs, strict=True)]
        typer.echo(json.dumps({"tenant": tenant, "days": days, "usage": told}, indent=1))
        return
    table = Table("model", "through", "requests", "rows", "tokens", "compute seconds", "cost")
    for line, cost in zip(lines, costs, strict=True):
        counts = (line.requests, line.rows, line.tokens)
        seconds = "-" if line.compute_s is None else f"{line.compute_s:.1f}"
        shown = "-" if cost is None else f"${cost:,.6f}"
        table.add_row(line.model, line.how, *(f"{count:,}" for count in counts), seconds, shown)
    table.add_section()
    table.add_row("in all", *[""] * 5, f"${sum(cost or 0 for cost in costs):,.6f}")
    Console().print(table)


def used(client: Client, tenant: str, days: int) -> list[Line]:
    """A line for each model and way, in the order of their names."""
    since = int(time.time()) - days * 86_400
    lines = [
        *_requests(client, tenant, since),
        *_gateway_requests(client, tenant, since),
        *_jobs(client, tenant, days),
    ]
    return sorted(lines, key=lambda line: (line.model, line.how))


def _jobs(client: Client, tenant: str, days: int) -> Iterable[Line]:
    since = time.strftime("%Y-%m-%d", time.gmtime(time.time() - (days - 1) * 86_400))
    found = [day for day in job_usage(client, tenant) if day.day >= since]
    for model in {day.model for day in found}:
        of_model = [day for day in found if day.model == model]
        yield Line(
            model=model,
            how="jobs",
            requests=sum(day.requests for day in of_model),
            rows=sum(day.rows for day in of_model),
            tokens=sum(day.tokens for day in of_model),
            compute_s=sum(day.compute_ms for day in of_model) / 1000 or None,
        )


def _requests(client: Client, tenant: str, since: int) -> Iterable[Line]:
    """Requests that models on functions answered, as their logs have them."""
    groups = [f"/aws/lambda/{function}" for function in client.outputs["model_functions"].values()]
    if not groups:
        return
    totals: dict[str, list[float]] = {}
    for line in _lines(client.aws("logs"), groups, tenant, since):
        if line.get("message") != "request" or line["status"] >= 500:
            continue  # a fault of ours is nobody's use
        total = totals.setdefault(line["model"], [0, 0, 0])
        for place, value in enumerate((1, line["rows"], line["duration_ms"] / 1000)):
            total[place] += value
    for model, (requests, rows, compute_s) in totals.items():
        yield Line(
            model=model,
            how="requests",
            requests=int(requests),
            rows=int(rows),
            tokens=0,
            compute_s=compute_s,
        )


def _gateway_requests(client: Client, tenant: str, since: int) -> Iterable[Line]:
    """Requests that the API handed to models which do not run on functions."""
    group = f"/aws/apigateway/{client.outputs['platform']}-{client.outputs['environment']}/access"
    totals: dict[str, list[float]] = {}
    for line in _lines(client.aws("logs"), [group], tenant, since):
        found = _ROUTE.fullmatch(str(line.get("route")))
        if found is None or int(line["status"]) >= 500:
            continue
        model = found[1] or f"{found[2]}..."
        if model not in client.outputs["model_functions"]:
            total = totals.setdefault(model, [0, 0])
            total[0] += 1
            total[1] += _number(line.get("integrationMs")) / 1000
    for model, (requests, compute_s) in totals.items():
        yield Line(model=model, how="requests", requests=int(requests), rows=0, tokens=0, compute_s=compute_s)


def _number(said: Any) -> float:
    """A number of an access log, which has `-` where a request went nowhere."""
    text = str(said)
    return float(text) if text.replace(".", "", 1).isdecimal() else 0.0


def _lines(logs: Any, groups: Sequence[str], tenant: str, since: int) -> Iterator[dict[str, Any]]:
    """The lines that name a tenant, as JSON."""
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html
    pattern = f'{{ $.tenant = "{tenant}" }}'
    for group in groups:
        pages = logs.get_paginator("filter_log_events").paginate(
            logGroupName=group, startTime=since * 1000, filterPattern=pattern
        )
        for event in (event for page in pages for event in page["events"]):
            try:
                line = json.loads(event["message"])
            except ValueError:
                continue  # Lambda's own
            if isinstance(line, dict) and line.get("tenant") == tenant:
                yield line


def usd(env: Environment, line: Line) -> float | None:
    """The list price of a line; None where no source says it, or nothing says how long it took."""
    entry = env.models.get(line.model)
    if entry is None or line.compute_s is None:
        return None
    try:
        table = prices.load(env.region)
    except prices.NoPrices:
        return None
    compute = _compute(entry.settings(), "arm" if env.functions.architecture == "arm64" else "x86")
    return rate(table, compute, through_api=line.how == "requests").cost(line.requests, line.compute_s)


def _compute(settings: Mapping[str, Any], processor: str) -> Compute:
    """What a model of the catalogue computes on."""
    match settings["backend"]:
        case "lambda":
            return Compute(processor=processor, memory_gb=settings["memory_mb"] / 1024)
        case "eks":
            return Compute(instance=settings["accelerator"], gpus=settings["replica"]["gpus"])
    if settings["mode"] == "serverless":
        return Compute(memory_gb=settings["memory_mb"] / 1024)
    return Compute(instance=settings["instance"])
