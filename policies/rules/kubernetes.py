"""Pods, in whatever workload they are described."""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Annotated, Any

from pydantic import Field

from policies.resources import Part, Resource, Undecided
from policies.rule import Finding, Findings, Settings, expect, resource_rule, unknown

_TEMPLATE = "spec.template.spec"
POD_SPECS = {
    "kubernetes:apps/v1:Deployment": _TEMPLATE,
    "kubernetes:core/v1:Pod": "spec",
    "kubernetes:apps/v1:StatefulSet": _TEMPLATE,
    "kubernetes:apps/v1:DaemonSet": _TEMPLATE,
    "kubernetes:apps/v1:ReplicaSet": _TEMPLATE,
    "kubernetes:batch/v1:Job": _TEMPLATE,
    "kubernetes:batch/v1:CronJob": "spec.jobTemplate.spec.template.spec",
}
"""Workload type -> where its pods are described."""

GPU = "nvidia.com/gpu"


def _containers(resource: Resource) -> Iterator[Part]:
    pod = resource.child(POD_SPECS[resource.type])
    for kind in ("initContainers", "containers"):
        yield from pod.parts(kind)


def _deployment(container: dict[str, Any], **pod: Any) -> dict[str, Any]:
    return {"spec": {"template": {"spec": {**pod, "containers": [container]}}}}


_SECURE = {"allowPrivilegeEscalation": False, "runAsNonRoot": True}


@resource_rule(
    id="k8s-pod-security",
    title="Pods cannot take over their node",
    severity="high",
    why="A privileged or root container that is broken into owns the node and every model on it.",
    fix="set securityContext runAsNonRoot=True and allowPrivilegeEscalation=False; drop privileged and host*",
    types=list(POD_SPECS),
    good=_deployment({"name": "vllm", "securityContext": _SECURE}),
    bad=_deployment({"name": "vllm", "securityContext": {"privileged": True}}, hostNetwork=True),
)
def pod_security(workload: Resource, settings: Settings) -> Findings:
    pod = workload.child(POD_SPECS[workload.type])
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        yield from expect(pod, name, lambda value: value is not True, "false")
    for container in _containers(workload):
        security = container.child("securityContext")
        yield from expect(security, "privileged", lambda value: value is not True, "false")
        yield from expect(security, "allowPrivilegeEscalation", lambda value: value is False, "false")
        # A container's own setting wins over the pod's.
        part = security if security.has("runAsNonRoot") else pod.child("securityContext")
        yield from expect(part, "runAsNonRoot", lambda value: value is True, "true")


@resource_rule(
    id="k8s-image-pinned",
    title="Pods run images of known content from the platform's own registries",
    severity="medium",
    why="A tag that moves, or a registry that others write to, runs code that nobody reviewed.",
    fix="push the image to the stack's ECR (or its pull-through cache) and name it by digest or version",
    types=list(POD_SPECS),
    settings={"registries": Annotated[list[str], Field(min_length=1)]},
    good=_deployment({"image": "111111111111.dkr.ecr.us-east-1.amazonaws.com/vllm:v0.11.0"}),
    bad=_deployment({"image": "vllm/vllm-openai:latest"}),
)
def image_pinned(workload: Resource, settings: Settings) -> Findings:
    """`registries` are patterns of the image's name, in which `*` stands for any text."""
    allowed = settings["registries"]
    for container in _containers(workload):
        yield from expect(container, "image", _is_pinned, "named by a digest or by a tag other than latest")
        yield from expect(
            container,
            "image",
            lambda image: any(fnmatchcase(str(image), f"{each}/*") for each in allowed),
            f"from {' or '.join(allowed)}",
        )


def _is_pinned(image: Any) -> bool:
    name = str(image).rpartition("/")[2]
    tag = name.partition(":")[2]
    return "@sha256:" in name or (bool(tag) and tag != "latest")


@resource_rule(
    id="k8s-resource-limits",
    title="Pods say how much memory and how many GPUs they take",
    severity="medium",
    why="Without requests Karpenter starts the wrong node, and without limits one pod evicts the others.",
    fix="set resources.requests and limits for memory, and nvidia.com/gpu as a limit that one node can give",
    types=list(POD_SPECS),
    settings={"maxGpus": Annotated[int, Field(ge=0)]},
    good=_deployment(
        {"resources": {"requests": {"memory": "8Gi"}, "limits": {"memory": "8Gi", "nvidia.com/gpu": "1"}}}
    ),
    bad=_deployment({"resources": {"limits": {"nvidia.com/gpu": "0.5"}}}),
)
def resource_limits(workload: Resource, settings: Settings) -> Findings:
    for container in _containers(workload):
        resources = container.child("resources")
        for kind in ("requests", "limits"):
            yield from expect(resources, f"{kind}.memory", lambda amount: amount is not None, "set")
        try:
            gpus = resources.child("limits").key(GPU, 0)
        except Undecided as undecided:
            yield unknown(undecided)
            continue
        if not (str(gpus).isdecimal() and int(gpus) <= settings["maxGpus"]):
            most = settings["maxGpus"]
            yield Finding(
                f"`{resources.path}.limits` asks for {gpus} GPUs; it must be whole and {most} at most"
            )


RULES = (pod_security, image_pinned, resource_limits)
