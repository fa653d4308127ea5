"""What the replicas of a model on the cluster are to serve, and what they say: rows of the deliveries' table.

    model               entry       written by
    <model>/serving     wanted      deliveries: which version is live, which one is tried, with which share
    <model>/replicas    <replica>   each replica, about itself, for as long as it lives

No name of a model has a slash, so these keys are nobody else's. The role of a model's pods may read the one
row, read and write the others of its own model, and nothing beside them; so no delivery needs a way into the
cluster, and no pod can say what is live.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from botocore.exceptions import ClientError

WAKE_MESSAGE = '{"wake":true}'
"""In a model's jobs queue, starts its first replica."""
WANTED = "wanted"
LOOK_S = 2.0
"""How often a replica asks what it is to serve, seconds."""
_EXPIRES_S = 3600
"""How long the row of a replica stays that has gone, seconds."""


def serving_key(model: str) -> str:
    """Key of what a model's replicas are to serve."""
    return f"{model}/serving"


def replicas_key(model: str) -> str:
    """Key of what they say."""
    return f"{model}/replicas"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the replicas of a model are to serve."""

    version: str = ""
    """Takes the requests; empty before the first delivery: then the replica's own setting says it."""
    candidate: str = ""
    """Is loaded beside it and tried; empty where none is."""
    share: float = 0.0
    """Part of the requests (0 to 1) that the candidate answers."""
    delivery: str = ""
    """Id of the delivery that said so last."""
    revision: int = 0
    """Grows with every change, so that a step that was overtaken changes nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a replica says of itself."""

    replica: str
    delivery: str
    """The delivery that it has heard of last."""
    version: str
    """What it serves; empty while it has loaded nothing."""
    candidate: str = ""
    state: Literal["", "loading", "ready", "refused"] = ""
    """Of the candidate, or of the version that it is to go over to."""
    reason: str = ""
    """Why it is refused."""
    digest: str = ""
    golden: int = 0
    """How many golden requests the candidate has passed here."""
    slowest_ms: float = 0.0
    """The longest that one of them takes at its best."""
    share: float = 0.0
    """Part of the requests that the candidate gets here."""
    requests: int = 0
    """How many requests of clients the candidate has answered, and with a 5xx."""
    faults: int = 0
    latencies: tuple[int, ...] = ()
    """How many of them took how long, by `metrics.BUCKETS`."""
    at: float = 0.0
    """Seconds of the epoch."""


class Rollouts:
    """The rows of all models in the deliveries' table. `client`: of DynamoDB, boto3's or botocore's."""

    def __init__(self, client: Any, table: str) -> None:
        self._client, self._table = client, table

    def wanted(self, model: str) -> Wanted | None:
        """What the model's replicas are to serve; None before its first delivery."""
        key = {"model": {"S": serving_key(model)}, "entry": {"S": WANTED}}
        found = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True)
        return Wanted(**json.loads(found["Item"]["document"]["S"])) if "Item" in found else None

    def want(self, model: str, wanted: Wanted, before: Wanted | None) -> bool:
        """Replace what was read `before`; False where somebody else did so since."""
        revision = before.revision if before else 0
        document = {**asdict(wanted), "revision": revision + 1}
        item = _item(serving_key(model), WANTED, document) | {"revision": {"N": str(revision + 1)}}
        condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(entry)"}
        if before:
            condition = {
                "ConditionExpression": "revision = :before",
                "ExpressionAttributeValues": {":before": {"N": str(revision)}},
            }
        try:
            self._client.put_item(TableName=self._table, Item=item, **condition)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise
            return False
        return True

    def report(self, model: str, report: Report) -> None:
        """Replace what a replica says of itself; the row goes by itself once the replica has gone."""
        item = _item(replicas_key(model), report.replica, asdict(report))
        item["expires"] = {"N": str(int(time.time()) + _EXPIRES_S)}
        self._client.put_item(TableName=self._table, Item=item)

    def last_report(self, model: str, replica: str) -> Report | None:
        """What a replica of this name said last; None where it has not, or not for an hour."""
        key = {"model": {"S": replicas_key(model)}, "entry": {"S": replica}}
        found = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True)
        return _report(found["Item"]) if "Item" in found else None

    def reports(self, model: str) -> list[Report]:
        """What the model's replicas have said, those that have gone lately among them."""
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            ConsistentRead=True,
            KeyConditionExpression="model = :model",
            ExpressionAttributeValues={":model": {"S": replicas_key(model)}},
        )
        return [_report(item) for page in pages for item in page["Items"]]


def _report(item: Mapping[str, Any]) -> Report:
    document = json.loads(item["document"]["S"])
    return Report(**document | {"latencies": tuple(document["latencies"])})


def _item(key: str, entry: str, document: Mapping[str, Any]) -> dict[str, Any]:
    return {"model": {"S": key}, "entry": {"S": entry}, "document": {"S": json.dumps(document)}}
