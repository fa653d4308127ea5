"""SageMaker inference: one model on an endpoint, hosted in one of three ways."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi
import pulumi_aws as aws

from components import iam
from components.api_document import Json
from components.api_routes import MODEL_OPERATIONS
from components.job_topics import JobTopics, JobTopicsArgs
from components.model_network import s3_group
from components.sagemaker_deployment import (
    RollbackAlarms,
    RollbackAlarmsArgs,
    TrafficShift,
    deployment_config,
    update_request,
)
from components.sagemaker_hosting import (
    VARIANT,
    Async,
    Hosting,
    Serverless,
    async_inference,
    beside,
    data_capture,
    kind,
    production_variant,
)
from components.sagemaker_integration import integrations, refused
from components.sagemaker_model import containers
from components.sagemaker_role import ExecutionRole, ExecutionRoleArgs
from components.sagemaker_scaling import VariantScaling, VariantScalingArgs
from components.tags import Tags
from naming import Names

_LONGEST_NAME = 63


@dataclass(frozen=True, kw_only=True)
class SageMakerBackendArgs:
    """Arguments of `SageMakerBackend`."""

    names: Names
    tags: Tags
    data_key_arn: pulumi.Input[str]
    """Key of the buckets, the topics and the instances' volumes."""
    logs_key_arn: pulumi.Input[str]
    """Key of the log group."""
    log_retention_days: int = 30
    """Days that the endpoint's logs are kept."""
    log_level: str = "INFO"
    """Least severe level that the model server logs."""
    model: str
    """Name of the model."""
    version: str
    """Version to serve at first; deliveries move on from there."""
    image: pulumi.Input[str]
    """Image of the model server, in the account's registry."""
    hosting: Hosting
    """What it runs on, with the settings of that."""
    shift: TrafficShift = field(default_factory=TrafficShift)
    """How deliveries move requests to another version."""
    p99_ms: int = 1000
    """A delivery is undone above this 99th percentile of the model's latency, milliseconds (not async)."""
    availability: float = 99.5
    """Percent of requests to answer without a 5xx; a delivery is undone at ten times the errors."""
    alarm_actions: Sequence[pulumi.Input[str]] = ()
    """Topics that hear of the alarms."""
    queue_arn: pulumi.Input[str]
    """The model's jobs queue, which hears of answers (async)."""
    require_tls: bool = True
    """Whether the topics of jobs deny calls without TLS; only the embedded AWS turns it off."""


class SageMakerBackend(pulumi.ComponentResource):
    """Serves one ONNX model on an endpoint of its own.

    Once the endpoint is there, only deliveries move it. An update of the stack renews `update_request` and
    what that names, and leaves the endpoint with the version, the settings and the number of instances that
    it has. The provider's own update would reset the number, for it cannot ask UpdateEndpoint to retain it
    (https://github.com/hashicorp/terraform-provider-aws/issues/48990), and the version with it. Whoever
    delivers makes that request, or one for a copy of what it names with another version's files, and deletes
    what the endpoint has left; the stack deletes none of it, because an endpoint needs the configuration and
    the model that it runs on.

    What UpdateEndpoint cannot change either (the mode, or the type of instances that scale) is part of the
    endpoint's name: another one is made with all that belongs to it, takes the route over, and the first one
    goes.

    Raises:
        ValueError: the name is longer than SageMaker allows, or `shift` is beyond its limits.
    """

    endpoint_name: pulumi.Output[str]
    endpoint_arn: pulumi.Output[str]
    execution_role_arn: pulumi.Output[str]
    """Role of the containers, for models that deliveries make."""
    update_request: pulumi.Output[Mapping[str, Any]]
    """Arguments of UpdateEndpoint that put the stack's settings live and keep the number of instances."""
    integrations: pulumi.Output[Mapping[str, Json]]
    """Operation (`infer`, `metadata`, `ready`) -> its integration in API Gateway."""
    topics: JobTopics | None
    """Where finished and failed jobs are told of (async)."""

    def __init__(
        self, name: str, args: SageMakerBackendArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("inference-platform:sagemaker_backend:SageMakerBackend", name, None, opts)
        # All but the topics belongs to the endpoint: another endpoint gets another of each.
        self._name, self._args = f"{name}-{kind(args.hosting)}", args
        self._child = pulumi.ResourceOptions(parent=self)
        self._tags = args.tags.component("sagemaker-backend")
        self._endpoint_name = _endpoint_name(args)
        self.topics = None
        if isinstance(args.hosting, Async):
            topics = JobTopicsArgs(
                names=args.names,
                tags=self._tags,
                model=args.model,
                data_key_arn=args.data_key_arn,
                queue_arn=args.queue_arn,
                require_tls=args.require_tls,
            )
            self.topics = JobTopics(f"{name}-topics", topics, opts=self._child)
        log_group = aws.cloudwatch.LogGroup(
            f"{self._name}-logs",
            name=f"/aws/sagemaker/Endpoints/{self._endpoint_name}",
            retention_in_days=args.log_retention_days,
            kms_key_id=args.logs_key_arn,
            tags=self._tags,
            opts=self._child,
        )
        alarms = RollbackAlarms(
            f"{self._name}-alarms",
            RollbackAlarmsArgs(
                tags=self._tags,
                endpoint_name=self._endpoint_name,
                p99_ms=None if isinstance(args.hosting, Async) else args.p99_ms,
                availability=args.availability,
                actions=args.alarm_actions,
            ),
            opts=self._child,
        )
        groups = []
        if not isinstance(args.hosting, Serverless):
            # The containers reach nothing at all, for they are isolated: SageMaker fetches files and writes
            # captured requests in their stead, through the VPC.
            # https://docs.aws.amazon.com/sagemaker/latest/dg/mkt-algo-model-internet-free.html
            group = s3_group(
                self._name,
                args.hosting.network,
                description=f"SageMaker instances of model {args.model}",
                tags=self._tags,
                opts=self._child,
            )
            groups = [group]
        role = ExecutionRole(
            f"{self._name}-execution",
            ExecutionRoleArgs(
                names=args.names,
                tags=self._tags,
                model=args.model,
                image=args.image,
                hosting=args.hosting,
                data_key_arn=args.data_key_arn,
                log_group=f"/aws/sagemaker/Endpoints/{self._endpoint_name}",
                alarm_names=alarms.alarm_names,
                security_group_ids=groups,
                topics=self.topics,
            ),
            opts=self._child,
        )
        configuration = self._configuration(self._model(role, groups))
        deployment = deployment_config(args.hosting, args.shift, alarms.alarm_names)
        endpoint = aws.sagemaker.Endpoint(
            f"{self._name}-endpoint",
            name=self._endpoint_name,
            endpoint_config_name=configuration.name,
            deployment_config=deployment,
            tags=self._tags,
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[role, alarms, log_group],
                ignore_changes=["endpointConfigName", "deploymentConfig"],
            ),
        )
        if not isinstance(args.hosting, Serverless):
            VariantScaling(
                f"{self._name}-scaling",
                VariantScalingArgs(
                    tags=self._tags,
                    endpoint_name=endpoint.name,
                    variant=VARIANT,
                    jobs=isinstance(args.hosting, Async),
                    scale=args.hosting.scale,
                ),
                opts=self._child,
            )
        self.endpoint_name, self.endpoint_arn = endpoint.name, endpoint.arn
        self.execution_role_arn = role.arn
        self.update_request = pulumi.Output.all(endpoint.name, configuration.name).apply(
            lambda known: update_request(known[0], known[1], deployment)
        )
        self.integrations = self._integrations()
        self.register_outputs({"endpoint_name": self.endpoint_name, "endpoint_arn": self.endpoint_arn})

    def _model(self, role: ExecutionRole, groups: Sequence[pulumi.Input[str]]) -> aws.sagemaker.Model:
        args = self._args
        network: aws.sagemaker.ModelVpcConfigArgsDict | None = None
        if not isinstance(args.hosting, Serverless):
            network = {"subnets": args.hosting.network.subnet_ids, "security_group_ids": groups}
        return aws.sagemaker.Model(
            f"{self._name}-model",
            execution_role_arn=role.arn,
            enable_network_isolation=network is not None,
            vpc_config=network,
            tags=self._tags,
            opts=pulumi.ResourceOptions(parent=self, retain_on_delete=True),
            **containers(
                args.hosting,
                args.names,
                model=args.model,
                version=args.version,
                image=args.image,
                log_level=args.log_level,
            ),
        )

    def _configuration(self, model: aws.sagemaker.Model) -> aws.sagemaker.EndpointConfiguration:
        args, hosting = self._args, self._args.hosting
        where = (args.names, args.model, args.data_key_arn)
        return aws.sagemaker.EndpointConfiguration(
            f"{self._name}-config",
            production_variants=[production_variant(hosting, model.name)],
            # NVMe disks, which some types have beside the volume, are encrypted by their own hardware:
            # https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateEndpointConfig.html
            kms_key_arn=None if isinstance(hosting, Serverless) else args.data_key_arn,
            data_capture_config=data_capture(hosting, *where),
            async_inference_config=async_inference(hosting, *where, self.topics)
            if isinstance(hosting, Async) and self.topics is not None
            else None,
            tags=self._tags,
            opts=pulumi.ResourceOptions(parent=self, retain_on_delete=True),
        )

    def _integrations(self) -> pulumi.Output[Mapping[str, Json]]:
        args = self._args
        if isinstance(args.hosting, Async):
            reason = f"model {args.model} takes jobs only: POST /v2/models/{args.model}/jobs"
            return pulumi.Output.from_input(dict.fromkeys(MODEL_OPERATIONS, refused(reason)))
        arn = args.names.arn("sagemaker", f"endpoint/{self._endpoint_name}")
        role = iam.role(
            f"{self._name}-invoke",
            trust_policy=iam.trust("apigateway.amazonaws.com", args.names.account_id),
            statements=[iam.allow("Invoke", ["sagemaker:InvokeEndpoint"], [arn])],
            description=f"API Gateway asks model {args.model}",
            tags=self._tags,
            opts=self._child,
        )

        def known(credentials_arn: str) -> Mapping[str, Json]:
            found = integrations(
                model=args.model,
                endpoint_name=self._endpoint_name,
                region=args.names.region,
                credentials_arn=credentials_arn,
            )
            if not beside(args.hosting):
                return found
            # A pipeline hands the answer of one container to the next, whatever it is.
            refusal = refused(f"model {args.model} is a pipeline and answers inference requests only")
            return {**dict.fromkeys(MODEL_OPERATIONS, refusal), "infer": found["infer"]}

        return role.arn.apply(known)


def _endpoint_name(args: SageMakerBackendArgs) -> str:
    """Raises ValueError for a name that is longer than SageMaker allows."""
    name = f"{args.names.prefix}-{args.model}-{kind(args.hosting)}"
    if len(name) > _LONGEST_NAME:
        raise ValueError(
            f"model {args.model}: the endpoint's name {name} has {len(name)} characters and SageMaker takes "
            f"{_LONGEST_NAME}; shorten the model's name by {len(name) - _LONGEST_NAME}"
        )
    return name
