"""What the architecture diagram shows: a box for each part of the platform, and what belongs to it.

The only place to edit when a component is added: give its type a box in `BOX_OF`, or name it in `PARTS` when
it is a building block that belongs to whatever uses it.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Box:
    """One box, in a column and a row of the picture; rows and columns may stay empty."""

    title: str
    icon: str
    """Of mermaid's own, or `logos:` and a name from the npm package @iconify-json/logos."""
    group: str | None
    column: int
    row: int
    about: str
    """One sentence for readers."""
    named: bool = False
    """Whether the title goes on with the names of its components (`model-digits`: digits)."""


GROUPS: Mapping[str, tuple[str, str]] = {
    "edge": ("cloud", "Edge"),
    "models": ("server", "Models"),
    "data": ("database", "Data"),
    "base": ("logos:aws", "Foundations"),
}
"""Group -> (icon, title)."""

BOXES: Mapping[str, Box] = {
    "client": Box(
        title="Clients", icon="internet", group=None, column=0, row=1, about="Programs of the tenants."
    ),
    "identity": Box(
        title="Tenants",
        icon="logos:aws-cognito",
        group="edge",
        column=1,
        row=0,
        about="Cognito user pool: gives a tenant's machine client its access token.",
    ),
    "domain": Box(
        title="Domain",
        icon="logos:aws-route53",
        group="edge",
        column=1,
        row=1,
        about="The API's own name and its certificate.",
    ),
    "web_acl": Box(
        title="Web ACL",
        icon="logos:aws-waf",
        group="edge",
        column=2,
        row=1,
        about="WAF: managed rules and a limit for each address.",
    ),
    "gateway": Box(
        title="API",
        icon="logos:aws-api-gateway",
        group="edge",
        column=3,
        row=1,
        about="API Gateway: a path for each model, and a usage plan for each tenant.",
    ),
    "authorizer": Box(
        title="Authorizer",
        icon="logos:aws-lambda",
        group="edge",
        column=3,
        row=0,
        about="Checks the token and its scope, and says whose it is.",
    ),
    "functions": Box(
        title="CPU",
        icon="logos:aws-lambda",
        group="models",
        column=4,
        row=1,
        about="Models on Lambda: a function each, behind the alias `live`.",
        named=True,
    ),
    "entry": Box(
        title="Private link",
        icon="logos:aws-elb",
        group="models",
        column=4,
        row=2,
        about="VPC link and load balancer: the only way from the API into the cluster.",
    ),
    "router": Box(
        title="Router",
        icon="logos:aws-eks",
        group="models",
        column=5,
        row=2,
        about="One front for the cluster's models, always on; wakes what sleeps.",
    ),
    "gpu_models": Box(
        title="GPU",
        icon="logos:aws-ec2",
        group="models",
        column=6,
        row=2,
        about="Model servers on GPU nodes that come and go with demand.",
        named=True,
    ),
    "sagemaker": Box(
        title="SageMaker",
        icon="logos:aws",
        group="models",
        column=4,
        row=3,
        about="Models on SageMaker endpoints, called by the API itself.",
        named=True,
    ),
    "jobs": Box(
        title="Jobs",
        icon="logos:aws-sqs",
        group="models",
        column=4,
        row=4,
        about="Queues that hold jobs until a model has time for them.",
    ),
    "models": Box(
        title="Model store",
        icon="logos:aws-s3",
        group="data",
        column=7,
        row=1,
        about="Bucket of model versions with their manifests, and of the functions' packages.",
    ),
    "delivery": Box(
        title="Delivery",
        icon="logos:aws-step-functions",
        group="data",
        column=7,
        row=0,
        about="Takes a new version through its checks and a canary, and rolls it back where it fails.",
    ),
    "capture": Box(
        title="Captured requests",
        icon="logos:aws-kinesis",
        group="data",
        column=7,
        row=3,
        about="A sample of requests and answers, and the job that looks for drift in them.",
    ),
    "data": Box(
        title="Job data",
        icon="logos:aws-s3",
        group="data",
        column=7,
        row=4,
        about="Bucket of job inputs and outputs, and the tables that query them.",
    ),
    "keys": Box(
        title="Keys",
        icon="logos:aws-kms",
        group="base",
        column=1,
        row=5,
        about="Customer managed keys for data, secrets and logs.",
    ),
    "network": Box(
        title="Network",
        icon="logos:aws-vpc",
        group="base",
        column=2,
        row=5,
        about="VPC with its subnets, gateways, endpoints and flow log.",
    ),
    "images": Box(
        title="Images, builds",
        icon="logos:docker-icon",
        group="base",
        column=3,
        row=5,
        about="Repositories of container images with their builds, and a cache of public ones.",
    ),
    "logs": Box(
        title="Access logs",
        icon="logos:aws-s3",
        group="base",
        column=4,
        row=5,
        about="Bucket of the access logs of all others.",
    ),
    "cluster": Box(
        title="Cluster",
        icon="logos:aws-eks",
        group="base",
        column=5,
        row=5,
        about="EKS with Karpenter, which starts GPU nodes, and KEDA, which scales models.",
    ),
    "watch": Box(
        title="Alarms",
        icon="logos:aws-cloudwatch",
        group="base",
        column=6,
        row=5,
        about="Alarms, dashboards, canaries and budgets, and the topic that tells of them.",
    ),
    "account": Box(
        title="Account, audit",
        icon="logos:aws-config",
        group="base",
        column=7,
        row=5,
        about="What exists once in an account and region, the audit trail and threat detection.",
    ),
}

BOX_OF: Mapping[str, str] = {
    "account_baseline:AccountBaseline": "account",
    "alert_topic:AlertTopic": "watch",
    "analytics:Analytics": "data",
    "audit:Audit": "account",
    "build_project:BuildProject": "images",
    "canary:Canary": "watch",
    "capture:CaptureStream": "capture",
    "charts:Charts": "cluster",
    "cluster:Cluster": "cluster",
    "cluster_addons:ClusterAddons": "cluster",
    "cluster_entry:ClusterEntry": "entry",
    "cluster_worker:ClusterWorker": "jobs",
    "config_rules:ConfigRules": "account",
    "cost_guard:CostGuard": "watch",
    "custom_domain:CustomDomain": "domain",
    "data_quality:DataQuality": "capture",
    "delivery:Delivery": "delivery",
    "drift:DriftMonitor": "capture",
    "event_alerts:EventAlerts": "watch",
    "function:Function gateway-authorizer": "authorizer",
    "gateway:Gateway": "gateway",
    "gpu_backend:GpuBackend": "gpu_models",
    "gpu_cluster:GpuCluster": "cluster",
    "identity:Identity": "identity",
    "images:Images": "images",
    "job_topics:JobTopics": "jobs",
    "jobs:Jobs": "jobs",
    "jobs_queue:JobsQueue": "jobs",
    "karpenter:Karpenter": "cluster",
    "keys:Keys": "keys",
    "lambda_backend:LambdaBackend": "functions",
    "model_parking:ModelParking": "watch",
    "network:Network": "network",
    "network_policies:ModelNamespace": "cluster",
    "node_pools:NodePools": "cluster",
    "observability:Observability": "watch",
    "packages:Packages": "models",
    "router:Router": "router",
    "runner:Runner": "images",
    "sagemaker_backend:SageMakerBackend": "sagemaker",
    "storage:SecureBucket storage-data": "data",
    "storage:SecureBucket storage-logs": "logs",
    "storage:SecureBucket storage-models": "models",
    "storage:Storage": "models",
    "threat_detection:ThreatDetection": "account",
    "web_acl:WebAcl": "web_acl",
}
"""Component type, or type and name where the name decides -> its box."""

PARTS = frozenset(
    {
        "audit_bucket:AuditBucket",
        "delivery_access:DeliveryAccess",
        "endpoints:Endpoints",
        "function:Function",
        "idle_parking:IdleParking",
        "image_cache:ImageCache",
        "jobs_table:JobsTable",
        "models:Models",
        "node_group:NodeGroup",
        "node_role:NodeRole",
        "pod_identity:PodIdentity",
        "publisher:Publisher",
        "replica_scaler:ReplicaScaler",
        "sagemaker_deployment:RollbackAlarms",
        "sagemaker_role:ExecutionRole",
        "sagemaker_scaling:VariantScaling",
        "storage:SecureBucket",
    }
)
"""Building blocks: they belong to the box of the component that uses them."""
