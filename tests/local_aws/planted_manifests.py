"""Mistakes in manifests of the platform: those that schemas find, and those that only an API server finds."""

import copy
from collections.abc import Callable, Mapping
from typing import Any

from tests.components.recorded import Recorded

Mistake = tuple[str, Callable[[dict[str, Any]], object], str]
"""Resource, what is done to its manifest, and what is said of that."""


def mistaken(recorded: Recorded, mistake: Mistake) -> dict[str, Any]:
    """A resource's manifest with a mistake in it."""
    name, plant, _ = mistake
    manifest = copy.deepcopy(dict(recorded.named(name).inputs))
    plant(manifest)
    return manifest


def container(manifest: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = manifest["spec"]["template"]["spec"]["containers"][0]
    return found


PLANTED: Mapping[str, Mistake] = {
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

# Fields that do not go together, texts that mean something, rules in CEL of definitions, and what is there.
FOUND_BY_A_SERVER: Mapping[str, Mistake] = {
    "selector of others' pods": (
        "router-deployment",
        lambda m: m["spec"]["selector"]["matchLabels"].update(app="other"),
        "selector.*does not match template",
    ),
    "volume that there is not": (
        "router-deployment",
        lambda m: container(m)["volumeMounts"].append({"name": "models", "mountPath": "/models"}),
        r"volumeMounts\[\d\]\.name.*Not found",
    ),
    "request above its limit": (
        "router-deployment",
        lambda m: container(m)["resources"]["requests"].update(memory="100Gi"),
        "must be less than or equal to memory limit",
    ),
    "quantity that is none": (
        "router-deployment",
        lambda m: container(m)["resources"]["limits"].update(memory="4 GB"),
        "quantities must match",
    ),
    "fewer replicas than none": (
        "router-deployment",
        lambda m: m["spec"].update(replicas=-1),
        "spec.replicas.*greater than or equal to 0",
    ),
    "more rights than the namespace allows": (
        "router-deployment",
        lambda m: container(m)["securityContext"].update(allowPrivilegeEscalation=True),
        'violates PodSecurity "restricted',
    ),
    "port out of range": (
        "router-service",
        lambda m: m["spec"]["ports"][0].update(port=70_000),
        r"spec.ports\[0\].port.*between 1 and 65535",
    ),
    "namespace that there is not": (
        "router-service",
        lambda m: m["metadata"].update(namespace="elsewhere"),
        'namespaces "elsewhere" not found',
    ),
    "address that is none": (
        "router-network-policy",
        lambda m: m["spec"]["egress"].append({"to": [{"ipBlock": {"cidr": "10.0.0/8"}}]}),
        "ipBlock.cidr",
    ),
    "two limits where one goes": (
        "router-disruption-budget",
        lambda m: m["spec"].update(minAvailable=1),
        "minAvailable and maxUnavailable cannot be both set",
    ),
    "role beside an instance profile": (
        "cluster-pools-node-class",
        lambda m: m["spec"].update(role="nodes"),
        r"must specify exactly one of \['role', 'instanceProfile'\]",
    ),
    "label that Karpenter keeps to itself": (
        "cluster-pools-gpu",
        lambda m: m["spec"]["template"]["spec"]["requirements"].append(
            {"key": "karpenter.sh/nodepool", "operator": "In", "values": ["gpu"]}
        ),
        "is restricted",
    ),
    "schedule without an end": (
        "cluster-pools-gpu",
        lambda m: m["spec"]["disruption"]["budgets"].append({"nodes": "1", "schedule": "@daily"}),
        "'schedule' must be set with 'duration'",
    ),
    "fewest above most": (
        "model-minilm-scaler-scaled-object",
        lambda m: m["spec"].update(minReplicaCount=5, maxReplicaCount=2),
        "minReplicaCount must be less than or equal to maxReplicaCount",
    ),
}
