"""What tenants used of models through the router: counted in memory, kept in the table of jobs, and metrics.

    pk                  sk             requests, rows, tokens, compute_ms
    requests#<tenant>   <day>#<model>  what the tenant used on that day

Every few seconds the counts go to the table in transactions, each with a token of its own: one that is tried
again is counted once. A process that is killed loses the counts of those seconds.
https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
"""

import asyncio
import logging
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from serving.logs import NAMESPACE, USAGE_UNITS
from serving.usage import Used

FLUSH_S = 15
_LAST_TRIES, _LAST_PAUSE_S = 3, 1
_MOST = 100
"""Items of a transaction; a call that puts metrics takes four times as many."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Line:
    tenant: str
    model: str
    day: str
    used: Used

    @property
    def counts(self) -> dict[str, int]:
        used = self.used
        values = (used.requests, used.rows, used.tokens, round(used.compute_ms))
        return dict(zip(("requests", "rows", "tokens", "compute_ms"), values, strict=True))


@dataclass(frozen=True, slots=True)
class _Batch:
    token: str
    lines: Sequence[_Line]


class Ledger:
    """`table`: a boto3 DynamoDB table; `cloudwatch`: a client of CloudWatch. Used by one event loop."""

    def __init__(self, table: Any, cloudwatch: Any) -> None:
        self._table, self._cloudwatch = table, cloudwatch
        self._counts: dict[tuple[str, str, str], Used] = {}
        self._unsent: list[_Batch] = []
        self._flushing = asyncio.Lock()
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def add(self, tenant: str, model: str, used: Used) -> None:
        """Count one request."""
        key = (tenant, model, time.strftime("%Y-%m-%d", time.gmtime()))
        self._counts[key] = self._counts.get(key, Used()) + used

    def start(self) -> None:
        """Write every few seconds from now on."""
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Write the rest, which other replicas may be in the way of for a moment."""
        self._closing.set()
        if self._task is not None:
            await self._task
        for _ in range(_LAST_TRIES):
            if await self._try():
                return
            await asyncio.sleep(_LAST_PAUSE_S)

    async def flush(self) -> None:
        """Write what was counted, first what a flush before could not. Raises the clients' errors."""
        async with self._flushing:
            while self._unsent or self._counts:
                if not self._unsent:
                    lines = [_Line(*key, used) for key, used in self._counts.items()]
                    self._counts = {}
                    self._unsent = [
                        _Batch(uuid.uuid4().hex, lines[start : start + _MOST])
                        for start in range(0, len(lines), _MOST)
                    ]
                await asyncio.to_thread(self._write, self._unsent[0])
                del self._unsent[0]

    async def _run(self) -> None:
        while not self._closing.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), FLUSH_S)
            await self._try()

    async def _try(self) -> bool:
        try:
            await self.flush()
        except Exception:
            logger.exception("usage could not be written; it is tried again")
            return False
        return True

    def _write(self, batch: _Batch) -> None:
        items = [_update(self._table.name, line) for line in batch.lines]
        self._table.meta.client.transact_write_items(TransactItems=items, ClientRequestToken=batch.token)
        try:
            data = [datum for line in batch.lines for datum in _metrics(line)]
            self._cloudwatch.put_metric_data(Namespace=NAMESPACE, MetricData=data)
        except Exception:
            # What counts is in the table; metrics that are sent again would be counted twice.
            logger.exception("metrics of the usage could not be put")


def _update(table: str, line: _Line) -> dict[str, Any]:
    adds = ", ".join(f"#{name} :{name}" for name in line.counts)
    return {
        "Update": {
            "TableName": table,
            "Key": {"pk": f"requests#{line.tenant}", "sk": f"{line.day}#{line.model}"},
            "UpdateExpression": f"ADD {adds}",
            "ExpressionAttributeNames": {f"#{name}": name for name in line.counts},
            "ExpressionAttributeValues": {f":{name}": count for name, count in line.counts.items()},
        }
    }


def _metrics(line: _Line) -> list[dict[str, Any]]:
    """As the line of a request has them: a sum means the same there, an average does not."""
    dimensions = [{"Name": "tenant", "Value": line.tenant}, {"Name": "model", "Value": line.model}]
    return [
        {"MetricName": name, "Dimensions": dimensions, "Value": count, "Unit": USAGE_UNITS[name]}
        for name, count in line.counts.items()
    ]
