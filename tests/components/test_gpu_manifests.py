"""Everything that goes to the Kubernetes API, held against the API's own schemas and the platform's rules."""

from typing import Any

import kubernetes_validate
import pytest

from components.gpu_cluster import GpuClusterArgs
from local_aws.manifests import whole
from policies import taggable
from tests.components.gpu_programs import TAGS, built, objects
from tests.components.recorded import Recorded

# These groups have definitions of their own, which no package carries.
CUSTOM_GROUPS = {"karpenter.sh", "karpenter.k8s.aws", "keda.sh", "elbv2.k8s.aws"}


@pytest.fixture(scope="module")
def recorded() -> Recorded:
    return built()


def group(manifest: dict[str, Any]) -> str:
    return str(manifest["apiVersion"]).rpartition("/")[0]


def test_every_object_of_kubernetes_own_kinds_fits_the_clusters_version(recorded: Recorded) -> None:
    version = GpuClusterArgs.kubernetes_version
    checked = set()
    for resource in objects(recorded):
        manifest = whole(resource.inputs)
        if group(manifest) not in CUSTOM_GROUPS:
            kubernetes_validate.validate(manifest, version, strict=True)
            checked.add(manifest["kind"])
    assert checked == {
        "Deployment",
        "Namespace",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "Role",
        "RoleBinding",
        "Service",
        "ServiceAccount",
    }


def test_a_manifest_with_a_mistake_is_noticed(recorded: Recorded) -> None:
    manifest = whole(recorded.named("router-deployment").inputs)
    manifest["spec"]["template"]["spec"]["containers"][0]["imagePullPolice"] = "Always"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(manifest, GpuClusterArgs.kubernetes_version, strict=True)


def test_every_pod_meets_the_restricted_standard(recorded: Recorded) -> None:
    """What the namespace enforces: https://kubernetes.io/docs/concepts/security/pod-security-standards/"""
    deployments = recorded.all("kubernetes:apps/v1:Deployment")
    assert len(deployments) == 3
    for deployment in deployments:
        pod = deployment.inputs["spec"]["template"]["spec"]
        assert pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
        assert {next(iter(volume.keys() - {"name"})) for volume in pod["volumes"]} == {"emptyDir"}
        for container in pod["containers"]:
            assert container["securityContext"]["runAsNonRoot"] is True
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["securityContext"]["capabilities"]["drop"] == ["ALL"]


def test_selectors_select_the_pods_of_their_workload(recorded: Recorded) -> None:
    for deployment in recorded.all("kubernetes:apps/v1:Deployment"):
        spec = deployment.inputs["spec"]
        assert spec["selector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items()
    labels = [
        deployment.inputs["spec"]["template"]["metadata"]["labels"]
        for deployment in recorded.all("kubernetes:apps/v1:Deployment")
    ]
    for service in recorded.all("kubernetes:core/v1:Service"):
        wanted = service.inputs["spec"]["selector"].items()
        assert sum(wanted <= pod.items() for pod in labels) == 1, service.name


def test_every_object_and_resource_belongs_to_a_component(recorded: Recorded) -> None:
    assert [each.name for each in recorded.resources if "::pulumi:pulumi:Stack$aws:" in each.urn] == []
    assert [each.name for each in objects(recorded) if not each.parent] == []


def test_every_taggable_resource_carries_the_cost_tags(recorded: Recorded) -> None:
    wanted = TAGS.component("any").keys()
    types = taggable.types()
    for resource in recorded.resources:
        if resource.type in types:
            assert wanted <= resource.inputs.get("tags", {}).keys(), resource.name


def test_custom_objects_wait_for_the_release_that_defines_them(recorded: Recorded) -> None:
    defined_by = {
        "karpenter.k8s.aws": "cluster-charts-karpenter",
        "keda.sh": "cluster-charts-keda",
        "elbv2.k8s.aws": "cluster-charts-load-balancer-controller",
    }
    reached: dict[str, set[str]] = {}
    by_urn = {resource.urn: resource for resource in recorded.resources}

    def before(urn: str) -> set[str]:
        if urn not in reached:
            reached[urn] = set()
            for other in by_urn[urn].depends_on if urn in by_urn else ():
                reached[urn] |= {other} | before(other)
        return reached[urn]

    custom = [each for each in objects(recorded) if group(dict(each.inputs)) in defined_by]
    assert len(custom) == 6
    for resource in custom:
        release = recorded.named(defined_by[group(dict(resource.inputs))])
        assert release.urn in before(resource.urn), resource.name
