"""What a tenant used and what that costs, from the places where it is counted, each request in one of them.

Functions and SageMaker's containers log each request with tenant, rows and tokens. The cluster's router and
the workers of jobs count in the table of jobs, by day.
"""

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
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
from inferctl.jobs import job_usage, request_usage
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


_COUNTS = ("requests", "rows", "tokens", "compute_ms")
Use = tuple[str, str, Mapping[str, Any]]
"""Model, how, and some of `_COUNTS` of it."""


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
    first = time.strftime("%Y-%m-%d", time.gmtime(time.time() - (days - 1) * 86_400))
    totals: dict[tuple[str, str], Counter[str]] = {}
    for model, how, counts in (*_logged(client, tenant, days), *_noted(client, tenant, first)):
        totals.setdefault((model, how), Counter()).update(counts)
    return [
        Line(
            model=model,
            how=how,
            requests=total["requests"],
            rows=total["rows"],
            tokens=total["tokens"],
            compute_s=total["compute_ms"] / 1000 or None,
        )
        for (model, how), total in sorted(totals.items())
    ]


def _noted(client: Client, tenant: str, first: str) -> Iterator[Use]:
    """Jobs, and requests through the cluster's router, day by day since the first, from the table."""
    for how, days in (("jobs", job_usage(client, tenant)), ("requests", request_usage(client, tenant))):
        for day in days:
            if day.day >= first:
                yield day.model, how, {name: getattr(day, name) for name in _COUNTS}


def _logged(client: Client, tenant: str, days: int) -> Iterator[Use]:
    """Requests that functions and endpoints answered, one by one, from their logs."""
    groups = [f"/aws/lambda/{function}" for function in client.outputs["model_functions"].values()]
    for endpoint in client.outputs["model_endpoints"].values():
        groups.append(f"/aws/sagemaker/Endpoints/{endpoint['EndpointName']}")
    since = int(time.time()) - days * 86_400
    for line in _lines(client.aws("logs"), groups, tenant, since):
        if line.get("message") == "request" and "requests" in line:
            yield line["model"], "requests", {name: line[name] for name in _COUNTS}


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
