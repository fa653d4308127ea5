"""The charts: pinned, in order, each with the permissions of what it does here."""

import re

import pytest

from components.charts import IMAGES, target_statements
from tests.components.gpu_programs import NAMES, built, statements
from tests.components.recorded import Recorded

RELEASE = "kubernetes:helm.sh/v3:Release"


@pytest.fixture(scope="module")
def recorded() -> Recorded:
    return built()


def test_every_chart_is_pinned_and_leaves_nothing_half_made(recorded: Recorded) -> None:
    releases = recorded.all(RELEASE)
    assert {release.inputs["name"] for release in releases} == {
        "karpenter-crd",
        "karpenter",
        "keda",
        "load-balancer-controller",
    }
    for release in releases:
        assert re.fullmatch(r"\d+\.\d+\.\d+", release.inputs["version"]), release.name
        assert release.inputs["atomic"] is True


def test_karpenter_and_its_definitions_have_one_version(recorded: Recorded) -> None:
    definitions, controller = (
        recorded.named("cluster-charts-karpenter-crd"),
        recorded.named("cluster-charts-karpenter"),
    )
    assert definitions.inputs["version"] == controller.inputs["version"]


def test_images_come_from_the_accounts_cache(recorded: Recorded) -> None:
    cache = "111111111111.dkr.ecr.us-east-1.amazonaws.com/dev"
    values = {
        name: recorded.named(f"cluster-charts-{name}").inputs["values"] for name in ("karpenter", "keda")
    }
    assert values["karpenter"]["controller"]["image"]["repository"] == (
        f"{cache}/ecr-public/karpenter/controller"
    )
    assert {part["registry"] for part in values["keda"]["image"].values()} == {f"{cache}/github"}
    controller = recorded.named("cluster-charts-load-balancer-controller").inputs["values"]
    assert controller["image"]["repository"] == f"{cache}/ecr-public/eks/aws-load-balancer-controller"
    assert all(":" in image for image in IMAGES)


def test_controllers_run_on_system_nodes_and_say_how_much_they_take(recorded: Recorded) -> None:
    toleration = [{"key": "CriticalAddonsOnly", "operator": "Exists"}]
    for name in ("keda", "load-balancer-controller"):
        assert recorded.named(f"cluster-charts-{name}").inputs["values"]["tolerations"] == toleration
    resources = [
        recorded.named("cluster-charts-karpenter").inputs["values"]["controller"]["resources"],
        recorded.named("cluster-charts-load-balancer-controller").inputs["values"]["resources"],
        *recorded.named("cluster-charts-keda").inputs["values"]["resources"].values(),
    ]
    for amounts in resources:
        assert amounts["limits"]["memory"] == amounts["requests"]["memory"]


def test_keda_counts_jobs_and_does_nothing_else_in_aws(recorded: Recorded) -> None:
    [(_, statement)] = statements(recorded, "cluster-charts-keda-pods").items()
    assert statement["Action"] == ["sqs:GetQueueAttributes"]
    assert statement["Resource"] == [NAMES.arn("sqs", "inference-platform-dev-job-*")]
    association = recorded.named("cluster-charts-keda-pods-association").inputs
    operator = recorded.named("cluster-charts-keda").inputs
    assert association["namespace"] == operator["namespace"] == "keda"
    assert operator["values"]["serviceAccount"]["operator"]["name"] == association["serviceAccount"]


def test_the_load_balancer_controller_registers_targets_of_our_group_only(recorded: Recorded) -> None:
    given = statements(recorded, "cluster-charts-load-balancer-controller-pods")
    assert given["Register"]["Resource"] == ["arn:aws:mock:us-east-1:111111111111:cluster-entry-targets"]
    assert given["Register"]["Action"] == [
        "elasticloadbalancing:RegisterTargets",
        "elasticloadbalancing:DeregisterTargets",
    ]
    reads = next(each for each in target_statements(["arn"]) if each["Sid"] == "Read")["Action"]
    assert all(action.partition(":")[2].startswith("Describe") for action in reads)


def test_the_load_balancer_controller_makes_nothing_of_its_own(recorded: Recorded) -> None:
    values = recorded.named("cluster-charts-load-balancer-controller").inputs["values"]
    assert values["enableServiceMutatorWebhook"] is False
    assert values["createIngressClassResource"] is False
    assert values["enableBackendSecurityGroup"] is False
    # Pods cannot reach instance metadata, where it would look for them.
    assert (values["region"], values["vpcId"]) == ("us-east-1", "network-vpc-id")


def test_permissions_are_there_before_the_controllers(recorded: Recorded) -> None:
    for chart in ("keda", "load-balancer-controller"):
        association = recorded.named(f"cluster-charts-{chart}-pods-association")
        assert association.urn in recorded.named(f"cluster-charts-{chart}").depends_on
