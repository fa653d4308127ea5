"""The models of the catalogue, each on the backend that its entry names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pulumi

from components.api_document import Json
from components.capture import CaptureStream
from components.cluster import Cluster
from components.function import Function, FunctionDefaults
from components.gpu_backend import VLLM_IMAGE, GpuBackend, GpuBackendArgs
from components.image_cache import cached_image
from components.images import Images
from components.job_topics import senders
from components.jobs_queue import JobsQueue, JobsQueueArgs, queue_prefix
from components.jobs_settings import JobModel
from components.lambda_backend import LambdaBackend, LambdaBackendArgs
from components.model_network import ModelNetwork
from components.model_server import Replica
from components.network import Network
from components.packages import Package
from components.replica_scaler import ReplicaScale
from components.router_pod import Route
from components.sagemaker_backend import SageMakerBackend, SageMakerBackendArgs
from components.sagemaker_hosting import Async, Hosting, RealTime, Serverless
from components.sagemaker_scaling import InstanceScale
from naming import Names


@dataclass(frozen=True, kw_only=True)
class ModelsArgs:
    """Arguments of `Models`."""

    catalogue: Mapping[str, Mapping[str, Any]]
    """Model name -> `backend` and the settings of that backend, as `environments.compute` gives them."""
    functions: FunctionDefaults
    """Shared by the functions: names, tags, keys and logs, which the other backends use as well."""
    package: Package
    """The model server's function package."""
    images: Images
    """Images of the model server, for every machine that a model runs on."""
    models_bucket: pulumi.Input[str]
    network: Network
    captures: Mapping[str, CaptureStream] = field(default_factory=dict)
    """Streams for the statistics of the requests, by model on Lambda or EKS."""
    cluster: Cluster | None = None
    """Where models on EKS run; None where there are none."""
    alarm_actions: Sequence[pulumi.Input[str]] = ()
    """Topics that hear of the alarms."""
    part_timeout_s: int = 300
    """How long a worker has for a part of a job."""
    require_tls: bool = True
    """Whether queues and topics deny calls without TLS; only the embedded AWS turns it off."""


class Models(pulumi.ComponentResource):
    """One backend and one jobs queue for each model.

    What a client or another part of the platform sees of a model is the same on every backend: its
    integrations and its queue. So moving a model replaces its backend and nothing beside it.

    Raises:
        ValueError: a model is on EKS and there is no cluster, or an image is not built.
    """

    integrations: Mapping[str, pulumi.Output[Mapping[str, Json]]]
    """Model name -> operation (`infer`, `metadata`, `ready`) -> its integration in API Gateway."""
    jobs: Mapping[str, JobsQueue]
    """Model name -> its jobs queue, whatever the backend."""
    job_models: Mapping[str, JobModel]
    """Model name -> how its jobs are worked on."""
    functions: Mapping[str, Function]
    """Model name -> its function, of models on Lambda."""
    routes: Mapping[str, Route]
    """Model name -> where the cluster's router finds it, of models on EKS."""
    endpoints: Mapping[str, SageMakerBackend]
    """Model name -> its endpoint, of models on SageMaker."""

    def __init__(self, name: str, args: ModelsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("inference-platform:models:Models", name, None, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        self._names: Names = args.functions.names
        integrations: dict[str, pulumi.Output[Mapping[str, Json]]] = {}
        functions: dict[str, Function] = {}
        routes: dict[str, Route] = {}
        endpoints: dict[str, SageMakerBackend] = {}
        self.jobs = {model: self._queue(model, entry) for model, entry in args.catalogue.items()}
        for model, entry in args.catalogue.items():
            settings = {key: value for key, value in entry.items() if key != "backend"}
            match entry["backend"]:
                case "lambda":
                    on_lambda = self._on_lambda(model, settings)
                    integrations[model], functions[model] = on_lambda.integrations, on_lambda.function
                case "eks":
                    if args.cluster is None:
                        raise ValueError(f"model {model}: backend eks needs a cluster, and there is none")
                    routes[model] = self._on_cluster(args.cluster, model, settings)
                    integrations[model] = args.cluster.integrations(model)
                case "sagemaker":
                    endpoints[model] = self._on_sagemaker(model, settings)
                    integrations[model] = endpoints[model].integrations
        self.integrations, self.functions = integrations, functions
        self.routes, self.endpoints = routes, endpoints
        self.job_models = {model: self._job_model(model) for model in args.catalogue}
        self.register_outputs({})

    def _job_model(self, model: str) -> JobModel:
        queue = self.jobs[model]
        if model in self.functions:
            return JobModel(queue=queue, by="function", target=self.functions[model].alias_arn)
        if model in self.endpoints:
            by: Literal["endpoint", "async-endpoint"] = (
                "endpoint" if self.endpoints[model].topics is None else "async-endpoint"
            )
            return JobModel(queue=queue, by=by, target=self.endpoints[model].endpoint_name)
        return JobModel(queue=queue, by="cluster")

    def _queue(self, model: str, entry: Mapping[str, Any]) -> JobsQueue:
        defaults = self._args.functions
        arn = self._names.arn("sqs", queue_prefix(self._names) + model)
        return JobsQueue(
            f"{self._name}-{model}-jobs",
            JobsQueueArgs(
                names=self._names,
                tags=defaults.tags.component("jobs"),
                model=model,
                data_key_arn=defaults.data_key_arn,
                visibility_timeout_s=self._args.part_timeout_s,
                require_tls=self._args.require_tls,
                senders=senders(self._names, model, arn) if entry.get("mode") == "async" else (),
            ),
            opts=self._child,
        )

    def _on_lambda(self, model: str, settings: Mapping[str, Any]) -> LambdaBackend:
        given = dict(settings)
        inside = given.pop("vpc")
        args = LambdaBackendArgs(
            defaults=self._args.functions,
            model=model,
            package=self._args.package,
            models_bucket=self._args.models_bucket,
            capture=self._args.captures.get(model),
            network=self._inside(self._args.network.private_subnet_ids) if inside else None,
            **given,
        )
        return LambdaBackend(f"{self._name}-{model}", args, opts=self._child)

    def _on_cluster(self, cluster: Cluster, model: str, settings: Mapping[str, Any]) -> Route:
        defaults = self._args.functions
        given = dict(settings)
        openai = given.pop("openai")
        backend = GpuBackend(
            f"{self._name}-{model}",
            GpuBackendArgs(
                names=self._names,
                tags=defaults.tags,
                cluster_name=cluster.cluster_name,
                namespace=cluster.namespace,
                model=model,
                replica=Replica(**given.pop("replica")),
                scale=ReplicaScale(**given.pop("scale")),
                image=cached_image(self._names, VLLM_IMAGE)
                if given["engine"] == "vllm"
                else self._server_image(model),
                models_bucket=self._args.models_bucket,
                data_key_arn=defaults.data_key_arn,
                queue_url=self.jobs[model].url,
                capture=self._args.captures.get(model),
                after=[cluster.charts.keda],
                **given,
            ),
            opts=cluster.inside(self._child),
        )
        return Route(
            engine=given["engine"],
            host=backend.host,
            port=backend.port,
            queue_url=self.jobs[model].url,
            openai=openai,
        )

    def _on_sagemaker(self, model: str, settings: Mapping[str, Any]) -> SageMakerBackend:
        defaults = self._args.functions
        about = ("version", "p99_ms", "availability")
        return SageMakerBackend(
            f"{self._name}-{model}",
            SageMakerBackendArgs(
                names=self._names,
                tags=defaults.tags,
                data_key_arn=defaults.data_key_arn,
                logs_key_arn=defaults.logs_key_arn,
                log_retention_days=defaults.log_retention_days,
                log_level=defaults.log_level,
                model=model,
                image=self._server_image(model),
                hosting=self._hosting({k: v for k, v in settings.items() if k not in about}),
                alarm_actions=self._args.alarm_actions,
                queue_arn=self.jobs[model].arn,
                require_tls=self._args.require_tls,
                **{key: settings[key] for key in about},
            ),
            opts=self._child,
        )

    def _hosting(self, settings: Mapping[str, Any]) -> Hosting:
        given = dict(settings)
        mode = given.pop("mode")
        if mode == "serverless":
            return Serverless(**given)
        hosting = RealTime if mode == "real-time" else Async
        return hosting(
            scale=InstanceScale(**given.pop("scale")),
            network=self._inside(self._args.network.intra_subnet_ids),
            **given,
        )

    def _inside(self, subnet_ids: Sequence[pulumi.Input[str]]) -> ModelNetwork:
        network = self._args.network
        return ModelNetwork(
            vpc_id=network.vpc_id, subnet_ids=subnet_ids, s3_prefix_list_id=network.s3_prefix_list_id
        )

    def _server_image(self, model: str) -> pulumi.Output[str]:
        """The model server for the machines that models run on: GPU instances are x86_64 all."""
        try:
            return self._args.images.model_server_images["x86_64"]
        except KeyError:
            raise ValueError(f"model {model}: the model server's image is not built for x86_64") from None
