"""The AWS services that what runs in private subnets calls, and the interface endpoints that lead there."""

from collections.abc import Iterable, Mapping
from enum import StrEnum

from pydantic import BaseModel

from environments.catalogue import LambdaModel
from environments.compute import EksModel


class Part(StrEnum):
    """What the platform runs in private subnets and calls AWS."""

    CLUSTER = "the cluster's nodes and the credentials of its pods"
    KARPENTER = "Karpenter"
    KEDA = "KEDA"
    LOAD_BALANCER_CONTROLLER = "the load balancer controller"
    OBSERVABILITY = "the CloudWatch agent"
    ROUTER = "the router"
    JOB_WORKERS = "workers of jobs"
    CAPTURE = "statistics of requests"


# Last part of the endpoint services' names. S3 and DynamoDB have gateway endpoints; KMS is called by them and
# by SQS, on behalf of the caller.
# https://docs.aws.amazon.com/eks/latest/userguide/private-clusters.html
# https://karpenter.sh/docs/getting-started/getting-started-with-karpenter/#private-clusters
_SERVICES: Mapping[Part, frozenset[str]] = {
    Part.CLUSTER: frozenset({"ec2", "ecr.api", "ecr.dkr", "eks", "eks-auth", "sts"}),
    Part.KARPENTER: frozenset({"ec2", "eks", "sqs", "ssm", "sts"}),
    Part.KEDA: frozenset({"sqs"}),
    Part.LOAD_BALANCER_CONTROLLER: frozenset({"ec2", "elasticloadbalancing"}),
    Part.OBSERVABILITY: frozenset({"ec2", "logs", "monitoring", "ssm", "xray"}),
    Part.ROUTER: frozenset({"monitoring", "sqs"}),
    Part.JOB_WORKERS: frozenset({"sqs"}),
    Part.CAPTURE: frozenset({"kinesis-firehose"}),
}


def parts(models: Mapping[str, BaseModel], *, cluster: bool) -> list[Part]:
    """What of it an environment has."""
    inside = [
        model
        for model in models.values()
        if isinstance(model, EksModel) or (isinstance(model, LambdaModel) and model.vpc)
    ]
    there = {
        **dict.fromkeys(Part, cluster),
        Part.JOB_WORKERS: any(isinstance(model, EksModel) for model in inside),
        Part.CAPTURE: any(model.captured for model in inside),
    }
    return [part for part in Part if there[part]]


def required_services(parts: Iterable[Part]) -> frozenset[str]:
    """The interface endpoints without which `parts` cannot work in a VPC that has no NAT.

    Two APIs that Karpenter would call have no endpoint in most regions: IAM (name an instance profile in
    the EC2NodeClass, not a role) and the price list (set ISOLATED_VPC; it then uses its built-in prices).
    """
    return frozenset[str]().union(*(_SERVICES[part] for part in parts))


def check(models: Mapping[str, BaseModel], endpoints: Iterable[str], *, cluster: bool) -> None:
    """Hold what runs in private subnets without NAT against the interface endpoints that there are.

    Raises:
        ValueError: something reaches a service by neither.
    """
    there = parts(models, cluster=cluster)
    if missing := required_services(there) - set(endpoints):
        calling = "; ".join(
            f"{part} ({', '.join(sorted(_SERVICES[part] & missing))})"
            for part in there
            if _SERVICES[part] & missing
        )
        raise ValueError(
            f"network.interface_endpoints: without NAT nothing leads to what these call: {calling}; add "
            f"{', '.join(sorted(missing))}, or choose network.nat single or one_per_az"
        )
