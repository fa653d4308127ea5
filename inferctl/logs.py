"""A model's log, read from CloudWatch Logs."""

from datetime import UTC, datetime, timedelta
from typing import Any

from inferctl.errors import CommandFailed
from inferctl.session import Session


def read(session: Session, model: str, minutes: int) -> list[dict[str, Any]]:
    """Events of the last minutes, oldest first: `time` (UTC) and `message`.

    Raises:
        CommandFailed: there is no such model, or it has written no log yet.
    """
    if model not in session.env.models:
        raise CommandFailed(
            f"there is no model {model!r} in {session.env.name}",
            f"choose one of: {', '.join(sorted(session.env.models))}",
        )
    client = session.client()
    group = log_group(client.outputs, model)
    since = datetime.now(UTC) - timedelta(minutes=minutes)
    api = client.aws("logs")
    try:
        pages = api.get_paginator("filter_log_events").paginate(
            logGroupName=group, startTime=int(since.timestamp() * 1000)
        )
        events = [event for page in pages for event in page["events"]]
    except api.exceptions.ResourceNotFoundException:
        raise CommandFailed(
            f"{model} has written no log: there is no log group {group}",
            f"ask it once with `inferctl invoke {model} TENANT REQUEST`, or run `inferctl verify`",
        ) from None
    return [
        {
            "time": datetime.fromtimestamp(event["timestamp"] / 1000, UTC).isoformat(timespec="milliseconds"),
            "message": event["message"].rstrip(),
        }
        for event in sorted(events, key=lambda event: event["timestamp"])
    ]


def log_group(outputs: Any, model: str) -> str:
    """Where a model's server logs, by its backend.

    Raises:
        CommandFailed: the stack does not say where the model runs.
    """
    if function := outputs.get("model_functions", {}).get(model):
        return f"/aws/lambda/{function}"
    if endpoint := outputs.get("model_endpoints", {}).get(model):
        return f"/aws/sagemaker/Endpoints/{endpoint}"
    if cluster := outputs.get("cluster_name"):
        # https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Container-Insights-setup-logs-FluentBit.html
        return f"/aws/containerinsights/{cluster}/application"
    raise CommandFailed(
        f"the stack's outputs do not say where {model} runs", "run `make up`, which refreshes them"
    )
