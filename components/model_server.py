"""How a model's server is started in a container, and what surrounds it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
from pulumi_kubernetes.core.v1 import (
    ContainerArgsDict,
    PodSecurityContextArgsDict,
    PodSpecArgsDict,
    SecurityContextArgsDict,
    VolumeArgsDict,
)

from components.node_group import GPU_TAINT

USER = 2000
"""User and group of all our containers; no image needs to know it."""

# What a restricted pod must say: https://kubernetes.io/docs/concepts/security/pod-security-standards/
POD_SECURITY: PodSecurityContextArgsDict = {
    "run_as_non_root": True,
    "run_as_user": USER,
    "run_as_group": USER,
    "seccomp_profile": {"type": "RuntimeDefault"},
}
CONTAINER_SECURITY: SecurityContextArgsDict = {
    "allow_privilege_escalation": False,
    "read_only_root_filesystem": True,
    "run_as_non_root": True,
    "capabilities": {"drop": ["ALL"]},
}


@dataclass(frozen=True, kw_only=True)
class Replica:
    """What one replica of a model requests of a node."""

    gpus: int
    cpu_m: int
    """Thousandths of a processor."""
    memory_gib: int


@dataclass(frozen=True, kw_only=True)
class ModelServer:
    """A server's container, engine by engine."""

    image: pulumi.Input[str]
    command: Sequence[pulumi.Input[str]]
    port: int
    live_path: str
    ready_path: str
    environment: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    start_minutes: int = 5
    """How long loading may take until the container is started anew."""
    shared_memory_gib: int = 0
    """Memory that the processes of one replica share, part of its own."""


def vllm_server(*, image: pulumi.Input[str], model: str, weights: str, gpus: int, region: str) -> ModelServer:
    """vLLM, which streams the weights from S3 to the GPUs and splits the model over all of them.

    https://docs.vllm.ai/en/stable/models/extensions/runai_model_streamer/
    """
    loader = {"concurrency": 16, "distributed": gpus > 1}
    command = ["vllm", "serve", weights, "--served-model-name", model, "--port", "8000"]
    command += ["--load-format", "runai_streamer", "--model-loader-extra-config", json.dumps(loader)]
    command += ["--tensor-parallel-size", str(gpus), "--gpu-memory-utilization", "0.9"]
    return ModelServer(
        image=image,
        command=command,
        port=8000,
        live_path="/health",
        ready_path="/health",
        environment={
            "AWS_REGION": region,
            "HF_HUB_OFFLINE": "1",  # everything is in S3; nothing is looked up elsewhere
            "VLLM_NO_USAGE_STATS": "1",
            # The user has no entry in the image's /etc/passwd, and libraries ask for its name.
            "USER": "model",
        },
        start_minutes=20,
        shared_memory_gib=2,
    )


def onnx_server(
    *,
    image: pulumi.Input[str],
    model: str,
    version: str,
    bucket: pulumi.Input[str],
    cpu_m: int,
    region: str,
    table: str,
    capture: Mapping[str, pulumi.Input[str]],
) -> ModelServer:
    """The platform's own server, which loads versions of the model from the model store, as deliveries say.

    It runs on the GPU where the image's ONNX Runtime has CUDA, else on the processors.
    """
    return ModelServer(
        image=image,
        command=["python", "-m", "serving.http_app"],
        port=8080,
        live_path="/v2/health/live",
        ready_path="/v2/health/ready",
        environment={
            "AWS_REGION": region,
            "MODEL_NAME": model,
            "MODEL_VERSION": version,
            "MODEL_BUCKET": bucket,
            "DELIVERY_TABLE": table,
            **capture,
            "MODEL_CACHE_DIR": "/cache/models",
            "MODEL_THREADS": str(max(cpu_m // 1000, 1)),
            "HOST": "0.0.0.0",  # noqa: S104 - the pod's address, which a network policy guards
            "PORT": "8080",
        },
    )


def pod_spec(
    server: ModelServer, replica: Replica, *, accelerator: str, service_account: pulumi.Input[str]
) -> PodSpecArgsDict:
    """A pod of the model: on a node of its accelerator, as nobody in particular, on a read-only root."""
    volumes: list[VolumeArgsDict] = [
        {"name": "tmp", "empty_dir": {"size_limit": "10Gi"}},
        {"name": "cache", "empty_dir": {"size_limit": "20Gi"}},
    ]
    if server.shared_memory_gib:
        size = f"{server.shared_memory_gib}Gi"
        volumes.append({"name": "shared-memory", "empty_dir": {"medium": "Memory", "size_limit": size}})
    return {
        "service_account_name": service_account,
        "automount_service_account_token": False,  # no model talks to the Kubernetes API
        "enable_service_links": False,
        "security_context": {**POD_SECURITY, "fs_group": USER},
        "node_selector": {"node.kubernetes.io/instance-type": accelerator},
        "tolerations": [{"key": GPU_TAINT, "operator": "Exists", "effect": "NoSchedule"}],
        "termination_grace_period_seconds": 120,  # requests in flight end; a long answer may take a minute
        "containers": [_container(server, replica)],
        "volumes": volumes,
    }


def _container(server: ModelServer, replica: Replica) -> ContainerArgsDict:
    amounts = {"memory": f"{replica.memory_gib}Gi", GPU_TAINT: str(replica.gpus)}
    paths = {"tmp": "/tmp", "cache": "/cache"}  # noqa: S108 - a volume of the pod's own
    if server.shared_memory_gib:
        paths["shared-memory"] = "/dev/shm"  # noqa: S108 - as above
    environment = {"HOME": "/cache", "XDG_CACHE_HOME": "/cache", **server.environment}
    return {
        "name": "server",
        "image": server.image,
        "command": server.command,
        "ports": [{"name": "http", "container_port": server.port}],
        "env": [{"name": name, "value": value} for name, value in environment.items()],
        "resources": {
            "requests": {"cpu": f"{replica.cpu_m}m", **amounts},
            "limits": amounts,  # an idle processor may be used, another's memory or GPU may not
        },
        "startup_probe": {
            "http_get": {"path": server.ready_path, "port": "http"},
            "period_seconds": 5,
            "timeout_seconds": 5,
            "failure_threshold": server.start_minutes * 12,
        },
        "readiness_probe": {
            "http_get": {"path": server.ready_path, "port": "http"},
            "period_seconds": 5,
            "timeout_seconds": 5,
            "failure_threshold": 2,
        },
        "liveness_probe": {
            "http_get": {"path": server.live_path, "port": "http"},
            "period_seconds": 10,
            "timeout_seconds": 5,
            "failure_threshold": 6,
        },
        # The router stops sending before the server stops taking.
        "lifecycle": {"pre_stop": {"sleep": {"seconds": 10}}},
        "security_context": CONTAINER_SECURITY,
        "volume_mounts": [{"name": name, "mount_path": path} for name, path in paths.items()],
    }
