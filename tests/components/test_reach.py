"""The whole program in a VPC without NAT: every service that something in its subnets may call is reached."""

import json
from collections.abc import Iterator

import pytest

from environments.reach import Part, required_services
from tests.components.programs import program
from tests.components.recorded import Recorded

# Service prefix of an action -> endpoint services. S3 and DynamoDB have gateways, which are always there;
# KMS is called by the services that hold what is encrypted; the price list and IAM have none, and what
# Karpenter does instead stands in `required_services`.
CALLED = {
    "cloudwatch": {"monitoring"},
    "dynamodb": set(),
    "ec2": {"ec2"},
    "eks": {"eks"},
    "elasticloadbalancing": {"elasticloadbalancing"},
    "firehose": {"kinesis-firehose"},
    "iam": set(),
    "kms": set(),
    "s3": set(),
    "sqs": {"sqs"},
    "ssm": {"ssm"},
    "xray": {"xray"},
}
# https://docs.aws.amazon.com/aws-managed-policy/latest/reference/policy-list.html
# Session Manager is for people.
MANAGED = {
    "AmazonEKSWorkerNodePolicy": {"ec2", "eks-auth"},
    "AmazonEC2ContainerRegistryPullOnly": {"ecr.api", "ecr.dkr"},
    "AmazonSSMManagedInstanceCore": set(),
    "AmazonEKS_CNI_Policy": {"ec2"},
    "CloudWatchAgentServerPolicy": {"ec2", "logs", "monitoring", "ssm", "xray"},
}
# Of a function in the VPC these go another way: Lambda itself attaches it, and sends its logs, its traces and
# the events of what came of it.
AROUND = {"ec2", "events", "logs", "xray"}
# Nodes join and pods of old SDKs sign through it; no policy names what everybody may do.
UNNAMED = {"sts"}


@pytest.fixture(scope="module")
def isolated(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    network = {"cidr": "10.20.0.0/16", "nat": "none", "interface_endpoints": sorted(required_services(Part))}
    digits = {"vpc": True}
    changes = {"network": network, "models": {"digits": digits}}
    return program("stage", tmp_path_factory.mktemp("isolated"), changes)


def prefixes(recorded: Recorded, role: str) -> set[str]:
    """Of the actions in a role's own policies; `role`: its name or ARN."""
    return {
        action.partition(":")[0]
        for policy in recorded.all("aws:iam/rolePolicy:RolePolicy")
        if policy.inputs["role"] == role.rpartition("/")[2]
        for statement in json.loads(policy.inputs["policy"])["Statement"]
        for action in statement["Action"]
    }


def called(recorded: Recorded) -> Iterator[tuple[str, set[str]]]:
    """Who calls which endpoint services: pods, nodes and functions in the VPC."""
    pods = recorded.all("aws:eks/podIdentityAssociation:PodIdentityAssociation")
    for pod in pods:
        for prefix in prefixes(recorded, pod.inputs["roleArn"]):
            yield pod.name, CALLED[prefix]
    functions = recorded.all("aws:lambda/function:Function")
    inside = [function for function in functions if function.inputs.get("vpcConfig")]
    assert pods
    assert inside
    for function in inside:
        for prefix in prefixes(recorded, function.inputs["role"]) - AROUND:
            yield function.name, CALLED[prefix]
    for attached in recorded.all("aws:iam/rolePolicyAttachment:RolePolicyAttachment"):
        if attached.name.startswith("cluster-") and not attached.name.startswith("cluster-eks-role"):
            yield attached.name, MANAGED[attached.inputs["policyArn"].rpartition("/")[2]]


def test_what_is_required_is_what_the_components_call(isolated: Recorded) -> None:
    found = {service for _, services in called(isolated) for service in services}
    assert found | UNNAMED == required_services(Part)


def test_every_image_comes_from_the_accounts_own_registry(isolated: Recorded) -> None:
    """Directly, or through a cache of it."""
    images = [
        container["image"]
        for kind in ("apps/v1:Deployment", "apps/v1:DaemonSet")
        for workload in isolated.all(f"kubernetes:{kind}")
        for container in workload.inputs["spec"]["template"]["spec"]["containers"]
    ]
    assert images
    assert all(image.startswith("222222222222.dkr.ecr.us-east-1.amazonaws.com/") for image in images), images
