"""Whose turn it is to deliver a model, and what became of every delivery: one DynamoDB table.

Rows of a model, by `entry`:
    lock              names the execution whose turn it is
    ticket#<name>     an execution that waits, and since when
    history#<id>      a delivery that has ended, with its outcome and reason; written once

An execution is known by the name that Step Functions gives it. A lock or a ticket whose execution has ended
is void: there is no lease that could run out too early or too late.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

Alive = Callable[[str], bool]
"""Whether an execution is still running."""


class Ledger:
    """The table of one environment."""

    def __init__(self, client: Any, table: str) -> None:
        self._client, self._table = client, table

    def take_turn(self, model: str, execution: str, alive: Alive) -> bool:
        """Whether it is this execution's turn; it keeps it until it leaves or ends. Asked again and again."""
        self._put(
            model,
            f"ticket#{execution}",
            {"since": now(), "execution": execution},
            "attribute_not_exists(entry)",
        )
        for ticket in sorted(self._query(model, "ticket#"), key=lambda t: (t["since"], t["entry"])):
            if ticket["execution"] == execution:
                break
            if alive(ticket["execution"]):
                return False
            self._delete(model, ticket["entry"])
        # Tickets of the same moment may be seen in two orders: the lock decides.
        if self._lock(model, execution, "attribute_not_exists(holder) OR holder = :mine"):
            return True
        holder = self._get(model, "lock").get("holder", "")
        if holder and alive(holder):
            return False
        return self._lock(model, execution, "holder = :old", old=holder)

    def leave(self, model: str, execution: str) -> None:
        """Give up the turn or the place in the queue."""
        self._delete(model, f"ticket#{execution}")
        self._delete(model, "lock", condition="holder = :mine", values={":mine": {"S": execution}})

    def outcome(self, model: str, delivery_id: str) -> Mapping[str, str]:
        """The record of a delivery that has ended; empty for one that has not."""
        return self._get(model, f"history#{delivery_id}")

    def record(self, model: str, delivery_id: str, record: Mapping[str, str]) -> None:
        """Keep what became of a delivery; the first record stays."""
        self._put(
            model,
            f"history#{delivery_id}",
            {"id": delivery_id, "at": now(), **{key: value for key, value in record.items() if value}},
            "attribute_not_exists(entry)",
        )

    def holder(self, model: str) -> str | None:
        """The execution whose turn it is."""
        return self._get(model, "lock").get("holder")

    def waiting(self, model: str) -> int:
        """How many deliveries there are that have not ended, the one whose turn it is among them."""
        return sum(1 for _ in self._query(model, "ticket#"))

    def history(self, model: str) -> list[Mapping[str, str]]:
        """The model's deliveries, the last one first."""
        return sorted(self._query(model, "history#"), key=lambda record: record["at"], reverse=True)

    def _lock(self, model: str, execution: str, condition: str, old: str = "") -> bool:
        values = {":old": {"S": old}} if old else {":mine": {"S": execution}}
        return self._put(model, "lock", {"holder": execution, "since": now()}, condition, values)

    def _put(
        self,
        model: str,
        entry: str,
        attributes: Mapping[str, str],
        condition: str,
        values: Mapping[str, Any] | None = None,
    ) -> bool:
        """Write a row where the condition holds; whether it did."""
        row = {"model": model, "entry": entry, **attributes}
        item = {key: {"S": value} for key, value in row.items()}
        return self._conditional(self._client.put_item, condition, values, TableName=self._table, Item=item)

    def _delete(
        self, model: str, entry: str, condition: str = "", values: Mapping[str, Any] | None = None
    ) -> bool:
        key = {"model": {"S": model}, "entry": {"S": entry}}
        return self._conditional(self._client.delete_item, condition, values, TableName=self._table, Key=key)

    @staticmethod
    def _conditional(call: Any, condition: str, values: Mapping[str, Any] | None, **arguments: Any) -> bool:
        if condition:
            arguments["ConditionExpression"] = condition
        if values:
            arguments["ExpressionAttributeValues"] = dict(values)
        try:
            call(**arguments)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise
            return False
        return True

    def _get(self, model: str, entry: str) -> Mapping[str, str]:
        key = {"model": {"S": model}, "entry": {"S": entry}}
        found = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True)
        return _plain(found.get("Item", {}))

    def _query(self, model: str, prefix: str) -> Iterator[Mapping[str, str]]:
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            ConsistentRead=True,
            KeyConditionExpression="model = :model AND begins_with(entry, :prefix)",
            ExpressionAttributeValues={":model": {"S": model}, ":prefix": {"S": prefix}},
        )
        return (_plain(item) for page in pages for item in page["Items"])


def now() -> str:
    """The time as it stands in records: UTC, to the microsecond, in an order that text keeps."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _plain(item: Mapping[str, Mapping[str, str]]) -> Mapping[str, str]:
    return {key: value["S"] for key, value in item.items()}
