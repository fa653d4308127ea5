"""Manifests of the platform with one planted mistake each: rendering refuses them, with the field's name."""

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local_aws import custom_resources, manifests
from tests.components.gpu_programs import built, objects
from tests.components.recorded import Recorded
from toolchain import crds

Plant = Callable[[dict[str, Any]], object]
CUSTOM = {"NodePool", "EC2NodeClass", "ScaledObject", "TriggerAuthentication", "TargetGroupBinding"}


def container(manifest: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = manifest["spec"]["template"]["spec"]["containers"][0]
    return found


# Name -> (resource, what is done to it, what is said of it)
PLANTED: dict[str, tuple[str, Plant, str]] = {
    "misspelt field": (
        "router-deployment",
        lambda m: container(m).update(imagePullPolice="Always"),
        "imagePullPolice",
    ),
    "text for a number": ("router-deployment", lambda m: m["spec"].update(replicas="two"), "replicas"),
    "number for a text": (
        "router-deployment",
        lambda m: container(m)["env"].append({"name": "PORT", "value": 80}),
        "value",
    ),
    "missing selector": ("model-minilm-deployment", lambda m: m["spec"].pop("selector"), "selector"),
    "text for a list": (
        "router-network-policy",
        lambda m: m["spec"].update(policyTypes="Ingress"),
        "policyTypes",
    ),
    "name in capitals": ("router-service", lambda m: m["metadata"].update(name="Router"), "name"),
    "policy that there is not": (
        "cluster-pools-gpu",
        lambda m: m["spec"]["disruption"].update(consolidationPolicy="WhenIdle"),
        "consolidationPolicy",
    ),
    "weight out of range": ("cluster-pools-gpu", lambda m: m["spec"].update(weight=200), "weight"),
    "no subnets": (
        "cluster-pools-node-class",
        lambda m: m["spec"].pop("subnetSelectorTerms"),
        "subnetSelectorTerms",
    ),
    "misspelt custom field": (
        "cluster-pools-node-class",
        lambda m: m["spec"].update(instanceProfil="p"),
        "instanceProfil",
    ),
    "no triggers": ("model-minilm-scaler-scaled-object", lambda m: m["spec"].pop("triggers"), "triggers"),
    "number as text": (
        "model-minilm-scaler-scaled-object",
        lambda m: m["spec"].update(maxReplicaCount="4"),
        "maxReplicaCount",
    ),
    "provider that there is not": (
        "model-minilm-scaler-authentication",
        lambda m: m["spec"]["podIdentity"].update(provider="amazon"),
        "provider",
    ),
    "target that there is not": (
        "router-targets",
        lambda m: m["spec"].update(targetType="pod"),
        "targetType",
    ),
}


@pytest.fixture(scope="module")
def recorded() -> Recorded:
    return built()


@pytest.fixture(params=["definitions", "own"])
def schemas(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """With the makers' definitions, where set-up got them, and with our own minimal schemas alone."""
    kind = str(request.param)
    if kind == "definitions" and not crds.folder().is_dir():
        pytest.skip("set-up got no definitions: there is no Go here, or no network")
    if kind == "own":
        monkeypatch.setattr(crds, "folder", lambda: tmp_path)
    for cache in (custom_resources.schema_of, manifests._custom):
        cache.cache_clear()
    return kind


def problems(manifest: dict[str, Any]) -> list[tuple[str, str]]:
    return [*manifests.name_problems(manifest), *manifests.schema_problems(manifest)]


def test_every_manifest_of_the_platform_is_judged_and_fits(recorded: Recorded, schemas: str) -> None:
    kinds = set()
    for resource in objects(recorded):
        manifest = dict(resource.inputs)
        assert problems(manifest) == [], resource.name
        judged = manifests.rendered(manifest, resource.urn).splitlines()[1]
        assert judged.startswith("# fits"), judged
        kinds.add(manifest["kind"])
    assert kinds >= CUSTOM


@pytest.mark.parametrize("planted", PLANTED)
def test_a_planted_mistake_is_refused_by_name(recorded: Recorded, schemas: str, planted: str) -> None:
    name, plant, said = PLANTED[planted]
    manifest = copy.deepcopy(dict(recorded.named(name).inputs))
    plant(manifest)
    found = "\n".join(f"{path} {reason}" for path, reason in problems(manifest))
    assert re.search(rf"\b{said}\b", found), found or "nothing is said"


def test_a_manifest_says_by_what_it_was_judged(recorded: Recorded, schemas: str) -> None:
    judged = {
        kind: manifests.rendered(dict(recorded.named(name).inputs), "urn").splitlines()[1]
        for kind, name in {"NodePool": "cluster-pools-gpu", "TargetGroupBinding": "router-targets"}.items()
    }
    own = "# fits a minimal schema of our own"
    assert judged["TargetGroupBinding"] == own
    definition = "# fits the definition of NodePool karpenter.sh/v1"
    assert judged["NodePool"] == (definition if schemas == "definitions" else own)
