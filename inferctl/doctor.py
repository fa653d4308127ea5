"""`doctor`: whether this machine and this account can hold an environment, before `up` finds out.

Each check is a function of the site that yields what it found. What cannot be known here is said to be
unknown, with the reason; it is never counted as fine.
"""

import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from environments.schema import Environment
from inferctl import doctor_capacity as capacity
from inferctl.checks import Check, Finding, Result, fault, ok, run, unknown
from inferctl.client import Client
from inferctl.drawing import missing as missing_for_diagrams
from inferctl.session import endpoints_of, environment
from inferctl.workspace import PROJECT, Workspace
from toolchain import cli

COST_TAGS = ("platform", "environment", "component", "owner", "cost-center")
"""Tags that reports of cost are grouped by."""

ENDPOINTS = ("sts", "s3", "lambda", "apigateway", "cognito-idp", "kms", "logs")
"""Services without which nothing can be provisioned."""


@dataclass(frozen=True, kw_only=True)
class Site:
    """Where an environment is to stand."""

    env: Environment
    aws: Callable[[str], Any] | None
    """boto3 clients by service; None when the embedded AWS does not run."""
    connects: Callable[[str], str | None]
    """Tries a URL; None when something answers there, else why not."""


def examine(name: str) -> list[Result]:
    """All checks of an environment."""
    env, workspace = environment(name), Workspace.here()
    endpoints = endpoints_of(workspace) if env.embedded_aws else None
    credentials = workspace.emulator().credentials() if endpoints else None
    client = Client(outputs={}, region=env.region, endpoints=endpoints, credentials=credentials)
    reachable = endpoints or not env.embedded_aws
    return examine_site(Site(env=env, aws=client.aws if reachable else None, connects=connects))


def examine_site(site: Site) -> list[Result]:
    """The checks of this machine, and those of AWS where there is one to ask."""
    checks: list[tuple[str, Check]] = [
        ("tools", lambda _: tools()),
        ("address space", lambda _: capacity.address_space(site.env)),
    ]
    aws = site.aws
    if aws is None:
        checks.append(("embedded AWS", lambda _: _stopped()))
        return run("doctor", checks, site.env.name)
    checks += [
        ("credentials", lambda _: credentials(site.env, aws)),
        ("endpoints", lambda _: endpoints(site, aws)),
        ("region", lambda _: region(site.env, aws)),
        ("account baseline", lambda _: account_baseline(site.env, aws)),
        ("sign-in domain", lambda _: sign_in_domain(site.env, aws)),
        ("domain", lambda _: domain(site.env, aws)),
        ("subnets", lambda _: capacity.free_addresses(site.env, aws)),
    ]
    in_account: list[tuple[str, Check]] = [
        ("quotas", lambda _: capacity.quotas(site.env, aws)),
        ("instance types", lambda _: capacity.offers(site.env, aws)),
        ("prices", lambda _: capacity.prices(site.env, aws)),
        ("cost tags", lambda _: cost_tags(aws)),
    ]
    if site.env.embedded_aws:
        checks += [(name, lambda _: _in_account_only()) for name, _ in in_account]
    else:
        checks += in_account
    return run("doctor", checks, site.env.name)


def tools() -> Iterator[Finding]:
    """The Pulumi CLI, and what drawing needs."""
    found = cli.find()
    if found is None:
        yield fault("the Pulumi CLI has not been set up", "run `make setup`")
    else:
        yield ok(f"Pulumi CLI at {found}")
    if not shutil.which("git"):
        yield fault("git is not installed", "install git: builds name the commit that they are of")
    if lacking := missing_for_diagrams():
        yield unknown(f"pictures of diagrams: {lacking}")


def credentials(env: Environment, aws: Callable[[str], Any]) -> Iterator[Finding]:
    """Whose account the user's login leads to."""
    caller = aws("sts").get_caller_identity()
    if caller["Account"] != env.account_id:
        yield fault(
            f"you are logged in to account {caller['Account']}; {env.name} belongs to {env.account_id}",
            f"log in to {env.account_id} (AWS_PROFILE), or correct account_id in the environment's file",
        )
    else:
        yield ok(f"{caller['Arn']} in account {env.account_id}")


def endpoints(site: Site, aws: Callable[[str], Any]) -> Iterator[Finding]:
    """AWS's own endpoints, and the cluster's, which stands in the VPC alone."""
    urls = {service: aws(service).meta.endpoint_url for service in ENDPOINTS}
    if dead := {service: why for service, url in urls.items() if (why := site.connects(url))}:
        yield fault(
            f"no connection to {', '.join(dead)}: {next(iter(dead.values()))}",
            "check the network, the proxy (HTTPS_PROXY) and, inside a VPC, its endpoints",
        )
    else:
        yield ok(f"{len(urls)} AWS endpoints answer")
    eks = aws("eks")
    for name in eks.list_clusters()["clusters"]:
        if name == f"{PROJECT}-{site.env.name}":
            url = eks.describe_cluster(name=name)["cluster"]["endpoint"]
            if why := site.connects(url):
                yield fault(
                    f"the cluster's endpoint {url} is out of reach: {why}",
                    "it is private: run this inside the VPC, on a CodeBuild-hosted runner or through a VPN",
                )
            else:
                yield ok(f"the cluster's endpoint {url} answers")


def region(env: Environment, aws: Callable[[str], Any]) -> Iterator[Finding]:
    """Whether the region is enabled and has the zones."""
    ec2 = aws("ec2")
    found = ec2.describe_regions(RegionNames=[env.region])["Regions"]
    if not found or found[0].get("OptInStatus") == "not-opted-in":
        yield fault(
            f"region {env.region} is not enabled in this account",
            f"`aws account enable-region --region-name {env.region}`, or choose another region",
        )
        return
    zones = {zone["ZoneName"] for zone in ec2.describe_availability_zones()["AvailabilityZones"]}
    wanted = {f"{env.region}{letter}" for letter in env.network.zones}
    if wanted - zones:
        have = ", ".join(sorted(zone.removeprefix(env.region) for zone in zones))
        yield fault(
            f"the account has no zone {', '.join(sorted(wanted - zones))}",
            f"set network.zones to some of {have}",
        )
    else:
        yield ok(f"{env.region} with zones {', '.join(env.network.zones)}")


def account_baseline(env: Environment, aws: Callable[[str], Any]) -> Iterator[Finding]:
    """What `account_baseline: existing` takes for granted."""
    if env.account_baseline == "create":
        yield ok("this stack makes it")
    elif not aws("apigateway").get_account().get("cloudwatchRoleArn"):
        yield fault(
            "API Gateway may write no logs: the account has no CloudWatch role",
            "set account_baseline: create in one stack of this account and region",
        )
    else:
        yield ok("the account has API Gateway's CloudWatch role")


def sign_in_domain(env: Environment, aws: Callable[[str], Any]) -> Iterator[Finding]:
    """Cognito's domain prefixes are unique within a region, over all accounts."""
    prefix, cognito = env.identity.domain_prefix, aws("cognito-idp")
    pool = cognito.describe_user_pool_domain(Domain=prefix).get("DomainDescription", {}).get("UserPoolId")
    if not pool:
        yield ok(f"{prefix} is not taken in this account")
        return
    name = cognito.describe_user_pool(UserPoolId=pool)["UserPool"]["Name"]
    if name.startswith(f"{PROJECT}-{env.name}"):
        yield ok(f"{prefix} belongs to this environment")
    else:
        yield fault(
            f"identity.domain_prefix {prefix} belongs to user pool {name}",
            "choose another prefix in the environment's file",
        )


def domain(env: Environment, aws: Callable[[str], Any]) -> Iterator[Finding]:
    """The hosted zone in which the API's own name is to stand."""
    if not env.domain:
        yield ok("the API has no name of its own")
        return
    zone = aws("route53").get_hosted_zone(Id=env.domain.zone_id)["HostedZone"]
    name = zone["Name"].rstrip(".")
    if not f".{env.domain.name}".endswith(f".{name}") or zone["Config"].get("PrivateZone"):
        yield fault(
            f"{env.domain.name} does not belong into hosted zone {env.domain.zone_id} ({name})",
            "set domain.zone_id to the public zone of that name",
        )
    else:
        yield ok(f"{env.domain.name} in zone {name}")


def cost_tags(aws: Callable[[str], Any]) -> Iterator[Finding]:
    """Whether the payer account counts costs by our tags; a new tag shows there a day after its first use."""
    listed = aws("ce").list_cost_allocation_tags(TagKeys=list(COST_TAGS))["CostAllocationTags"]
    active = {tag["TagKey"] for tag in listed if tag["Status"] == "Active"}
    if inactive := [tag for tag in COST_TAGS if tag not in active]:
        yield fault(
            f"costs are not counted by {', '.join(inactive)}: reports and budgets by tag stay empty",
            "activate them in the payer account: `aws ce update-cost-allocation-tags-status`",
        )
    else:
        yield ok(f"active: {', '.join(COST_TAGS)}")


def connects(url: str) -> str | None:
    """Why nothing answers at a URL's host and port, or None."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        with socket.create_connection((parts.hostname or "", port), timeout=5):
            return None
    except OSError as error:
        return str(error)


def _stopped() -> Iterator[Finding]:
    yield unknown("the embedded AWS does not run; `make up` starts it")


def _in_account_only() -> Iterator[Finding]:
    yield unknown("only an AWS account has them")
