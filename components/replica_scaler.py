"""KEDA's rules for the replicas of one model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

from components.network_policies import NAMESPACE
from naming import Names

ROUTER_METRICS = f"http://router.{NAMESPACE}.svc.cluster.local:8080/metrics"
"""KEDA asks every pod of this service and adds up what they say."""
IN_FLIGHT_METRIC = "router_requests_in_flight"
"""Requests of a model that the router has taken and not answered yet, with the label `model`."""

IDLE_S = 300
"""How long there must be nothing to do before the last replica goes."""
_JOBS_PER_REPLICA = 5


@dataclass(frozen=True, kw_only=True)
class ReplicaScale:
    """How many replicas a model has."""

    min: int
    max: int
    target: int
    """Requests in flight for each replica."""


@dataclass(frozen=True, kw_only=True)
class ReplicaScalerArgs:
    """Arguments of `ReplicaScaler`."""

    names: Names
    labels: Mapping[str, str]
    namespace: pulumi.Input[str]
    model: str
    deployment: pulumi.Input[str]
    """Name of the Deployment whose replicas it sets."""
    queue_url: pulumi.Input[str]
    scale: ReplicaScale
    after: Sequence[pulumi.Resource] = ()
    """KEDA's release."""


class ReplicaScaler(pulumi.ComponentResource):
    """Waiting jobs start the first replica, since only they can wait for it; requests in flight start more.

    A model without either for five minutes goes back to its smallest number. While the router cannot be
    asked, the number of replicas does not fall.
    """

    def __init__(
        self, name: str, args: ReplicaScalerArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("inference-platform:replica_scaler:ReplicaScaler", name, None, opts)
        object_name = _object_name(args.model)
        metadata = {"name": object_name, "namespace": args.namespace, "labels": args.labels}
        # The operator's own role: it may count the messages of this environment's jobs queues.
        authentication = kubernetes.apiextensions.CustomResource(
            f"{name}-authentication",
            api_version="keda.sh/v1alpha1",
            kind="TriggerAuthentication",
            metadata=metadata,
            spec={"podIdentity": {"provider": "aws"}},
            opts=pulumi.ResourceOptions(parent=self, depends_on=args.after),
        )
        kubernetes.apiextensions.CustomResource(
            f"{name}-scaled-object",
            api_version="keda.sh/v1alpha1",
            kind="ScaledObject",
            metadata=metadata,
            spec={
                "scaleTargetRef": {"name": args.deployment},
                "minReplicaCount": args.scale.min,
                "maxReplicaCount": args.scale.max,
                "pollingInterval": 15,
                "cooldownPeriod": IDLE_S,
                "advanced": {
                    "horizontalPodAutoscalerConfig": {
                        "behavior": {
                            # A replica takes minutes to come back, so a short lull does not cost one.
                            "scaleDown": {"stabilizationWindowSeconds": IDLE_S},
                            "scaleUp": {"stabilizationWindowSeconds": 0},
                        }
                    }
                },
                "triggers": [
                    jobs_trigger(args.model, args.queue_url, args.names.region),
                    {
                        # https://keda.sh/docs/latest/scalers/metrics-api/
                        "type": "metrics-api",
                        "name": "requests",
                        "metadata": {
                            "url": ROUTER_METRICS,
                            "format": "prometheus",
                            "valueLocation": f'{IN_FLIGHT_METRIC}{{model="{args.model}"}}',
                            "targetValue": str(args.scale.target),
                            "aggregateFromKubeServiceEndpoints": "true",
                            "aggregationType": "sum",
                        },
                    },
                ],
            },
            opts=pulumi.ResourceOptions(parent=self, depends_on=[authentication]),
        )
        self.register_outputs({})


def jobs_trigger(model: str, queue_url: pulumi.Input[str], region: str) -> Mapping[str, Any]:
    """KEDA's trigger on a model's jobs queue, with the authentication that `ReplicaScaler` makes.

    Jobs that are being worked on count, too: https://keda.sh/docs/latest/scalers/aws-sqs/
    """
    return {
        "type": "aws-sqs-queue",
        "name": "jobs",
        "metadata": {
            "queueURL": queue_url,
            "queueLength": str(_JOBS_PER_REPLICA),
            "awsRegion": region,
        },
        "authenticationRef": {"name": _object_name(model)},
    }


def _object_name(model: str) -> str:
    return f"model-{model}"
