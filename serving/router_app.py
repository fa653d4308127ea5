"""Entry point of the router's container.

    python -m serving.router_app

Environment:
    ROUTER_MODELS        JSON: name -> {engine, url, queue_url, openai}
    ROUTER_PREFIX        what paths may begin with, e.g. /live, beside nothing
    USAGE_TABLE          table in which it takes down what tenants use; without it, it does not
    ROUTER_BALANCER_URL  where language models' requests go; without it, to their replicas
    HOST, PORT           where to listen (default 127.0.0.1, 8080)
    LOG_LEVEL            (INFO)
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import boto3
import orjson
import uvicorn
from botocore.config import Config

from serving import listening, logs
from serving.rollout import WAKE_MESSAGE
from serving.router_front import Router, Target
from serving.usage_ledger import Ledger

# How long requests in flight may take after SIGTERM; below what the pod gets to end.
GRACE_S = 45
# Where AWS does not answer, counts wait for the next flush and not for this one.
_LEDGER = Config(connect_timeout=2, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 2})
_WAITING = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment says."""

    models: Mapping[str, Target]
    balancer_url: str | None
    usage_table: str | None
    prefix: str
    host: str
    port: int

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Self:
        """Read the environment. Raises ValueError that names the variable at fault."""
        try:
            models = {
                name: Target(**target) for name, target in orjson.loads(environment["ROUTER_MODELS"]).items()
            }
        except (KeyError, AttributeError, TypeError, orjson.JSONDecodeError) as error:
            raise ValueError(f"ROUTER_MODELS must be a JSON object of models: {error}") from None
        return cls(
            models=models,
            balancer_url=environment.get("ROUTER_BALANCER_URL"),
            usage_table=environment.get("USAGE_TABLE"),
            prefix=environment.get("ROUTER_PREFIX", ""),
            host=environment.get("HOST", "127.0.0.1"),
            port=int(environment.get("PORT", "8080")),
        )


def wake(sqs: Any, queue_url: str) -> None:
    """Leave a message for a cold model where there is none: whatever waits there wakes it already, be it a
    job, or what another replica of the router has left."""
    found = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=list(_WAITING))["Attributes"]
    if not any(int(found[name]) for name in _WAITING):
        sqs.send_message(QueueUrl=queue_url, MessageBody=WAKE_MESSAGE)


def main() -> None:
    """Route until a signal ends it."""
    logs.configure(os.environ.get("LOG_LEVEL", "INFO"))
    try:
        settings = Settings.of(os.environ)
    except ValueError as error:
        sys.exit(f"the router cannot start: {error}")
    waker = partial(wake, boto3.client("sqs"))
    ledger = None
    if settings.usage_table:
        table = boto3.resource("dynamodb", config=_LEDGER).Table(settings.usage_table)
        ledger = Ledger(table, boto3.client("cloudwatch", config=_LEDGER))
    router = Router(settings.models, settings.balancer_url, waker, prefix=settings.prefix, ledger=ledger)
    uvicorn.Server(listening.config(router, settings.host, settings.port, GRACE_S)).run()


if __name__ == "__main__":
    main()
