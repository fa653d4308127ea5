"""What is left of an environment in its account: asked by tags, and once more service by service.

Both, because neither sees everything: some resources take no tags, and the tag index lags and lists what is
already gone.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from inferctl.failures import EXPECTED, explain
from inferctl.workspace import PROJECT
from toolchain.progress import Step

Aws = Callable[[str], Any]


@dataclass(frozen=True, kw_only=True)
class Scope:
    """What tells an environment's resources from others."""

    env: str

    @property
    def prefix(self) -> str:
        return f"{PROJECT}-{self.env}"

    def names(self, name: str) -> bool:
        """Whether a physical name is one of ours: the prefix, whatever path stands before it."""
        tail = name.lstrip("/").removeprefix("aws/lambda/").removeprefix("aws-waf-logs-")
        tail = tail.removeprefix("aws/apigateway/").removeprefix("aws/vpc/").removeprefix("aws/sagemaker/")
        return tail == self.prefix or tail.startswith((f"{self.prefix}-", f"{PROJECT}/{self.env}/"))

    @property
    def filters(self) -> list[dict[str, Any]]:
        """EC2's filters for our tags."""
        return [
            {"Name": "tag:platform", "Values": [PROJECT]},
            {"Name": "tag:environment", "Values": [self.env]},
        ]


@dataclass(kw_only=True)
class Found:
    """What the search brought up."""

    looked_at: list[str] = field(default_factory=list)
    leftovers: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


def find(scope: Scope, aws: Aws, step: Step) -> Found:
    """Everything of the environment that still exists."""
    found = Found()
    for service, search in {"tags": _tagged, **SEARCHES}.items():
        step.detail = service
        try:
            items = sorted(set(search(scope, aws)))
        except EXPECTED as error:
            found.unknown.append(f"{service}: {explain(error, scope.env).what}")
            continue
        if service != "tags":
            found.looked_at.append(service)
        for item in items:
            target = found.waiting if item.endswith(_WAITS) else found.leftovers
            target.append(f"{service}: {item}")
    return found


_WAITS = "(deletion is scheduled)"


def _pages(client: Any, operation: str, key: str, **arguments: Any) -> Iterator[Any]:
    """Items of all pages of a listing."""
    if client.can_paginate(operation):
        for page in client.get_paginator(operation).paginate(**arguments):
            yield from page.get(key) or ()
    else:
        yield from getattr(client, operation)(**arguments).get(key) or ()


def _tagged(scope: Scope, aws: Aws) -> Iterator[str]:
    filters = [{"Key": "platform", "Values": [PROJECT]}, {"Key": "environment", "Values": [scope.env]}]
    api = aws("resourcegroupstaggingapi")
    keys = {item for item in _keys(scope, aws) if item.endswith(_WAITS)}
    for entry in _pages(api, "get_resources", "ResourceTagMappingList", TagFilters=filters):
        arn = entry["ResourceARN"]
        scheduled = any(arn.endswith(key.split(" ")[0]) for key in keys)
        yield f"{arn} {_WAITS}" if scheduled else arn


def _keys(scope: Scope, aws: Aws) -> Iterator[str]:
    kms = aws("kms")
    for key in _pages(kms, "list_keys", "Keys"):
        about = kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]
        if about.get("KeyManager", "CUSTOMER") != "CUSTOMER":
            continue
        tags = {t["TagKey"]: t["TagValue"] for t in kms.list_resource_tags(KeyId=key["KeyId"])["Tags"]}
        if (tags.get("platform"), tags.get("environment")) == (PROJECT, scope.env):
            yield f"{key['KeyId']} {_WAITS}" if about["KeyState"] == "PendingDeletion" else key["KeyId"]


def _by_name(
    service: str, operation: str, key: str, *fields: str, **arguments: Any
) -> Callable[..., Iterator[str]]:
    """A search of what a service lists, by physical name; no field means that the items are the names."""

    def search(scope: Scope, aws: Aws) -> Iterator[str]:
        for item in _pages(aws(service), operation, key, **arguments):
            name = next((item[name] for name in fields if item.get(name)), "") if fields else item
            # Queues are listed as URLs, topics as ARNs.
            if scope.names(str(name).rsplit(":", 1)[-1].rsplit("/", 1)[-1]) or scope.names(str(name)):
                yield str(name)

    return search


def _by_tag(
    operation: str, key: str, field_: str, gone: tuple[str, ...] = ()
) -> Callable[..., Iterator[str]]:
    """A search of EC2, by tag; what is in a state of `gone` is on its way out."""

    def search(scope: Scope, aws: Aws) -> Iterator[str]:
        word = "Filter" if operation == "describe_nat_gateways" else "Filters"
        for item in _pages(aws("ec2"), operation, key, **{word: scope.filters}):
            if item.get("State") not in gone:
                yield item[field_]

    return search


def _instances(scope: Scope, aws: Aws) -> Iterator[str]:
    """Nodes, those that Karpenter started too: they carry the cluster's name."""
    by_cluster = [{"Name": "tag:eks:eks-cluster-name", "Values": [scope.prefix]}]
    for filters in (scope.filters, by_cluster):
        for reservation in _pages(aws("ec2"), "describe_instances", "Reservations", Filters=filters):
            for instance in reservation["Instances"]:
                if instance["State"]["Name"] not in ("terminated", "shutting-down"):
                    yield instance["InstanceId"]


SEARCHES: Mapping[str, Callable[[Scope, Aws], Iterator[str]]] = {
    "S3 buckets": _by_name("s3", "list_buckets", "Buckets", "Name"),
    "Lambda functions": _by_name("lambda", "list_functions", "Functions", "FunctionName"),
    "log groups": _by_name("logs", "describe_log_groups", "logGroups", "logGroupName"),
    "IAM roles": _by_name("iam", "list_roles", "Roles", "RoleName"),
    "KMS keys": _keys,
    "user pools": _by_name("cognito-idp", "list_user_pools", "UserPools", "Name", MaxResults=60),
    "REST APIs": _by_name("apigateway", "get_rest_apis", "items", "name"),
    "API keys": _by_name("apigateway", "get_api_keys", "items", "name"),
    "usage plans": _by_name("apigateway", "get_usage_plans", "items", "name"),
    "parameters": _by_name("ssm", "describe_parameters", "Parameters", "Name"),
    "ECR repositories": _by_name("ecr", "describe_repositories", "repositories", "repositoryName"),
    "SQS queues": _by_name("sqs", "list_queues", "QueueUrls"),
    "SNS topics": _by_name("sns", "list_topics", "Topics", "TopicArn"),
    "DynamoDB tables": _by_name("dynamodb", "list_tables", "TableNames"),
    "event rules": _by_name("events", "list_rules", "Rules", "Name"),
    "state machines": _by_name("stepfunctions", "list_state_machines", "stateMachines", "name"),
    "alarms": _by_name("cloudwatch", "describe_alarms", "MetricAlarms", "AlarmName"),
    "secrets": _by_name("secretsmanager", "list_secrets", "SecretList", "Name"),
    "EKS clusters": _by_name("eks", "list_clusters", "clusters"),
    "web ACLs": _by_name("wafv2", "list_web_acls", "WebACLs", "Name", Scope="REGIONAL"),
    "SageMaker endpoints": _by_name("sagemaker", "list_endpoints", "Endpoints", "EndpointName"),
    "instances": _instances,
    "VPCs": _by_tag("describe_vpcs", "Vpcs", "VpcId"),
    "volumes": _by_tag("describe_volumes", "Volumes", "VolumeId", ("deleting", "deleted")),
    "NAT gateways": _by_tag("describe_nat_gateways", "NatGateways", "NatGatewayId", ("deleting", "deleted")),
    "addresses": _by_tag("describe_addresses", "Addresses", "AllocationId"),
    "network interfaces": _by_tag("describe_network_interfaces", "NetworkInterfaces", "NetworkInterfaceId"),
}
