"""Who works on the jobs of a model of the cluster: pods that ask the model's server, from none to many."""

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as kubernetes

from components.cluster import Cluster
from components.jobs import Jobs
from components.model_server import CONTAINER_SECURITY, POD_SECURITY
from components.network_policies import (
    JOBS_LABEL,
    MODEL_LABEL,
    NAMESPACE,
    aws_apis,
    dns,
    network_policy,
    pod_identity_agent,
    to_pods,
)
from components.node_group import SYSTEM_TAINT
from components.pod_identity import PodIdentity, PodIdentityArgs
from components.replica_scaler import IDLE_S, jobs_trigger
from components.router_pod import Route
from components.tags import Tags
from naming import Names

_PORT = 8080
# A part that was begun is ended; one that takes longer comes again to another worker.
_GRACE_S = 300


@dataclass(frozen=True, kw_only=True)
class ClusterWorkerArgs:
    """Arguments of `ClusterWorker`."""

    names: Names
    tags: Tags
    cluster: Cluster
    """Where it runs."""
    jobs: Jobs
    """Whose table, settings and control queue it uses."""
    data_bucket: pulumi.Input[str]
    """Bucket with the parts of jobs."""
    image: pulumi.Input[str]
    """The model server's image for arm64, which holds the worker, too."""
    model: str
    """Name of the model."""
    route: Route
    """Where the model's server is."""
    most: int
    """Most workers: one for each replica of the model keeps all of them busy."""
    log_level: str = "INFO"
    """Least severe level that it logs."""


class ClusterWorker(pulumi.ComponentResource):
    """Takes the messages of one model's queue and asks that model's server, and nothing else is within reach.

    It runs on the system nodes while there are messages, whether or not the model's own pods do yet: it takes
    none until the server is ready. A message that only wakes the model waits for that, too, which keeps the
    first replica wanted until it has started.
    """

    def __init__(
        self, name: str, args: ClusterWorkerArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("inference-platform:cluster_worker:ClusterWorker", name, None, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        self._labels = {
            "app.kubernetes.io/part-of": args.names.platform,
            "app.kubernetes.io/component": "cluster-worker",
            JOBS_LABEL: args.model,
        }
        identity = PodIdentity(
            f"{name}-pods",
            PodIdentityArgs(
                names=args.names,
                tags=args.tags.component("jobs"),
                cluster_name=args.cluster.cluster_name,
                namespace=NAMESPACE,
                service_account=self._object_name,
                description=f"Works on jobs of model {args.model}",
                statements=args.jobs.grants.cluster_worker(args.model),
            ),
            opts=self._child,
        )
        deployment = self._deployment(identity)
        network_policy(
            f"{name}-network-policy",
            policy_name=self._object_name,
            namespace=args.cluster.namespace,
            labels=self._labels,
            pods={JOBS_LABEL: args.model},
            egress=[
                dns(),
                pod_identity_agent(),
                aws_apis(),
                to_pods({MODEL_LABEL: args.model}, args.route.port),
            ],
            opts=self._child,
        )
        kubernetes.apiextensions.CustomResource(
            f"{name}-scaled-object",
            api_version="keda.sh/v1alpha1",
            kind="ScaledObject",
            metadata=self._metadata(),
            spec={
                "scaleTargetRef": {"name": deployment.metadata.name},
                "minReplicaCount": 0,
                "maxReplicaCount": args.most,
                "pollingInterval": 15,
                "cooldownPeriod": IDLE_S,
                "triggers": [jobs_trigger(args.model, args.route.queue_url, args.names.region)],
            },
            opts=pulumi.ResourceOptions(parent=self, depends_on=[args.cluster.charts.keda]),
        )
        self.register_outputs({})

    @property
    def _object_name(self) -> str:
        return f"jobs-{self._args.model}"

    def _metadata(self) -> kubernetes.meta.v1.ObjectMetaArgsDict:
        return {
            "name": self._object_name,
            "namespace": self._args.cluster.namespace,
            "labels": self._labels,
        }

    def _deployment(self, identity: PodIdentity) -> kubernetes.apps.v1.Deployment:
        account = kubernetes.core.v1.ServiceAccount(
            f"{self._name}-service-account",
            metadata=self._metadata(),
            automount_service_account_token=False,
            opts=self._child,
        )
        return kubernetes.apps.v1.Deployment(
            f"{self._name}-deployment",
            metadata=self._metadata(),
            spec={
                "replicas": 0,
                "revision_history_limit": 3,
                "selector": {"match_labels": {JOBS_LABEL: self._args.model}},
                "template": {
                    "metadata": {"labels": self._labels},
                    "spec": {
                        "service_account_name": account.metadata.name,
                        "automount_service_account_token": False,
                        "enable_service_links": False,
                        "security_context": POD_SECURITY,
                        "tolerations": [{"key": SYSTEM_TAINT, "operator": "Exists"}],
                        "termination_grace_period_seconds": _GRACE_S,
                        "containers": [self._container()],
                        "volumes": [{"name": "tmp", "empty_dir": {"size_limit": "1Gi"}}],
                    },
                },
            },
            opts=pulumi.ResourceOptions(
                parent=self,
                # Credentials are handed to pods that start after the association is made.
                depends_on=[identity],
                ignore_changes=["spec.replicas"],
            ),
        )

    def _container(self) -> kubernetes.core.v1.ContainerArgsDict:
        args = self._args
        environment: dict[str, pulumi.Input[str]] = {
            "AWS_REGION": args.names.region,
            "DATA_BUCKET": args.data_bucket,
            "JOBS_CONFIG": args.jobs.config_of(args.model),
            "MODEL_NAME": args.model,
            "MODEL_URL": pulumi.Output.concat("http://", args.route.host, f":{args.route.port}"),
            "ENGINE": args.route.engine,
            "LOG_LEVEL": args.log_level,
            "HOST": "0.0.0.0",  # noqa: S104 - the pod's address, which a network policy guards
            "PORT": str(_PORT),
        }
        health: kubernetes.core.v1.HTTPGetActionArgsDict = {"path": "/health", "port": "http"}
        return {
            "name": "worker",
            "image": args.image,
            "command": ["python", "-m", "serving.jobs_poller"],
            "ports": [{"name": "http", "container_port": _PORT}],
            "env": [{"name": name, "value": value} for name, value in environment.items()],
            "resources": {"requests": {"cpu": "100m", "memory": "512Mi"}, "limits": {"memory": "512Mi"}},
            "readiness_probe": {"http_get": health, "period_seconds": 5, "failure_threshold": 2},
            "liveness_probe": {
                "http_get": health,
                "initial_delay_seconds": 10,
                "period_seconds": 10,
                "timeout_seconds": 5,
                "failure_threshold": 6,
            },
            "security_context": CONTAINER_SECURITY,
            "volume_mounts": [{"name": "tmp", "mount_path": "/tmp"}],  # noqa: S108 - a volume of the pod's own
        }
