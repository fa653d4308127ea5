"""The pod of the always-on router: the router proper and, for language models, vllm-router beside it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pulumi
from pulumi_kubernetes.core.v1 import ContainerArgsDict, PodSpecArgsDict, TopologySpreadConstraintArgsDict

from components.api_routes import STAGE
from components.model_server import CONTAINER_SECURITY, POD_SECURITY
from components.network_policies import NAMESPACE
from components.node_group import SYSTEM_TAINT

PORT = 8080
BALANCER_IMAGE = "docker.io/vllm/vllm-router:v0.1.17"
"""Balances a language model's requests over its replicas, by what each has in its cache."""
_BALANCER_PORT = 30_000
_ENGINE_PORT = 8000


@dataclass(frozen=True, kw_only=True)
class Route:
    """Where a model is served."""

    engine: Literal["onnx", "vllm"]
    host: pulumi.Input[str]
    port: int
    queue_url: pulumi.Input[str]
    openai: bool
    """Whether `/v1` requests that name the model lead to it."""


def pod_spec(
    *,
    image: pulumi.Input[str],
    balancer_image: pulumi.Input[str],
    routes: Mapping[str, Route],
    usage_table: pulumi.Input[str],
    region: str,
    service_account: str,
    labels: Mapping[str, str],
) -> PodSpecArgsDict:
    """Pods with these labels stand on nodes and in zones of their own."""
    balanced = any(route.engine == "vllm" for route in routes.values())
    return {
        "service_account_name": service_account,
        "automount_service_account_token": balanced,  # vllm-router watches pods
        "enable_service_links": False,
        "security_context": POD_SECURITY,
        "tolerations": [{"key": SYSTEM_TAINT, "operator": "Exists"}],
        "termination_grace_period_seconds": 90,
        "topology_spread_constraints": [
            _apart("topology.kubernetes.io/zone", labels),
            _apart("kubernetes.io/hostname", labels),
        ],
        "containers": [
            _router(image, routes, usage_table, region, balanced),
            *([_balancer(balancer_image)] if balanced else []),
        ],
        "volumes": [{"name": "tmp", "empty_dir": {"size_limit": "1Gi"}}],
    }


def _apart(key: str, labels: Mapping[str, str]) -> TopologySpreadConstraintArgsDict:
    return {
        "max_skew": 1,
        "topology_key": key,
        "when_unsatisfiable": "DoNotSchedule",
        "label_selector": {"match_labels": labels},
        "match_label_keys": ["pod-template-hash"],  # the pods of an update are spread by themselves
    }


def _router(
    image: pulumi.Input[str],
    routes: Mapping[str, Route],
    usage_table: pulumi.Input[str],
    region: str,
    balanced: bool,
) -> ContainerArgsDict:
    models = pulumi.Output.json_dumps(
        {
            model: {
                "engine": route.engine,
                "url": pulumi.Output.concat("http://", route.host, f":{route.port}"),
                "queue_url": route.queue_url,
                "openai": route.openai,
            }
            for model, route in sorted(routes.items())
        },
        sort_keys=True,
    )
    environment: dict[str, pulumi.Input[str]] = {
        "AWS_REGION": region,
        "ROUTER_MODELS": models,
        "USAGE_TABLE": usage_table,
        # A private integration passes the stage's name on:
        # https://docs.aws.amazon.com/apigateway/latest/developerguide/private-integration.html
        "ROUTER_PREFIX": f"/{STAGE}",
        "HOST": "0.0.0.0",  # noqa: S104 - the pod's address, which a network policy guards
        "PORT": str(PORT),
    }
    if balanced:
        environment["ROUTER_BALANCER_URL"] = f"http://127.0.0.1:{_BALANCER_PORT}"
    return {
        "name": "router",
        "image": image,
        "command": ["python", "-m", "serving.router_app"],
        "ports": [{"name": "http", "container_port": PORT}],
        "env": [{"name": name, "value": value} for name, value in environment.items()],
        "resources": {"requests": {"cpu": "250m", "memory": "256Mi"}, "limits": {"memory": "256Mi"}},
        "readiness_probe": {
            "http_get": {"path": "/v2/health/ready", "port": "http"},
            "period_seconds": 5,
            "failure_threshold": 2,
        },
        "liveness_probe": {
            "http_get": {"path": "/v2/health/live", "port": "http"},
            "period_seconds": 10,
            "timeout_seconds": 5,
        },
        # The load balancer stops sending before the router stops taking.
        "lifecycle": {"pre_stop": {"sleep": {"seconds": 30}}},
        "security_context": CONTAINER_SECURITY,
        "volume_mounts": [{"name": "tmp", "mount_path": "/tmp"}],  # noqa: S108 - a volume of the pod's own
    }


def _balancer(image: pulumi.Input[str]) -> ContainerArgsDict:
    """vllm-router for many models: it asks each pod for its model's name, and routes by that.

    https://github.com/vllm-project/router/blob/main/docs/cli_reference.md
    """
    command = ["vllm-router", "--enable-igw", "--host", "127.0.0.1", "--port", str(_BALANCER_PORT)]
    command += ["--service-discovery", "--service-discovery-namespace", NAMESPACE]
    command += ["--service-discovery-port", str(_ENGINE_PORT), "--selector", "inference/engine=vllm"]
    command += ["--policy", "cache_aware", "--health-check-interval-secs", "10", "--disable-retries"]
    return {
        "name": "vllm-router",
        "image": image,
        "command": command,
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "256Mi"}},
        # From inside: it listens for its own pod only.
        "liveness_probe": {
            "exec_": {"command": ["curl", "-fsS", f"http://127.0.0.1:{_BALANCER_PORT}/liveness"]},
            "period_seconds": 10,
            "timeout_seconds": 5,
        },
        "security_context": CONTAINER_SECURITY,
    }
