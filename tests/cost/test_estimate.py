"""What resources cost: machines at load, schedules, what is left out and what is refused."""

from typing import Any

import pytest

from cost.estimate import PRICERS
from cost.free import FREE, reason
from cost.resources import UNKNOWN
from cost.schedules import mean_over_week
from local_aws.sdk_types import _registered
from tests.components.gpu_programs import built
from tests.cost.deployments import PRICES, endpoint, gpu_model, pool, priced, resource


def test_a_gpu_model_costs_its_nodes_in_its_active_hours() -> None:
    load = {"models": {"llama": {"requests": 5000, "tokens": 800, "active_hours": 100, "instances": 3}}}
    estimate = priced(*gpu_model("llama", "g6.xlarge", most=2), **load)
    assert estimate.total.idle == 0
    assert estimate.total.load == pytest.approx(2 * 100 * 0.8048)  # no more than the most replicas
    assert estimate.per_1000_requests("llama") == pytest.approx(2 * 100 * 0.8048 / 5)
    assert estimate.per_million_tokens("llama") == pytest.approx(2 * 100 * 0.8048 / 4)
    assert not estimate.unpriced


def test_replicas_share_a_node_that_has_gpus_for_them() -> None:
    load = {"models": {"m": {"requests": 1, "active_hours": 10, "instances": 5}}}
    small = priced(*gpu_model("m", "g6.12xlarge", gpus=1, most=8), **load).total.load
    assert small == pytest.approx(2 * 10 * 4.6016)  # 5 replicas, 4 GPUs a node
    assert priced(*gpu_model("m", "g6.12xlarge", gpus=4, most=8), **load).total.load == pytest.approx(
        5 * 10 * 4.6016
    )


def test_a_schedule_counts_the_hours_that_it_keeps_replicas() -> None:
    office = {"start": "0 8 * * 1-5", "end": "0 18 * * 1-5", "desiredReplicas": "2", "timezone": "UTC"}
    estimate = priced(*gpu_model("m", triggers=[{"type": "cron", "metadata": office}]))
    assert estimate.total.idle == pytest.approx(2 * 50 / 168 * 730 * 0.8048)


@pytest.mark.parametrize(
    ("changes", "mean"),
    [
        ([], 7),
        ([("0 8 * * 1-5", 2), ("0 18 * * 1-5", 0)], 2 * 50 / 168),
        ([("cron(0 8 ? * MON-FRI *)", 2), ("cron(0 18 ? * 2-6 *)", 0)], 2 * 50 / 168),
        ([("0 0 * * 0,6", 1), ("0 0 * * 1", 3)], (48 * 1 + 120 * 3) / 168),
        ([("0 8 1 * *", 5), ("0 9 * * *", 0)], 7),  # days of a month are not understood: the highest holds
        ([("rate(1 day)", 9)], 9),
    ],
)
def test_what_a_schedule_means_over_a_week(changes: list[tuple[str, float]], mean: float) -> None:
    assert mean_over_week(changes, 7) == pytest.approx(mean)


def test_a_pool_that_no_model_asks_for_is_counted_at_its_limit() -> None:
    estimate = priced(*gpu_model("m", "g6.xlarge"), pool(["g6.xlarge", "p5.48xlarge"], gpus=17))
    (line,) = [line for line in estimate.lines if "p5" in line.key]
    assert line.load_usd == pytest.approx(2 * 730 * 55.04)
    assert line.idle_usd == 0
    assert "no model asks for p5.48xlarge" in line.why


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (pool(["p5.48xlarge"], gpus=None), "nothing limits its nodes"),
        (pool([]), "it names no instance types"),
        (pool(["z9.huge"]), "no row for instance type z9.huge"),
        (resource("aws:rds/instance:Instance", "db"), "type aws:rds/instance:Instance has no price"),
        (resource("kubernetes:core/v1:PersistentVolumeClaim", "disk"), "has no price"),
        (resource("kubernetes:core/v1:Service", "s", {"spec": {"type": "LoadBalancer"}}), "load balancer"),
        (resource("aws:sagemaker/endpoint:Endpoint", "e"), "endpoint configuration is not part"),
        (resource("aws:guardduty/detectorFeature:DetectorFeature", "f", {"name": "NEW"}), "feature NEW"),
        (
            resource("aws:eks/nodeGroup:NodeGroup", "n", {"scalingConfig": {"minSize": "some"}}),
            "'some' is no number",
        ),
    ],
)
def test_what_has_no_price_is_never_free(given: dict[str, Any], why: str) -> None:
    estimate = priced(given)
    (gap,) = estimate.unpriced
    assert why in gap.why
    assert estimate.lower_bound


def test_what_is_not_known_yet_is_said_and_the_rest_is_counted() -> None:
    nat = resource("aws:ec2/natGateway:NatGateway", "nat")
    estimate = priced(nat, resource("aws:ec2/instance:Instance", "later", {"instanceType": UNKNOWN}))
    assert [gap.why for gap in estimate.undecided] == ["`instanceType` is not known yet"]
    assert estimate.lower_bound
    assert estimate.total.idle == pytest.approx(32.85)


def test_a_row_without_a_source_is_left_out_and_listed() -> None:
    estimate = priced(*endpoint("m", instance="ml.g6e.xlarge"))
    assert estimate.total.load == 0
    assert [line.key for line in estimate.left_out] == ["instance.ml.g6e.xlarge"]
    assert estimate.lower_bound
    assert estimate.lines[0].arithmetic(730, 0) == "730 hour x no source = left out"


def test_three_modes_of_sagemaker() -> None:
    load = {"models": {"m": {"requests": 1e6, "ms": 100, "active_hours": 100, "instances": 3}}}
    fixed = priced(*endpoint("m", count=2), **load).total
    assert (fixed.idle, fixed.load) == pytest.approx((2 * 730 * 1.408, 2 * 730 * 1.408))
    jobs = priced(*endpoint("m", least=0, most=2), **load).total
    assert (jobs.idle, jobs.load) == pytest.approx((0, 2 * 100 * 1.408))
    configuration, served = endpoint("m")
    variant = {"serverlessConfig": {"memorySizeInMb": 4096, "maxConcurrency": 5}}
    configuration["inputs"] = {"productionVariants": [variant]}
    (line,) = priced(configuration, served, **load).lines
    assert line.key == "sagemaker.serverless"
    assert line.load == pytest.approx(1e6 * 0.1 * 4)


def test_warm_functions_and_audit() -> None:
    function = resource(
        "aws:lambda/function:Function", "f", {"memorySize": 2048, "architectures": ["arm64"]}, of="model-m"
    )
    warm = resource(
        "aws:lambda/provisionedConcurrencyConfig:ProvisionedConcurrencyConfig",
        "w",
        {"provisionedConcurrentExecutions": 3},
        of="model-m",
    )
    assert priced(function, warm).total.idle == pytest.approx(3 * 2 * 730 * 3600 * 0.0000033333)
    trails = [resource("aws:cloudtrail/trail:Trail", name) for name in ("first", "second")]
    assert priced(*trails, management_events=500_000).total.load == pytest.approx(10)


def test_a_vpc_endpoint_is_charged_by_zone_and_a_gateway_endpoint_not() -> None:
    kinds = {"Gateway": [], "Interface": ["subnet-a", "subnet-b"]}
    endpoints = [
        resource("aws:ec2/vpcEndpoint:VpcEndpoint", kind, {"vpcEndpointType": kind, "subnetIds": subnets})
        for kind, subnets in kinds.items()
    ]
    assert priced(*endpoints).total.idle == pytest.approx(2 * 7.30)
    assert priced(*endpoints, endpoint_gb=100).total.load == pytest.approx(2 * 7.30 + 1)


def test_users_beyond_the_free_ones_cost() -> None:
    pool = resource("aws:cognito/userPool:UserPool", "pool", {"userPoolTier": "ESSENTIALS"})
    assert priced(pool, users=10_000).total.load == 0
    assert priced(pool, users=10_100).total.load == pytest.approx(1.5)


def test_every_type_of_the_cluster_is_priced_or_said_to_be_free() -> None:
    estimate = priced(
        *(
            {"type": each.type, "urn": f"::{each.type}::{each.name}", "parent": "", "inputs": each.inputs}
            for each in built().resources
        )
    )
    assert [gap.why for gap in estimate.unpriced] == []


def test_every_priced_and_free_type_exists_and_none_is_both() -> None:
    known = set(_registered("pulumi_aws"))
    assert {type_ for type_ in PRICERS if type_.startswith("aws:")} <= known
    assert {type_ for type_ in FREE if type_.startswith("aws:") and "*" not in type_} <= known
    both = [type_ for type_ in PRICERS if reason(type_)]
    # A pattern covers more than its type; what is priced is looked up first.
    assert set(both) <= {"kubernetes:core/v1:Service", "aws:s3/bucketV2:BucketV2"}, both
    for pattern in FREE:
        assert FREE[pattern].strip()


def test_every_accelerator_of_the_catalogue_has_a_price() -> None:
    from environments.instance_types import ACCELERATORS

    for name, accelerator in ACCELERATORS.items():
        assert PRICES.every[f"instance.{name}"].usd, name
        assert PRICES.gpus(name) == accelerator.gpus, name
