"""The router's ledger against the table of jobs and CloudWatch's metrics of an embedded AWS."""

import asyncio
import uuid
from typing import Any

import boto3
import pytest

from serving.jobs_table import JobTable
from serving.usage import Used
from serving.usage_ledger import Ledger
from tests.serving.conftest import CREDENTIALS, REGION, Aws

pytestmark = pytest.mark.integration


@pytest.fixture
def table(aws: Aws) -> Any:
    resource = boto3.resource("dynamodb", endpoint_url=aws.endpoint, region_name=REGION, **CREDENTIALS)
    return resource.create_table(
        TableName=f"jobs-{uuid.uuid4().hex[:8]}",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in ("pk", "sk")],
        KeySchema=[
            {"AttributeName": "pk", "KeyType": "HASH"},
            {"AttributeName": "sk", "KeyType": "RANGE"},
        ],
    )


class Flaky:
    """A table whose transactions are made, but not answered, while `away`."""

    def __init__(self, table: Any) -> None:
        self.name, self._client = table.name, table.meta.client
        self.meta = self
        self.client = self
        self.away = False

    def transact_write_items(self, **request: Any) -> None:
        self._client.transact_write_items(**request)
        if self.away:
            raise OSError("the answer is lost")


def used(table: Any, tenant: str) -> list[tuple[str, int, int, int, int]]:
    days = JobTable(table).usage(tenant, "requests")
    return [(day.model, day.requests, day.rows, day.tokens, day.compute_ms) for day in days]


def metrics(aws: Aws, tenant: str, model: str) -> dict[str, float]:
    cloudwatch = aws.client("cloudwatch")
    found = {}
    for name in ("requests", "rows", "tokens", "compute_ms"):
        page = cloudwatch.get_metric_statistics(
            Namespace="InferencePlatform",
            MetricName=name,
            Dimensions=[{"Name": "tenant", "Value": tenant}, {"Name": "model", "Value": model}],
            StartTime="2020-01-01T00:00:00Z",
            EndTime="2100-01-01T00:00:00Z",
            Period=86_400 * 36_500,
            Statistics=["Sum"],
        )
        found[name] = sum(point["Sum"] for point in page["Datapoints"])
    return found


def test_counts_of_all_replicas_add_up_by_tenant_and_model(aws: Aws, table: Any) -> None:
    tenant = f"t-{uuid.uuid4().hex[:8]}"

    async def count() -> None:
        ledgers = [Ledger(table, aws.client("cloudwatch")) for _ in range(2)]
        for ledger in ledgers:
            ledger.start()
            for _ in range(3):
                ledger.add(tenant, "digits-gpu", Used(1, 4, 0, 0.4))
            ledger.add(tenant, "llama", Used(1, 1, 30, 1500))
            ledger.add("other", "llama", Used(1, 1, 1, 1))
            await ledger.flush()
            ledger.add(tenant, "llama", Used(1, 0, 0, 0))
            await ledger.close()

    asyncio.run(count())
    assert used(table, tenant) == [("digits-gpu", 6, 24, 0, 2), ("llama", 4, 2, 60, 3000)]
    assert used(table, "other") == [("llama", 2, 2, 2, 2)]
    assert metrics(aws, tenant, "llama") == {"requests": 4, "rows": 2, "tokens": 60, "compute_ms": 3000}


def test_a_write_whose_answer_is_lost_counts_once(aws: Aws, table: Any) -> None:
    flaky = Flaky(table)

    async def count() -> None:
        ledger = Ledger(flaky, aws.client("cloudwatch"))
        flaky.away = True
        ledger.add("acme", "digits-gpu", Used(1, 4, 0, 10))
        with pytest.raises(OSError, match="lost"):
            await ledger.flush()
        ledger.add("acme", "digits-gpu", Used(1, 4, 0, 10))
        flaky.away = False
        await ledger.close()

    asyncio.run(count())
    assert used(table, "acme") == [("digits-gpu", 2, 8, 0, 20)]


def test_more_pairs_than_a_transaction_takes(aws: Aws, table: Any) -> None:
    async def count() -> None:
        ledger = Ledger(table, aws.client("cloudwatch"))
        for number in range(101):
            ledger.add("many", f"m{number:03}", Used(1))
        await ledger.flush()

    asyncio.run(count())
    assert len(used(table, "many")) == 101


def test_metrics_that_cannot_be_put_stop_nothing(table: Any) -> None:
    class Broken:
        def put_metric_data(self, **_: Any) -> None:
            raise OSError("CloudWatch is away")

    async def count() -> None:
        ledger = Ledger(table, Broken())
        ledger.add("acme", "digits-gpu", Used(1, 2, 3, 4))
        await ledger.flush()
        await ledger.flush()

    asyncio.run(count())
    assert used(table, "acme") == [("digits-gpu", 1, 2, 3, 4)]
