"""Checks of `doctor` about room: quotas, offers and prices of instance types, addresses."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from environments.schema import Environment
from inferctl.checks import Finding, fault, ok, unknown
from inferctl.quotas import Demand, cluster_models, demands, nodes
from inferctl.workspace import PROJECT

# https://docs.aws.amazon.com/eks/latest/best-practices/prefix-mode-linux.html: 110 pods are 7 blocks of /28,
# and an eighth is kept warm.
BLOCKS_PER_NODE = 8
LOW_SHARE = 0.1
"""A subnet with less than this part of its addresses free is about to be full."""


def quotas(env: Environment, aws: Callable[[str], Any]) -> Iterator[Finding]:
    """Every quota that the environment touches, against what the account has."""
    for demand in demands(env):
        have = _quota(demand, aws)
        if have is None:
            yield unknown(f"{demand.name}: Service Quotas does not list it")
        elif have < demand.needed:
            code = f"--quota-code {demand.code} " if demand.code else ""
            yield fault(
                f"{demand.name}: the environment's maximum is {demand.needed:g} {demand.unit}, "
                f"the account has {have:g}",
                f"`aws service-quotas request-service-quota-increase --service-code {demand.service} "
                f"{code}--desired-value {demand.needed:g}`, or lower the maximum",
            )
        else:
            yield ok(f"{demand.name}: {demand.needed:g} of {have:g} {demand.unit}")


def _quota(demand: Demand, aws: Callable[[str], Any]) -> float | None:
    api = aws("service-quotas")
    if demand.code:
        code = {"ServiceCode": demand.service, "QuotaCode": demand.code}
        try:
            answer = api.get_service_quota(**code)
        except ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchResourceException":
                raise
            # An account that never asked for more has the default.
            answer = api.get_aws_default_service_quota(**code)
        return float(answer["Quota"]["Value"])
    for page in api.get_paginator("list_service_quotas").paginate(ServiceCode=demand.service):
        for quota in page["Quotas"]:
            if quota["QuotaName"] == demand.name:
                return float(quota["Value"])
    return None


def instance_types(env: Environment) -> list[str]:
    """Instance types of the cluster's nodes: of the system, always on, and for the models."""
    if not env.has_cluster:
        return []
    baseline = [env.cluster.baseline.instance_type] if env.cluster.baseline else []
    models = [model.accelerator for model in cluster_models(env)]
    return sorted({env.cluster.system_instance_type, *baseline, *models})


def offers(env: Environment, aws: Callable[[str], Any]) -> Iterator[Finding]:
    """Zones of the environment that offer each chosen instance type."""
    for kind in instance_types(env):
        answer = aws("ec2").describe_instance_type_offerings(
            LocationType="availability-zone", Filters=[{"Name": "instance-type", "Values": [kind]}]
        )
        offered = {offer["Location"] for offer in answer["InstanceTypeOfferings"]}
        ours = [letter for letter in env.network.zones if f"{env.region}{letter}" in offered]
        if not ours:
            others = ", ".join(sorted(offered)) or "no zone of the region"
            yield fault(
                f"{kind} is not offered in zones {', '.join(env.network.zones)}; it is in {others}",
                "choose another accelerator, or other zones",
            )
        elif len(ours) == 1:
            yield ok(f"{kind} in zone {ours[0]} alone: it has no second zone to turn to")
        else:
            yield ok(f"{kind} in zones {', '.join(ours)}")
    if not instance_types(env):
        yield ok("there is no cluster, and so no node")


def prices(env: Environment, aws: Callable[[str], Any]) -> Iterator[Finding]:
    """What an hour of each chosen instance type costs, on demand and as spot."""
    for kind in instance_types(env):
        on_demand = _on_demand_price(kind, env.region, aws("pricing"))
        history = aws("ec2").describe_spot_price_history(
            InstanceTypes=[kind],
            ProductDescriptions=["Linux/UNIX"],
            StartTime=datetime.now(UTC) - timedelta(hours=1),
        )["SpotPriceHistory"]
        spot = min((float(entry["SpotPrice"]) for entry in history), default=None)
        if on_demand is None:
            yield unknown(f"AWS lists no price of {kind} in {env.region}")
            continue
        cheaper = f", as spot from ${spot:.3f}" if spot is not None else ", not sold as spot"
        yield ok(f"{kind}: ${on_demand:.3f} an hour on demand{cheaper}")
    if not instance_types(env):
        yield ok("there is no cluster, and so no node")


def _on_demand_price(kind: str, region: str, pricing: Any) -> float | None:
    """https://docs.aws.amazon.com/awsaccountbilling/latest/aboutv2/using-price-list-query-api.html"""
    wanted = {
        "instanceType": kind,
        "regionCode": region,
        "operatingSystem": "Linux",
        "tenancy": "Shared",
        "preInstalledSw": "NA",
        "capacitystatus": "Used",
    }
    filters = [{"Type": "TERM_MATCH", "Field": field, "Value": value} for field, value in wanted.items()]
    for text in pricing.get_products(ServiceCode="AmazonEC2", Filters=filters)["PriceList"]:
        for term in json.loads(text)["terms"]["OnDemand"].values():
            for dimension in term["priceDimensions"].values():
                return float(dimension["pricePerUnit"]["USD"])
    return None


def address_space(env: Environment) -> Iterator[Finding]:
    """Whether the private subnet of one zone holds all GPU nodes at their maximum, were the others away."""
    # Imported here: the components load the AWS SDK of Pulumi, which takes seconds.
    from components.address_plan import AddressPlanInvalid, Tier, address_plan

    try:
        plan = address_plan(env.network.cidr, len(env.network.zones))
    except AddressPlanInvalid as error:
        yield fault(str(error), "correct network.cidr in the environment's file")
        return
    needed = sum(nodes(model) for model in cluster_models(env))
    for subnet in plan:
        if subnet.tier != Tier.PRIVATE:
            continue
        zone, room = env.network.zones[subnet.zone], subnet.pod_prefixes // BLOCKS_PER_NODE
        if room < needed:
            yield fault(
                f"private subnet {subnet.cidr} of zone {zone} carries {room} nodes; "
                f"the models' maxima are {needed}",
                "give network.cidr a larger range (a /16 carries 127 nodes a zone), or lower scale.max",
            )
        else:
            yield ok(f"private subnet {subnet.cidr} of zone {zone} carries {room} nodes, {needed} needed")


def free_addresses(env: Environment, aws: Callable[[str], Any]) -> Iterator[Finding]:
    """Addresses left in the subnets that exist already."""
    if env.embedded_aws:
        yield unknown("the embedded AWS counts no addresses")
        return
    ec2 = aws("ec2")
    tags = [
        {"Name": "tag:platform", "Values": [PROJECT]},
        {"Name": "tag:environment", "Values": [env.name]},
    ]
    subnets = ec2.describe_subnets(Filters=tags)["Subnets"]
    for subnet in subnets:
        size = 2 ** (32 - int(subnet["CidrBlock"].split("/")[1]))
        free = subnet["AvailableIpAddressCount"]
        if free < LOW_SHARE * size:
            name = next((t["Value"] for t in subnet["Tags"] if t["Key"] == "Name"), subnet["SubnetId"])
            yield fault(
                f"subnet {name} has {free} of {size} addresses left in zone {subnet['AvailabilityZone']}",
                "lower scale.max, or move the environment to a larger network.cidr",
            )
    if not subnets:
        yield ok("no subnet exists yet")
    else:
        yield ok(f"{len(subnets)} subnets looked at")
