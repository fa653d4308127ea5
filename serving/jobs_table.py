"""The table of jobs: every change of a job is one conditional write here.

    pk                 sk             what
    job#<id>           job            the job; `share` (tenant#model) only while it is at work
    job#<id>           part#<n>       a committed part: where its results are
    usage#<tenant>     <day>#<model>  what the tenant used through jobs on that day
    requests#<tenant>  <day>#<model>  and by requests, as `usage_ledger` writes it

Everything that is asked twice, by a queue that delivers twice or a worker that died, is decided here: a
part's item can be made once, in one transaction with the counts of its job and of its tenant's use.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html
"""

import random
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any, Literal

from botocore.exceptions import ClientError

from serving.jobs import FINAL, Job
from serving.jobs_counts import PartOutcome, Usage

ACTIVE_INDEX, TENANT_INDEX = "active", "tenant"
_CONFLICTS = 12
"""Workers of one job that commit at the same moment: how often to try again."""


class JobTable:
    """`table`: a boto3 DynamoDB table; `keep_days`: how long a job is remembered."""

    def __init__(self, table: Any, keep_days: int = 30) -> None:
        self._table, self._keep_days = table, keep_days

    def create(self, job: Job) -> bool:
        """Note a new job. False when it is there already."""
        item = asdict(job) | {
            "pk": f"job#{job.id}",
            "sk": "job",
            "updated": job.created,
            "expires": job.created + self._keep_days * 86_400,
        }
        if job.state == "splitting":
            item["share"] = job.share
        return self._write("put_item", Item=item, ConditionExpression="attribute_not_exists(pk)")

    def get(self, id: str) -> Job | None:
        """A job, as the last write left it."""
        item = self._table.get_item(Key=_key(id), ConsistentRead=True).get("Item")
        return Job.of(item) if item else None

    def uploaded(self, job: Job, version: str) -> bool:
        """The upload of a job has come. False when there was one before."""
        return self._change(
            job.id,
            "#state = :waiting",
            {"state": "splitting", "input_version": version, "share": job.share},
            {":waiting": "awaiting_upload"},
        )

    def split(self, job: Job, parts: int, rows: int) -> bool:
        """All parts lie there: the job can run."""
        return self._change(
            job.id,
            "#state = :splitting",
            {"state": "running", "parts": parts, "rows": rows},
            {":splitting": "splitting"},
        )

    def advance(self, job: Job, dispatched: int) -> bool:
        """Parts up to `dispatched` are in the queue. False when another dispatcher was faster."""
        condition = "#state = :running AND dispatched = :before"
        values = {":running": "running", ":before": job.dispatched}
        return self._change(job.id, condition, {"dispatched": dispatched}, values)

    def commit(self, job: Job, part: int, outcome: PartOutcome) -> bool:
        """Make an attempt the one that counts. False when another was, or the job does not run any more."""
        name, now = self._table.name, int(time.time())
        day = time.strftime("%Y-%m-%d", time.gmtime(now))
        item = {"pk": f"job#{job.id}", "sk": f"part#{part:06}", **asdict(outcome)}
        counts: dict[str, int] = {
            "rows_failed": outcome.rows_failed,
            "tokens": outcome.tokens,
            "compute_ms": outcome.compute_ms,
        }
        return self._transact(
            {
                "Put": {
                    "TableName": name,
                    "Item": item | {"expires": job.created + self._keep_days * 86_400},
                    "ConditionExpression": "attribute_not_exists(pk)",
                }
            },
            {
                "Update": {
                    "TableName": name,
                    "Key": _key(job.id),
                    "UpdateExpression": f"SET updated = :now ADD {_adds(counts)}, done :one, rows_done :rows",
                    "ConditionExpression": "#state = :running",
                    "ExpressionAttributeNames": {"#state": "state"} | _names(counts),
                    "ExpressionAttributeValues": {":now": now, ":one": 1, ":running": "running"}
                    | {":rows": outcome.rows}
                    | _values(counts),
                }
            },
            {
                "Update": {
                    "TableName": name,
                    "Key": {"pk": f"usage#{job.tenant}", "sk": f"{day}#{job.model}"},
                    "UpdateExpression": f"ADD {_adds(counts)}, requests :one, #rows :rows",
                    "ExpressionAttributeNames": {"#rows": "rows"} | _names(counts),
                    "ExpressionAttributeValues": {":one": 1, ":rows": 0 if outcome.reason else outcome.rows}
                    | _values(counts),
                }
            },
        )

    def forget_part(self, job: Job, part: int, outcome: PartOutcome) -> bool:
        """Take back a part that failed as a whole, so that it can be tried again; reopens the job.

        False when the part is another one by now.
        """
        less = {"done": -1, "rows_done": -outcome.rows, "rows_failed": -outcome.rows_failed}
        return self._transact(
            {
                "Delete": {
                    "TableName": self._table.name,
                    "Key": {"pk": f"job#{job.id}", "sk": f"part#{part:06}"},
                    "ConditionExpression": "#key = :key",
                    "ExpressionAttributeNames": {"#key": "key"},
                    "ExpressionAttributeValues": {":key": outcome.key},
                }
            },
            {
                "Update": {
                    "TableName": self._table.name,
                    "Key": _key(job.id),
                    "UpdateExpression": "SET #state = :running, #share = :share, updated = :now, "
                    f"reason = :none, output_key = :none ADD {_adds(less)}",
                    "ConditionExpression": "#state <> :cancelled",
                    "ExpressionAttributeNames": {"#state": "state", "#share": "share"} | _names(less),
                    "ExpressionAttributeValues": {
                        ":running": "running",
                        ":cancelled": "cancelled",
                        ":share": job.share,
                        ":none": "",
                        ":now": int(time.time()),
                    }
                    | _values(less),
                }
            },
        )

    def finish(self, job: Job, state: str, *, reason: str = "", output_key: str = "") -> bool:
        """End a job that has not ended. False when it has."""
        ended = {f":f{number}": final for number, final in enumerate(sorted(FINAL))}
        condition = f"NOT #state IN ({', '.join(ended)})"
        values = {"state": state, "reason": reason, "output_key": output_key}
        return self._change(job.id, condition, values, ended, remove="share")

    def active(self, share: str | None = None) -> Iterator[Job]:
        """Jobs at work, the oldest first: of one share, or of all."""
        if share is None:
            yield from self._pages("scan", IndexName=ACTIVE_INDEX)
            return
        yield from self._pages(
            "query",
            IndexName=ACTIVE_INDEX,
            KeyConditionExpression="#share = :share",
            ExpressionAttributeNames={"#share": "share"},
            ExpressionAttributeValues={":share": share},
            Limit=50,
        )

    def of_tenant(self, tenant: str) -> Iterator[Job]:
        """Jobs of a tenant, the newest first."""
        yield from self._pages(
            "query",
            IndexName=TENANT_INDEX,
            KeyConditionExpression="tenant = :tenant",
            ExpressionAttributeValues={":tenant": tenant},
            ScanIndexForward=False,
        )

    def usage(self, tenant: str, kind: Literal["usage", "requests"]) -> list[Usage]:
        """What a tenant used through jobs or by requests, day by day and model by model."""
        found = []
        for item in self._items(
            "query",
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": f"{kind}#{tenant}"},
        ):
            day, _, model = str(item["sk"]).partition("#")
            counts = {name: int(item.get(name, 0)) for name in Usage.__slots__[2:]}
            found.append(Usage(day, model, **counts))
        return found

    def parts(self, id: str) -> dict[int, PartOutcome]:
        """The committed parts of a job, by number."""
        found: dict[int, PartOutcome] = {}
        for item in self._items(
            "query",
            KeyConditionExpression="pk = :pk AND begins_with(sk, :part)",
            ExpressionAttributeValues={":pk": f"job#{id}", ":part": "part#"},
            ConsistentRead=True,
        ):
            counts = {name: int(item[name]) for name in ("rows", "rows_failed", "tokens", "compute_ms")}
            outcome = PartOutcome(key=item["key"], reason=item["reason"], **counts)
            found[int(item["sk"].removeprefix("part#"))] = outcome
        return found

    def _pages(self, operation: str, **query: Any) -> Iterator[Job]:
        yield from (Job.of(item) for item in self._items(operation, **query))

    def _items(self, operation: str, **query: Any) -> Iterator[Mapping[str, Any]]:
        while True:
            page = getattr(self._table, operation)(**query)
            yield from page["Items"]
            if "LastEvaluatedKey" not in page:
                return
            query["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def _change(
        self,
        id: str,
        condition: str,
        values: Mapping[str, Any],
        known: Mapping[str, Any],
        *,
        remove: str = "",
    ) -> bool:
        values = {**values, "updated": int(time.time())}
        sets = ", ".join(f"#{name} = :new_{name}" for name in values)
        return self._write(
            "update_item",
            Key=_key(id),
            UpdateExpression=f"SET {sets}" + (f" REMOVE #{remove}" if remove else ""),
            ConditionExpression=f"attribute_exists(pk) AND {condition}",
            ExpressionAttributeNames={"#state": "state"}
            | ({f"#{remove}": remove} if remove else {})
            | {f"#{name}": name for name in values},
            ExpressionAttributeValues={f":new_{name}": value for name, value in values.items()} | {**known},
        )

    def _transact(self, *writes: Mapping[str, Any]) -> bool:
        """All of the writes or none. False when a condition does not hold."""
        for attempt in range(_CONFLICTS):
            try:
                self._table.meta.client.transact_write_items(TransactItems=list(writes))
                return True
            except ClientError as error:
                codes = [each.get("Code") for each in error.response.get("CancellationReasons", [])]
                if "ConditionalCheckFailed" in codes:
                    return False
                if "TransactionConflict" not in codes or attempt == _CONFLICTS - 1:
                    raise
                time.sleep(random.uniform(0, 0.02 * 2**attempt))  # noqa: S311 - spreads workers, no secret
        raise AssertionError("unreachable")

    def _write(self, operation: str, **arguments: Any) -> bool:
        try:
            getattr(self._table, operation)(**arguments)
        except ClientError as error:
            if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
                return False
            raise
        return True


def _key(id: str) -> dict[str, str]:
    return {"pk": f"job#{id}", "sk": "job"}


def _adds(counts: Mapping[str, int]) -> str:
    return ", ".join(f"#{name} :{name}" for name in counts)


def _names(counts: Mapping[str, int]) -> dict[str, str]:
    return {f"#{name}": name for name in counts}


def _values(counts: Mapping[str, int]) -> dict[str, int]:
    return {f":{name}": count for name, count in counts.items()}
