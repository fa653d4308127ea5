"""A model's log, read from CloudWatch Logs."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from inferctl.errors import CommandFailed
from inferctl.session import Session

MOST = 1000
"""Lines of a process of this machine that are shown: they have no time of their own."""


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
    if own := _process_log(session.workspace.local, model):
        lines = own.read_text(encoding="utf-8", errors="replace").splitlines()
        return [{"time": "", "message": line} for line in lines[-MOST:]]
    client = session.client()
    group = log_group(client.outputs, model)
    since = datetime.now(UTC) - timedelta(minutes=minutes)
    api = client.aws("logs")
    try:
        pages = api.get_paginator("filter_log_events").paginate(
            logGroupName=group,
            startTime=int(since.timestamp() * 1000),
            # All pods of the cluster share a group; the model's have its name.
            **({"filterPattern": f'"model-{model}"'} if "containerinsights" in group else {}),
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


def _process_log(local: Path, model: str) -> Path | None:
    """The log of a model that runs as a process of this machine, as those of EKS and SageMaker do here."""
    known = [local / "servers" / f"{name}.log" for name in (f"model-{model}", model)]
    return next((path for path in known if path.exists()), None)


def log_group(outputs: Any, model: str) -> str:
    """Where a model's server logs, by its backend: its function, its endpoint, or the cluster."""
    if function := outputs.get("model_functions", {}).get(model):
        return f"/aws/lambda/{function}"
    if endpoint := outputs.get("model_endpoints", {}).get(model):
        # https://docs.aws.amazon.com/sagemaker/latest/dg/logging-cloudwatch.html
        return f"/aws/sagemaker/Endpoints/{endpoint['EndpointName']}"
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Container-Insights-EKS-logs.html
    return f"/aws/containerinsights/{outputs['platform']}-{outputs['environment']}/application"
