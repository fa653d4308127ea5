"""Dev and prod counted by hand: prices as plain numbers, beside the estimate of the reviewed baseline.

The arithmetic here shares nothing with `cost/`: it knows types, inputs and the figures of the price table.
"""

from collections.abc import Mapping
from typing import Any

import pytest

from environments import loader
from inferctl import baseline
from inferctl.judged import cost_of

HOURS = 730
NODES_USD = {"m7g.large": 0.0816, "t4g.medium": 0.0336, "t4g.large": 0.0672, "m7g.medium": 0.0408}
# What runs a model whose load has active hours, and the volumes of a GPU node: 104 GiB of gp3, 3000 IOPS
# and 375 MiB/s more than are free.
MACHINES_USD = {
    "Deployment g6.xlarge": 0.8048,
    "Deployment g6e.xlarge": 1.861,
    "Endpoint ml.m5.xlarge": 0.23,
}
GPU_VOLUMES_USD = 104 * 0.08 + 3000 * 0.005 + 375 * 0.04
COGNITO_USD = {"ESSENTIALS": (0.015, 10_000), "LITE": (0.0055, 10_000), "PLUS": (0.020, 0)}


@pytest.fixture(params=["dev", "prod"])
def env(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def resources(env: str) -> list[dict[str, Any]]:
    return baseline.resources(baseline.read(env))


def of(resources: list[dict[str, Any]], type_: str) -> list[Mapping[str, Any]]:
    """Inputs of the AWS resources whose type ends so."""
    return [
        each["inputs"]
        for each in resources
        if each["type"].startswith("aws:") and each["type"].endswith(f":{type_}")
    ]


def idle(resources: list[dict[str, Any]], load: Mapping[str, Any]) -> float:
    """A month in which nobody asks for anything."""
    count = {type_: len(of(resources, type_)) for type_ in ("NatGateway", "Eip", "Key", "Cluster")}
    usd: float = count["NatGateway"] * HOURS * 0.045
    usd += count["Eip"] * HOURS * 0.005
    usd += count["Key"] * 1.00
    usd += len(of(resources, "Secret")) * 0.40
    usd += len(of(resources, "LoadBalancer")) * HOURS * 0.0225
    zones = [
        len(each["subnetIds"])
        for each in of(resources, "VpcEndpoint")
        if each.get("vpcEndpointType") == "Interface"
    ]
    usd += sum(zones) * HOURS * 0.01
    usd += sum(5.00 + len(each["rules"]) * 1.00 for each in of(resources, "WebAcl"))
    usd += count["Cluster"] * HOURS * 0.10
    for group in of(resources, "NodeGroup"):
        nodes = int(group["scalingConfig"]["minSize"])
        usd += nodes * HOURS * NODES_USD[group["instanceTypes"][0]]
        usd += nodes * (4 + 30) * 0.08  # Bottlerocket's two volumes
    for function in of(resources, "ProvisionedConcurrencyConfig"):
        usd += function["provisionedConcurrentExecutions"] * 2 * HOURS * 3600 * 0.0000033333
    for alarm in of(resources, "MetricAlarm"):
        usd += max(sum("metric" in query for query in alarm.get("metricQueries", [])), 1) * 0.10
    usd += len(of(resources, "Dashboard")) * 3.00
    usd += load["stored_gb"] * 0.023 + load["image_gb"] * 0.10
    for target in of(resources, "Target"):
        usd += int(target["minCapacity"]) * HOURS * 0.23  # every endpoint is of ml.m5.xlarge
    # Hourly, ten minutes of ml.m5.large each.
    usd += len(of(resources, "MonitoringSchedule")) * HOURS * 10 / 60 * 0.115
    tables = of(resources, "Table")
    usd += load["table_gb"] * (0.25 + 0.20) if tables else 0
    return usd


def at_load(resources: list[dict[str, Any]], load: Mapping[str, Any]) -> float:
    """What the stated load adds to an idle month."""
    requests = sum(model["requests"] + model["jobs"] for model in load["models"].values())
    jobs = sum(model["jobs"] for model in load["models"].values())
    usd: float = requests / 1e6 * 3.50
    usd += len(of(resources, "WebAcl")) * requests / 1e6 * 0.60
    for each in resources:
        if each["type"] != "aws:lambda/function:Function":
            continue
        gigabytes = each["inputs"]["memorySize"] / 1024
        calls, ms = requests, 50.0
        outermost = each["urn"].split("/")[0]
        if outermost == "jobs":
            calls = jobs
        elif outermost == "model-delivery":
            calls = load["deliveries"] * 20
        elif outermost == "canary":
            calls = HOURS * 60 / 5
        elif outermost == "drift":
            calls = HOURS * len(of(resources, "FirehoseDeliveryStream"))  # once an hour each
        if each["urn"].startswith("model/"):
            model = load["models"][each["urn"].split("/")[1].removeprefix("model-").removesuffix("-jobs")]
            calls, ms = model["requests"] + model["jobs"], model["ms"]
        usd += calls / 1e6 * 0.20 + calls * ms / 1000 * gigabytes * 0.0000133334
    usd += load["nat_gb"] * 0.045 if of(resources, "NatGateway") else 0
    usd += load["log_gb"] * 0.50
    groups = of(resources, "LogGroup")
    days = sum(each.get("retentionInDays", 365) for each in groups) / len(groups)
    usd += load["log_gb"] * days / 30.4 * 0.03
    usd += load["kms_requests"] / 10_000 * 0.03
    usd += 2 * jobs / 1000 * (0.005 + 0.0004)
    usd += jobs / 1e6 * 3 * 0.40
    usd += machines(resources, load)
    for pool in of(resources, "UserPool"):
        each_usd, free = COGNITO_USD[pool["userPoolTier"]]
        usd += max(load["users"] - free, 0) * each_usd
    return usd


def machines(resources: list[dict[str, Any]], load: Mapping[str, Any]) -> float:
    """What models on machines cost in their active hours, above the fewest that always run."""
    usd = 0.0
    for name, model in load["models"].items():
        for each in resources:
            inputs = each["inputs"]
            if f"model/model-{name}/" not in each["urn"] or not model["active_hours"]:
                continue
            if each["type"] == "kubernetes:apps/v1:Deployment":
                pod = inputs["spec"]["template"]["spec"]
                type_ = pod["nodeSelector"]["node.kubernetes.io/instance-type"]
                node = MACHINES_USD[f"Deployment {type_}"] + GPU_VOLUMES_USD / HOURS
                usd += model["instances"] * model["active_hours"] * node
            if each["type"] == "aws:appautoscaling/target:Target":
                extra = max(model["instances"] - int(inputs["minCapacity"]), 0)
                usd += extra * model["active_hours"] * MACHINES_USD["Endpoint ml.m5.xlarge"]
    return usd


def test_a_hand_count_agrees_within_one_percent(env: str, resources: list[dict[str, Any]]) -> None:
    settings = loader.from_file(env)
    total = cost_of(settings, resources).total
    load = settings.load.model_dump()
    by_hand = idle(resources, load)
    assert by_hand > 30
    assert total.idle == pytest.approx(by_hand, rel=0.01)
    assert total.load == pytest.approx(by_hand + at_load(resources, load), rel=0.01)


@pytest.mark.parametrize(("env", "most"), [("dev", 120), ("prod", 380)])
def test_the_idle_base_is_affordable(env: str, most: float, resources: list[dict[str, Any]]) -> None:
    """Everything but the models' own machines, which docs/adr/0015 is about; no GPU runs in an idle month."""
    estimate = cost_of(loader.from_file(env), resources)
    assert not estimate.unpriced
    own = sum(money.idle for name, money in estimate.by_model().items() if name != "(shared)")
    assert 30 < estimate.total.idle - own < most
