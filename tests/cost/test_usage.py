"""What seconds of computing cost: by memory, by instance, by a share of a node; never $0 without a price."""

import pytest

from cost import prices
from cost.usage import Compute, Rate, rate

TABLE = prices.load("us-east-1")


def price(key: str) -> float:
    usd = TABLE.every[key].usd
    assert usd is not None
    return usd


def test_a_function_is_paid_by_memory_and_by_request() -> None:
    found = rate(TABLE, Compute(processor="arm", memory_gb=2), through_api=True)
    expected = 100 * 2 * price("lambda.arm") + 1000 * (price("lambda.requests") + price("api.rest")) / 1e6
    assert found.cost(1000, 100) == pytest.approx(expected)
    inside = rate(TABLE, Compute(processor="arm", memory_gb=2), through_api=False)
    assert inside.cost(1000, 0) == pytest.approx(1000 * price("lambda.requests") / 1e6)


def test_a_replica_is_paid_by_its_share_of_the_node() -> None:
    whole = rate(TABLE, Compute(instance="g6.xlarge", gpus=1), through_api=False)
    assert whole.cost(1, 3600) == pytest.approx(price("instance.g6.xlarge"))
    assert TABLE.gpus("g6.12xlarge") == 4
    quarter = rate(TABLE, Compute(instance="g6.12xlarge", gpus=1), through_api=False)
    assert quarter.cost(0, 3600) == pytest.approx(price("instance.g6.12xlarge") / 4)


def test_what_has_no_sourced_price_has_no_cost() -> None:
    assert TABLE.every["sagemaker.serverless"].usd is None
    assert rate(TABLE, Compute(memory_gb=4), through_api=True).cost(10, 10) is None
    assert rate(TABLE, Compute(instance="nosuch.large"), through_api=True).cost(10, 10) is None
    assert Rate(second=1.0, request=None).cost(1, 1) is None
