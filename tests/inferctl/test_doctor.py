"""Faults planted one at a time in an account where all is well: `doctor` finds each, and nothing else."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError, NoCredentialsError

from environments import loader
from environments.schema import Environment
from inferctl.checks import Result
from inferctl.doctor import COST_TAGS, Site, examine_site
from inferctl.quotas import demands
from toolchain import cli

MODELS = {
    "llama": {
        "backend": "eks",
        "engine": "onnx",
        "version": "v1",
        "accelerator": "g6e.xlarge",
        "scale": {"min": 0, "max": 3},
    }
}
ZONES = [f"us-east-1{letter}" for letter in "abc"]


def prod(**changes: Any) -> Environment:
    """The environment `prod` with one more model on GPUs, and with changes."""
    settings = loader.from_file("prod").model_dump(by_alias=True)
    settings["models"] |= MODELS
    return Environment.model_validate({**settings, **changes})


class Account:
    """An account in which `prod` can stand; tests take one thing away."""

    def __init__(self, env: Environment) -> None:
        self.env = env
        self.quotas = {demand.code or demand.name: demand.needed for demand in demands(env)}
        self.answers: dict[str, Mapping[str, Any]] = {
            "get_caller_identity": {"Account": env.account_id, "Arn": "arn:aws:iam::1:role/deploy"},
            "list_clusters": {"clusters": ["inference-platform-prod"]},
            "describe_cluster": {"cluster": {"endpoint": "https://cluster.eks"}},
            "describe_regions": {"Regions": [{"RegionName": env.region, "OptInStatus": "opted-in"}]},
            "describe_availability_zones": {"AvailabilityZones": [{"ZoneName": zone} for zone in ZONES]},
            "get_account": {"cloudwatchRoleArn": "arn:aws:iam::1:role/logs"},
            "describe_user_pool_domain": {"DomainDescription": {}},
            "describe_user_pool": {"UserPool": {"Name": "somebody-elses"}},
            "get_hosted_zone": {"HostedZone": {"Name": "example.com.", "Config": {"PrivateZone": False}}},
            "describe_subnets": {"Subnets": [subnet(900)]},
            "describe_instance_type_offerings": {"InstanceTypeOfferings": [{"Location": z} for z in ZONES]},
            "describe_spot_price_history": {"SpotPriceHistory": [{"SpotPrice": "0.61", "Timestamp": NOW}]},
            "get_products": {"PriceList": [PRICE]},
            "list_cost_allocation_tags": {
                "CostAllocationTags": [{"TagKey": tag, "Status": "Active"} for tag in COST_TAGS]
            },
        }

    def client(self, service: str) -> Any:
        return SimpleNamespace(
            meta=SimpleNamespace(endpoint_url=f"https://{service}.amazonaws.com"),
            get_service_quota=lambda QuotaCode, **_: {"Quota": {"Value": self.quotas[QuotaCode]}},  # noqa: N803
            get_paginator=lambda _: SimpleNamespace(paginate=lambda **_: [{"Quotas": self.named_quotas()}]),
            **{name: self._answer(name) for name in self.answers},
        )

    def named_quotas(self) -> list[dict[str, Any]]:
        return [{"QuotaName": name, "Value": value} for name, value in self.quotas.items()]

    def _answer(self, name: str) -> Callable[..., Any]:
        def answer(**_: Any) -> Any:
            found = self.answers[name]
            if isinstance(found, Exception):
                raise found
            return found

        return answer


NOW = datetime.now(UTC)
PRICE = json.dumps(
    {"terms": {"OnDemand": {"t": {"priceDimensions": {"d": {"pricePerUnit": {"USD": "1.861"}}}}}}}
)


def subnet(free: int) -> dict[str, Any]:
    return {
        "CidrBlock": "10.0.0.0/22",
        "AvailableIpAddressCount": free,
        "AvailabilityZone": "us-east-1a",
        "SubnetId": "subnet-1",
        "Tags": [{"Key": "Name", "Value": "private-a"}],
    }


def examined(account: Account, dead: str = "") -> list[Result]:
    site = Site(
        env=account.env,
        aws=account.client,
        connects=lambda url: "timed out" if dead and dead in url else None,
    )
    return examine_site(site)


def faults(results: list[Result]) -> list[tuple[str, str]]:
    return [(result.check, result.what) for result in results if result.verdict == "fault"]


def test_an_account_where_all_is_well_has_no_fault() -> None:
    results = examined(Account(prod()))
    assert faults(results) == []
    said = "\n".join(result.line() for result in results)
    assert "g6e.xlarge: $1.861 an hour on demand, as spot from $0.610" in said
    assert "g6e.xlarge in zones a, b, c" in said
    # Four replicas of g6e.xlarge with 4 vCPUs, of which one is the update's.
    assert "Running On-Demand G and VT instances" in said


def plant(account: Account, name: str) -> None:
    answers = account.answers
    match name:
        case "credentials":
            answers["get_caller_identity"] = {"Account": "9" * 12, "Arn": "arn:aws:iam::9:user/me"}
        case "region":
            answers["describe_regions"] = {"Regions": [{"OptInStatus": "not-opted-in"}]}
        case "zone":
            answers["describe_availability_zones"] = {"AvailabilityZones": [{"ZoneName": ZONES[0]}]}
        case "gpu quota":
            account.quotas["L-DB2E81BA"] = 0
        case "lambda quota":
            account.quotas["L-B99A9384"] = 10
        case "offer":
            answers["describe_instance_type_offerings"] = {
                "InstanceTypeOfferings": [{"Location": "us-east-1f"}]
            }
        case "cost tags":
            answers["list_cost_allocation_tags"] = {"CostAllocationTags": []}
        case "sign-in domain":
            answers["describe_user_pool_domain"] = {"DomainDescription": {"UserPoolId": "theirs"}}
        case "subnets":
            answers["describe_subnets"] = {"Subnets": [subnet(12)]}


@pytest.mark.parametrize(
    ("planted", "check", "what"),
    [
        ("credentials", "credentials", "logged in to account 999999999999"),
        ("region", "region", "is not enabled in this account"),
        ("zone", "region", "no zone us-east-1b, us-east-1c"),
        ("gpu quota", "quotas", "G and VT instances: the environment's maximum is"),
        ("lambda quota", "quotas", "the account has 10"),
        ("offer", "instance types", "g6e.xlarge is not offered in zones a, b, c; it is in us-east-1f"),
        ("cost tags", "cost tags", "costs are not counted by platform, environment"),
        ("sign-in domain", "sign-in domain", "belongs to user pool somebody-elses"),
        ("subnets", "subnets", "subnet private-a has 12 of 1024 addresses left"),
    ],
)
def test_a_planted_fault_is_found_alone_and_says_what_to_do(planted: str, check: str, what: str) -> None:
    account = Account(prod())
    plant(account, planted)
    found = [result for result in examined(account) if result.verdict == "fault"]
    assert {result.check for result in found} == {check}
    assert any(what in result.what for result in found)
    assert all(result.next_step for result in found)


@pytest.mark.parametrize(("dead", "what"), [("cluster.eks", "the cluster's endpoint"), ("kms", "to kms")])
def test_an_endpoint_out_of_reach_is_found(dead: str, what: str) -> None:
    ((check, said),) = faults(examined(Account(prod()), dead))
    assert check == "endpoints"
    assert what in said
    assert "timed out" in said


def test_a_missing_baseline_of_the_account_is_found() -> None:
    account = Account(prod(account_baseline="existing"))
    account.answers["get_account"] = {}
    ((check, said),) = faults(examined(account))
    assert check == "account baseline"
    assert "no CloudWatch role" in said


def test_a_domain_of_another_zone_is_found() -> None:
    account = Account(prod(domain={"name": "api.example.org", "zone_id": "Z1"}))
    ((check, said),) = faults(examined(account))
    assert check == "domain"
    assert "does not belong into hosted zone Z1 (example.com)" in said


def test_a_range_too_small_for_the_nodes_is_found() -> None:
    large = {"llama": MODELS["llama"] | {"scale": {"min": 0, "max": 40}}}
    env = prod()
    network = env.network.model_copy(update={"cidr": "10.0.0.0/20"})
    models = Environment.model_validate(
        env.model_dump() | {"models": env.model_dump()["models"] | large}
    ).models
    small = env.model_copy(update={"network": network, "models": models})
    found = faults(examined(Account(small)))
    assert {check for check, _ in found} == {"address space"}
    assert "carries 7 nodes; the models' maxima are" in found[0][1]


def test_a_missing_pulumi_cli_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "find", lambda: None)
    assert faults(examined(Account(prod()))) == [("tools", "the Pulumi CLI has not been set up")]


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (NoCredentialsError(), "log in"),
        (
            ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "GetCallerIdentity"),
            "use a role",
        ),
    ],
)
def test_what_aws_does_not_answer_is_unknown_and_not_fine(error: Exception, advice: str) -> None:
    account = Account(prod())
    account.answers["get_caller_identity"] = error  # type: ignore[assignment]
    (result,) = [result for result in examined(account) if result.check == "credentials"]
    assert result.verdict == "unknown"
    assert advice in result.next_step


def test_without_the_embedded_aws_only_this_machine_is_checked() -> None:
    results = examine_site(Site(env=loader.from_file("local"), aws=None, connects=lambda _: None))
    assert {result.check for result in results} == {"tools", "address space", "embedded AWS"}
    assert [result.verdict for result in results if result.check == "embedded AWS"] == ["unknown"]
