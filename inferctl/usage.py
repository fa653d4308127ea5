"""What a tenant used: through the API, by the models' own logs, and through jobs, by the table of jobs."""

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

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
    compute_s: float


def usage(
    tenant: Annotated[str, typer.Option("--tenant", "-t", help="Whose use to show.")],
    env: Env = "local",
    days: Annotated[int, typer.Option(min=1, max=365, help="How many days back.")] = 30,
) -> None:
    """Show what a tenant used: requests, rows, tokens and seconds of computing.

    Example: inferctl usage --tenant acme --days 7
    """
    client = deployed(env).client()
    if tenant not in client.outputs["tenant_client_ids"]:
        known = ", ".join(sorted(client.outputs["tenant_client_ids"]))
        raise CommandFailed(f"there is no tenant {tenant!r}", f"choose one of: {known}")
    table = Table("model", "through", "requests", "rows", "tokens", "compute seconds")
    for line in used(client, tenant, days):
        counts = (line.requests, line.rows, line.tokens)
        table.add_row(line.model, line.how, *(f"{count:,}" for count in counts), f"{line.compute_s:.1f}")
    Console().print(table)


def used(client: Client, tenant: str, days: int) -> list[Line]:
    """A line for each model and way, in the order of their names."""
    lines = [*_requests(client, tenant, days), *_jobs(client, tenant, days)]
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
            compute_s=sum(day.compute_ms for day in of_model) / 1000,
        )


def _requests(client: Client, tenant: str, days: int) -> Iterable[Line]:
    """Requests that models on functions answered, as their logs have them."""
    groups = [f"/aws/lambda/{function}" for function in client.outputs["model_functions"].values()]
    if not groups:
        return
    totals: dict[str, list[float]] = {}
    for line in _lines(client.aws("logs"), groups, tenant, int(time.time()) - days * 86_400):
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


def _lines(logs: Any, groups: Sequence[str], tenant: str, since: int) -> Iterator[dict[str, Any]]:
    """The lines of requests that were answered, refusals included and faults of ours left out."""
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
            if line.get("message") == "request" and line.get("tenant") == tenant and line["status"] < 500:
                yield line
