"""What holds for every deployment: more costs more, sums add up, spot is never dearer."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cost.deployments import endpoint, gpu_model, pool, priced, resource

sizes = st.integers(0, 20)
hours = st.floats(0, 730)
types = st.sampled_from(["g5.xlarge", "g6.xlarge", "g6.12xlarge", "p5.48xlarge"])
busy = settings(max_examples=60, deadline=None)


def node_group(size: int, type_: str = "m7g.large", capacity: str = "ON_DEMAND") -> dict[str, Any]:
    scaling = {"minSize": size, "maxSize": size + 1}
    inputs = {"instanceTypes": [type_], "scalingConfig": scaling, "capacityType": capacity}
    return resource("aws:eks/nodeGroup:NodeGroup", "nodes", inputs, of="cluster")


@busy
@given(size=sizes, more=sizes, active=hours, mean=st.integers(0, 30), accelerator=types)
def test_more_capacity_never_costs_less(
    size: int, more: int, active: float, mean: int, accelerator: str
) -> None:
    load = {"models": {"m": {"requests": 1000, "active_hours": active, "instances": mean}}}

    def both(least: int, most: int) -> list[float]:
        found = (
            priced(node_group(least), **load),
            priced(*gpu_model("m", accelerator, least=least, most=most), **load),
            priced(*endpoint("m", count=least, least=least, most=most), **load),
            priced(pool([accelerator], gpus=most), **load),
        )
        return [amount for each in found for amount in (each.total.idle, each.total.load)]

    smaller = both(size, size + 5)
    for larger in (both(size + more, size + 5 + more), both(size, size + 5 + more)):
        assert all(after >= before - 1e-9 for before, after in zip(smaller, larger, strict=True))


@busy
@given(
    size=sizes,
    nats=st.integers(0, 4),
    requests=st.floats(0, 1e9),
    gigabytes=st.floats(0, 1e5),
    active=hours,
)
def test_sums_add_up(size: int, nats: int, requests: float, gigabytes: float, active: float) -> None:
    estimate = priced(
        node_group(size),
        *(resource("aws:ec2/natGateway:NatGateway", f"nat-{i}", of="network") for i in range(nats)),
        resource("aws:apigateway/restApi:RestApi", "api", of="gateway"),
        resource("aws:s3/bucket:Bucket", "bucket"),
        *gpu_model("m"),
        models={"m": {"requests": requests, "active_hours": active}, "other": {"requests": requests}},
        nat_gb=gigabytes,
        stored_gb=gigabytes,
    )
    for totals in (estimate.by_resource(), estimate.by_component(), estimate.by_model()):
        assert sum(each.idle for each in totals.values()) == pytest.approx(estimate.total.idle)
        assert sum(each.load for each in totals.values()) == pytest.approx(estimate.total.load)
    for model in ("m", "other"):
        if requests:
            assert estimate.per_1000_requests(model) == pytest.approx(
                estimate.by_model()[model].load / requests * 1000
            )
    assert all(line.load_usd >= 0 and line.idle_usd >= 0 for line in estimate.lines)


@busy
@given(
    size=sizes,
    accelerator=types,
    active=hours,
    share=st.floats(0, 1),
    discount=st.floats(0, 0.99),
)
def test_moving_to_spot_never_costs_more(
    size: int, accelerator: str, active: float, share: float, discount: float
) -> None:
    load = {
        "models": {"m": {"requests": 1, "active_hours": active}},
        "spot_share": share,
        "spot_discount": discount,
    }

    def total(*capacity: str) -> float:
        return priced(*gpu_model("m", accelerator, least=size, most=50, capacity=capacity), **load).total.load

    on_demand, mixed, spot = total("on-demand"), total("spot", "on-demand"), total("spot")
    assert spot <= mixed + 1e-9 <= on_demand + 2e-9
    groups = [priced(node_group(size, capacity=each), **load).total.idle for each in ("SPOT", "ON_DEMAND")]
    assert groups[0] <= groups[1]
