"""Which GPU nodes Karpenter may start: what the catalogue needs, and no more."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.components.gpu_programs import MODELS, NAMES, TAGS, built, catalogue
from tests.components.recorded import Recorded

RESERVATION: Mapping[str, Any] = {"capacity_reservation_ids": ["cr-0123456789abcdef0"]}


@pytest.fixture(scope="module")
def recorded() -> Recorded:
    return built(**RESERVATION)


def spec(recorded: Recorded, name: str) -> Any:
    return recorded.named(name).inputs["spec"]


def requirements(recorded: Recorded, name: str) -> dict[str, list[str]]:
    found = spec(recorded, name)["template"]["spec"]["requirements"]
    assert all(each["operator"] == "In" for each in found)
    return {each["key"]: each["values"] for each in found}


def test_reserved_capacity_is_tried_first_then_spot_and_on_demand(recorded: Recorded) -> None:
    assert requirements(recorded, "cluster-pools-gpu-reserved")["karpenter.sh/capacity-type"] == ["reserved"]
    assert requirements(recorded, "cluster-pools-gpu")["karpenter.sh/capacity-type"] == ["spot", "on-demand"]
    assert (
        spec(recorded, "cluster-pools-gpu-reserved")["weight"] > spec(recorded, "cluster-pools-gpu")["weight"]
    )
    assert spec(recorded, "cluster-pools-node-class")["capacityReservationSelectorTerms"] == [
        {"id": "cr-0123456789abcdef0"}
    ]


def test_without_reservations_there_is_one_pool() -> None:
    plain = built()
    assert len(plain.all("kubernetes:karpenter.sh/v1:NodePool")) == 1
    assert "capacityReservationSelectorTerms" not in spec(plain, "cluster-pools-node-class")


@pytest.mark.parametrize("pool", ["cluster-pools-gpu", "cluster-pools-gpu-reserved"])
def test_limits_hold_every_model_at_its_maximum_and_a_replica_more(recorded: Recorded, pool: str) -> None:
    models = catalogue().values()
    limit = int(spec(recorded, pool)["limits"]["nvidia.com/gpu"])
    assert limit >= sum(model.scale.max * model.gpus for model in models)
    assert limit == (4 + 1) * 1 + (2 + 1) * 4


@pytest.mark.parametrize("pool", ["cluster-pools-gpu", "cluster-pools-gpu-reserved"])
def test_a_pool_starts_what_keda_may_ask_for(recorded: Recorded, pool: str) -> None:
    """From the manifests alone: the most replicas of each model, their GPUs, and the nodes they want."""
    gpus, types = 0, set()
    for model in catalogue():
        pod = spec(recorded, f"model-{model}-deployment")["template"]["spec"]
        most = spec(recorded, f"model-{model}-scaler-scaled-object")["maxReplicaCount"]
        gpus += most * sum(int(each["resources"]["limits"]["nvidia.com/gpu"]) for each in pod["containers"])
        types.add(pod["nodeSelector"]["node.kubernetes.io/instance-type"])
    assert gpus
    assert int(spec(recorded, pool)["limits"]["nvidia.com/gpu"]) >= gpus
    assert set(requirements(recorded, pool)["node.kubernetes.io/instance-type"]) >= types


def test_limits_follow_the_catalogue() -> None:
    more = {**MODELS, "minilm": {**MODELS["minilm"], "scale": {"max": 10}}}
    assert spec(built(more), "cluster-pools-gpu")["limits"] == {"nvidia.com/gpu": str(11 + 12)}


def test_only_the_catalogues_instance_types_start(recorded: Recorded) -> None:
    types = requirements(recorded, "cluster-pools-gpu")["node.kubernetes.io/instance-type"]
    assert types == ["g6.xlarge", "g6e.12xlarge"]


def test_nodes_are_for_pods_that_ask_for_a_gpu(recorded: Recorded) -> None:
    assert spec(recorded, "cluster-pools-gpu")["template"]["spec"]["taints"] == [
        {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}
    ]


def test_a_node_leaves_when_it_is_empty_and_only_then(recorded: Recorded) -> None:
    disruption = spec(recorded, "cluster-pools-gpu")["disruption"]
    assert disruption["consolidationPolicy"] == "WhenEmpty"
    assert disruption["consolidateAfter"] == "10m"


def test_the_nodes_system_is_pinned(recorded: Recorded) -> None:
    [image] = spec(recorded, "cluster-pools-node-class")["amiSelectorTerms"]
    family, _, version = image["alias"].partition("@")
    assert family == "bottlerocket"
    assert version.startswith("v1.")


def test_images_are_pulled_in_parallel_onto_the_instances_own_disks(recorded: Recorded) -> None:
    node_class = spec(recorded, "cluster-pools-node-class")
    assert node_class["instanceStorePolicy"] == "RAID0"
    assert 'snapshotter = "soci"' in node_class["userData"]
    assert 'pull-mode = "parallel-pull-unpack"' in node_class["userData"]


def test_nodes_are_closed_to_pods_and_the_internet_and_their_disks_are_encrypted(recorded: Recorded) -> None:
    node_class = spec(recorded, "cluster-pools-node-class")
    assert node_class["metadataOptions"]["httpTokens"] == "required"
    assert node_class["metadataOptions"]["httpPutResponseHopLimit"] == 1
    assert node_class["associatePublicIPAddress"] is False
    for mapping in node_class["blockDeviceMappings"]:
        assert mapping["ebs"]["encrypted"] is True
        assert mapping["ebs"]["kmsKeyID"] == NAMES.arn("kms", "key/data")
        assert mapping["ebs"]["volumeType"] == "gp3"


def test_nodes_stand_in_the_clusters_subnets_and_group_with_the_cost_tags(recorded: Recorded) -> None:
    node_class = spec(recorded, "cluster-pools-node-class")
    assert node_class["subnetSelectorTerms"] == [
        {"tags": {"karpenter.sh/discovery": "inference-platform-dev"}}
    ]
    assert node_class["securityGroupSelectorTerms"] == [{"id": "sg-nodes"}]
    assert TAGS.component("gpu-nodes").items() <= node_class["tags"].items()


def test_karpenter_still_runs_when_its_pools_and_nodes_go(recorded: Recorded) -> None:
    release, node_class = (
        recorded.named("cluster-charts-karpenter"),
        recorded.named("cluster-pools-node-class"),
    )
    assert release.urn in node_class.depends_on
    assert node_class.urn in recorded.named("cluster-pools-gpu").depends_on
    assert recorded.named("cluster-charts-karpenter-crd").urn in release.depends_on
