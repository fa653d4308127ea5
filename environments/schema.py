"""What an environment may set: every key, its type, unit, default and range.

A key that is not here is refused. Defaults are the safe choice for an account that people work in; an
environment file states only what differs. `environments.loader` reads the files.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from environments import jobs as batch
from environments import offers, operations, reach
from environments.cluster import REGISTRIES, Cluster
from environments.compute import Catalogue, EksModel, SageMakerModel, gpu_capacity
from environments.delivery import Delivery
from environments.load import Load
from environments.network import Network

Scope = Literal["infer", "jobs", "deploy", "admin"]
"""OAuth scopes of the platform's resource server."""

# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html
RetentionDays = Literal[1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731]

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,30}[a-z0-9]$")]
# Short, because bucket names (63 characters at most) carry it beside the platform's name and the account.
StackName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,14}[a-z0-9]$")]


class Section(BaseModel):
    """Base of all settings: unknown keys are errors, values never change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Tenant(Section):
    """A customer of the API: one machine client, one API key, one usage plan."""

    name: Name = Field(description="Tenant name; names its client, key and usage plan.")
    scopes: tuple[Scope, ...] = Field(("infer",), min_length=1, description="Scopes its tokens may carry.")
    rate_per_s: float = Field(10, gt=0, le=10_000, description="Steady requests per second.")
    burst: int = Field(20, ge=1, le=5_000, description="Requests admitted at once above the steady rate.")
    quota_per_day: int = Field(100_000, ge=1, description="Requests per day.")
    jobs: batch.TenantJobs = batch.TenantJobs()


class Keys(Section):
    """Customer managed KMS keys."""

    deletion_window_days: int = Field(
        30, ge=7, le=30, description="Days in which a deleted key can be saved."
    )


class Storage(Section):
    """S3 buckets."""

    force_destroy: bool = Field(False, description="Whether destroy may delete buckets that hold objects.")
    require_tls: bool = Field(
        True,
        description="Deny requests without TLS. Only the embedded AWS, plain HTTP on loopback, turns it off.",
    )
    noncurrent_days: int = Field(30, ge=1, le=365, description="Days an overwritten object version is kept.")
    results_days: int = Field(90, ge=1, le=3650, description="Days that job outputs are kept.")
    access_logs_days: int = Field(365, ge=1, le=3650, description="Days that access logs are kept.")


class Images(Section):
    """Container images: own repositories and a cache of public ones."""

    keep_images: int = Field(30, ge=1, le=1000, description="Newest tagged images that a repository keeps.")
    registries: dict[str, str | None] = Field(
        {"public.ecr.aws": None, "registry.k8s.io": None, "quay.io": None},
        description="Registries to cache: host -> ARN of the secret to log in with, or null.",
    )
    cached_images: dict[Literal["x86_64", "arm64"], tuple[str, ...]] = Field(
        {}, description="Images that the cache holds before nodes ask for them, by architecture."
    )
    force_delete: bool = Field(False, description="Whether a repository that holds images can be deleted.")
    registry_scanning: Literal["BASIC", "ENHANCED"] | None = Field(
        None, description="Scanning of all images of the account and region; null leaves the setting alone."
    )


class Identity(Section):
    """Cognito user pool."""

    domain_prefix: Name = Field(description="Prefix of the pool's OAuth domain; unique within the region.")
    password_min_length: int = Field(14, ge=8, le=99, description="Characters in a person's password.")
    mfa: Literal["ON", "OPTIONAL", "OFF"] = Field("ON", description="Second factor for people.")
    tier: Literal["LITE", "ESSENTIALS", "PLUS"] = Field("ESSENTIALS", description="Cognito feature plan.")
    threat_protection: Literal["OFF", "AUDIT", "ENFORCED"] = Field(
        "OFF", description="Cognito threat protection; AUDIT and ENFORCED need the PLUS tier."
    )
    deletion_protection: bool = Field(True, description="Whether the pool refuses deletion.")
    access_token_minutes: int = Field(60, ge=5, le=1440, description="Minutes an access token is valid.")

    @model_validator(mode="after")
    def _threat_protection_needs_plus(self) -> Self:
        if self.threat_protection != "OFF" and self.tier != "PLUS":
            raise ValueError(f"threat_protection {self.threat_protection} needs tier PLUS, not {self.tier}")
        return self


class Domain(Section):
    """The API's own name."""

    name: str = Field(pattern=r"^([a-z0-9-]+\.)+[a-z]{2,}$", description="Full name, e.g. api.example.com.")
    zone_id: str = Field(pattern=r"^Z[A-Z0-9]+$", description="Route 53 public hosted zone that holds it.")


class WebAcl(Section):
    """AWS WAF in front of the API: $5 a month and $1 for each of its five rules."""

    requests_per_ip: int = Field(
        60_000, ge=100, le=2_000_000, description="Requests from one address in 5 minutes before it gets 429."
    )


class Gateway(Section):
    """API Gateway REST API."""

    api_key_source: Literal["authorizer", "header"] = Field(
        "authorizer",
        description="Where the tenant's API key comes from: the authorizer (one token is all a client sends) "
        "or the client's x-api-key header.",
    )
    rate_per_s: float = Field(100, gt=0, le=10_000, description="Stage-wide requests per second.")
    burst: int = Field(200, ge=1, le=5_000, description="Stage-wide burst.")
    authorizer_cache_s: int = Field(
        300, ge=0, le=3600, description="Seconds an authorizer's answer is reused."
    )
    execution_logs: Literal["OFF", "ERROR", "INFO"] = Field(
        "ERROR", description="Gateway execution log level."
    )


class Logs(Section):
    """CloudWatch log groups."""

    retention_days: RetentionDays = Field(30, description="Days that logs are kept.")


class Functions(Section):
    """Defaults of all Lambda functions."""

    package: Literal["aws-arm64", "aws-x86_64", "local"] = Field(
        "aws-arm64", description="Which build of the function packages to deploy; `local` is code only."
    )
    runtime: Literal["python3.12", "python3.13"] = Field("python3.13", description="Lambda runtime.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Log level of the code."
    )
    tracing: bool = Field(True, description="X-Ray tracing of the functions and the gateway's stage.")
    authorizer_concurrency: int = Field(
        50, ge=1, le=1000, description="Reserved concurrency of the authorizer."
    )

    @property
    def architecture(self) -> str:
        """Lambda architecture that the package was built for."""
        return "x86_64" if self.package == "aws-x86_64" else "arm64"

    def defaults(self) -> dict[str, Any]:
        """The settings that every function shares."""
        return {
            **self.model_dump(include={"runtime", "log_level", "tracing"}),
            "architecture": self.architecture,
        }


class Environment(Section):
    """One environment of the platform: a Pulumi stack of the same name."""

    name: StackName = Field(description="The stack's name; taken from the stack, not from the file.")
    account_id: str = Field(pattern=r"^\d{12}$", description="The only AWS account this stack may touch.")
    region: str = Field("us-east-1", pattern=r"^[a-z]{2}(-[a-z]+)+-\d$", description="AWS region.")
    owner: str = Field(min_length=2, description="Team that answers for it (tag `owner`).")
    cost_center: str = Field(min_length=2, description="Who pays (tag `cost-center`).")
    embedded_aws: bool = Field(
        False, description="Runs in the AWS embedded on this machine, not in an account."
    )
    protect: bool = Field(True, description="Stateful resources refuse deletion until unprotected.")
    account_baseline: Literal["create", "existing"] = Field(
        "create", description="Whether this stack makes what exists once in an account and region."
    )
    policy_profile: Literal["local", "dev", "stage", "prod"] = Field(
        "prod", description="Policy levels and thresholds that judge it (policies/config)."
    )
    keys: Keys = Keys()
    storage: Storage = Storage()
    identity: Identity
    network: Network = Network()
    images: Images = Images()
    gateway: Gateway = Gateway()
    domain: Domain | None = Field(None, description="Own domain of the API; null means the gateway's URL.")
    web_acl: WebAcl | None = Field(WebAcl(), description="Web ACL of the API; null means none.")
    logs: Logs = Logs()
    functions: Functions = Functions()
    cluster: Cluster = Cluster()
    alerts: operations.Alerts = operations.Alerts()
    watch: operations.Watch = operations.Watch()
    audit: operations.Audit | None = Field(operations.Audit(), description="Records; null means none here.")
    costs: operations.Costs | None = Field(operations.Costs(), description="Budget; null means none.")
    delivery: operations.Delivery | None = Field(None, description="Deploy from GitHub; null means no.")
    jobs: batch.Jobs = batch.Jobs()
    analytics: batch.Analytics = batch.Analytics()
    model_delivery: Delivery = Delivery()
    tenants: tuple[Tenant, ...] = Field(min_length=1, description="Customers of the API.")
    models: Catalogue = Field(description="Overrides of environments/models.yaml, by model name.")
    load: Load = Load()

    @property
    def has_cluster(self) -> bool:
        """Whether there is an EKS cluster: a model runs on it, or the environment asks for it."""
        return self.cluster.always or any(isinstance(model, EksModel) for model in self.models.values())

    @property
    def image_architectures(self) -> list[Literal["x86_64", "arm64"]]:
        """Machines that the model server's image is built for: GPU and SageMaker instances are x86_64, the
        cluster's system nodes, which run its router, arm64."""
        on_instances = any(isinstance(model, EksModel | SageMakerModel) for model in self.models.values())
        needed: dict[Literal["x86_64", "arm64"], bool] = {"x86_64": on_instances, "arm64": self.has_cluster}
        return [architecture for architecture, wanted in needed.items() if wanted]

    def cluster_settings(self) -> dict[str, Any]:
        """What the cluster is told: the section, and the GPU nodes that the catalogue can use."""
        capacity = gpu_capacity(self.models)
        return {
            **self.cluster.model_dump(exclude={"always", "router_replicas"}),
            "instance_types": capacity.instance_types,
            "gpus": capacity.gpus,
        }

    @model_validator(mode="after")
    def _cross_field_rules(self) -> Self:
        names = [tenant.name for tenant in self.tenants]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(
                f"tenants: {', '.join(twice)} stands there more than once; a tenant's name is unique"
            )
        if "canary" in names:
            raise ValueError("tenants: canary is the platform's own; choose another name")
        if self.images.registry_scanning and self.account_baseline == "existing":
            raise ValueError(
                "images.registry_scanning: one setting of the account and region; only the stack with "
                "account_baseline: create may make it"
            )
        if self.has_cluster and (missing := sorted(REGISTRIES - self.images.registries.keys())):
            raise ValueError(
                f"images.registries: the cluster's charts and engines come from {', '.join(missing)}, too; "
                "add it, with the ARN of the secret to log in with where the registry wants one"
            )
        if self.web_acl:
            # A tenant may sit behind one address: its plan's requests in the rule's 5 minutes must pass.
            needed = max(300 * tenant.rate_per_s + tenant.burst for tenant in self.tenants)
            if self.web_acl.requests_per_ip < needed:
                raise ValueError(
                    f"web_acl.requests_per_ip: {self.web_acl.requests_per_ip} is less than what a tenant's "
                    f"usage plan allows in 5 minutes; give at least {needed:.0f}"
                )
        if self.delivery:
            self.delivery.check(self.models)
        self.load.check(self.models)
        if self.network.nat == "none" and not self.embedded_aws:
            reach.check(self.models, self.network.interface_endpoints, cluster=self.has_cluster)
            if self.delivery and self.delivery.connection_arn:
                raise ValueError(
                    "delivery.connection_arn: without NAT the runner has no way to GitHub; choose "
                    "network.nat single or one_per_az, or leave it out and deploy from elsewhere in the VPC"
                )
        offers.check(self.region, self.models, self.cluster if self.has_cluster else None)
        if self.has_cluster and not self.embedded_aws:
            self.cluster.check_access()
        if self.gateway.api_key_source == "header" and not self.embedded_aws:
            raise ValueError(
                "gateway.api_key_source: header lets a client send another tenant's key to the usage plan; "
                "only the embedded AWS needs it. Use authorizer."
            )
        if self.costs and self.costs.parking and self.policy_profile == "prod":
            raise ValueError(
                "costs.parking: production is never parked; remove it, or judge the environment by the "
                "policy_profile of one that may be"
            )
        if not self.storage.require_tls and not self.embedded_aws:
            raise ValueError("storage.require_tls: false is for the embedded AWS only; remove it")
        if (self.functions.package == "local") != self.embedded_aws:
            raise ValueError(
                f"functions.package: {self.functions.package} does not run with embedded_aws: "
                f"{str(self.embedded_aws).lower()}; use "
                + ("local" if self.embedded_aws else "aws-arm64 or aws-x86_64")
            )
        return self
