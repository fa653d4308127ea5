"""What runs in private subnets without NAT: its endpoints are named before the engine starts."""

from typing import Any

import pytest

from environments import loader, reach
from environments.catalogue import LambdaModel
from environments.reach import Part, required_services

STAGE = loader.from_file("stage").models
INSIDE = {"backend": "lambda", "version": "v1", "vpc": True}


def test_an_eks_cluster_with_karpenter_needs_these_endpoints() -> None:
    # https://karpenter.sh/docs/getting-started/getting-started-with-karpenter/#private-clusters lists these,
    # S3 aside; Pod Identity adds eks-auth.
    documented = {"ec2", "ecr.api", "ecr.dkr", "sts", "ssm", "sqs", "eks"}
    assert required_services([Part.CLUSTER, Part.KARPENTER]) == documented | {"eks-auth"}


def test_what_is_missing_is_named_with_what_calls_it() -> None:
    there = required_services(Part) - {"sqs", "kinesis-firehose"}
    with pytest.raises(ValueError, match=r"network\.interface_endpoints") as refused:
        reach.check(STAGE, there, cluster=True)
    said = str(refused.value)
    for calling in ("Karpenter (sqs)", "KEDA (sqs)", "the router (sqs)", "workers of jobs (sqs)"):
        assert calling in said
    assert "statistics of requests (kinesis-firehose)" in said
    assert "CloudWatch agent" not in said
    assert "; add kinesis-firehose, sqs, or choose network.nat" in said
    reach.check(STAGE, required_services(Part), cluster=True)


@pytest.mark.parametrize(
    ("changes", "needed"),
    [({}, {"kinesis-firehose"}), ({"drift": {"share": 0}}, set()), ({"vpc": False}, set())],
)
def test_a_function_in_the_vpc_needs_a_way_for_its_statistics(
    changes: dict[str, Any], needed: set[str]
) -> None:
    models = {"digits": LambdaModel.model_validate(INSIDE | changes)}
    assert required_services(reach.parts(models, cluster=False)) == needed


def test_a_cluster_without_models_has_no_workers_and_no_statistics() -> None:
    assert set(Part) - set(reach.parts({}, cluster=True)) == {Part.JOB_WORKERS, Part.CAPTURE}
