"""Reusable component resources of the platform; `__main__.py` composes them."""

from components.account_baseline import AccountBaseline, AccountBaselineArgs
from components.alarms import judging
from components.alert_topic import AlertTopic, AlertTopicArgs, Subscription
from components.analytics import Analytics, AnalyticsArgs
from components.api_routes import STAGE
from components.audit import Audit, AuditArgs
from components.build_project import BuildDefaults, BuildNetwork
from components.canary import TENANT as CANARY
from components.canary import Canary, CanaryArgs
from components.capture import CaptureStream, CaptureStreamArgs
from components.cluster import Cluster, ClusterArgs
from components.cluster_worker import ClusterWorker, ClusterWorkerArgs
from components.config_rules import ConfigRules, ConfigRulesArgs
from components.cost_guard import CostGuard, CostGuardArgs
from components.custom_domain import CustomDomain, CustomDomainArgs
from components.data_quality import DataQuality, DataQualityArgs
from components.delivery import Delivery, DeliveryArgs
from components.delivery_access import DeliveryAccess, DeliveryAccessArgs, governed
from components.delivery_models import DeliveredModel
from components.drift import DriftMonitor, DriftMonitorArgs, DriftSchedule
from components.event_alerts import EventAlerts, EventAlertsArgs
from components.function import FunctionDefaults
from components.gateway import Gateway, GatewayArgs, UsageLimits
from components.identity import Identity, IdentityArgs
from components.images import Images, ImagesArgs
from components.jobs import Jobs, JobsArgs
from components.jobs_queue import JobsQueue, JobsQueueArgs
from components.jobs_settings import JobLimits, JobModel, PartSize
from components.keys import Keys, KeysArgs
from components.model_parking import ModelParking, ModelParkingArgs
from components.models import Models, ModelsArgs
from components.network import NatStrategy, Network, NetworkArgs
from components.observability import Observability, ObservabilityArgs
from components.packages import Packages, PackagesArgs
from components.parking import WorkingHours, node_group, parked
from components.publisher import Publisher, PublisherArgs
from components.router import Router, RouterArgs
from components.runner import Runner, RunnerArgs
from components.storage import Storage, StorageArgs
from components.tags import Tags
from components.threat_detection import ThreatDetection, ThreatDetectionArgs
from components.watch import ModelWatch, Site
from components.web_acl import WebAcl, WebAclArgs
from naming import Names

__all__ = [
    "CANARY",
    "STAGE",
    "AccountBaseline",
    "AccountBaselineArgs",
    "AlertTopic",
    "AlertTopicArgs",
    "Analytics",
    "AnalyticsArgs",
    "Audit",
    "AuditArgs",
    "BuildDefaults",
    "BuildNetwork",
    "Canary",
    "CanaryArgs",
    "CaptureStream",
    "CaptureStreamArgs",
    "Cluster",
    "ClusterArgs",
    "ClusterWorker",
    "ClusterWorkerArgs",
    "ConfigRules",
    "ConfigRulesArgs",
    "CostGuard",
    "CostGuardArgs",
    "CustomDomain",
    "CustomDomainArgs",
    "DataQuality",
    "DataQualityArgs",
    "DeliveredModel",
    "Delivery",
    "DeliveryAccess",
    "DeliveryAccessArgs",
    "DeliveryArgs",
    "DriftMonitor",
    "DriftMonitorArgs",
    "DriftSchedule",
    "EventAlerts",
    "EventAlertsArgs",
    "FunctionDefaults",
    "Gateway",
    "GatewayArgs",
    "Identity",
    "IdentityArgs",
    "Images",
    "ImagesArgs",
    "JobLimits",
    "JobModel",
    "Jobs",
    "JobsArgs",
    "JobsQueue",
    "JobsQueueArgs",
    "Keys",
    "KeysArgs",
    "ModelParking",
    "ModelParkingArgs",
    "ModelWatch",
    "Models",
    "ModelsArgs",
    "Names",
    "NatStrategy",
    "Network",
    "NetworkArgs",
    "Observability",
    "ObservabilityArgs",
    "Packages",
    "PackagesArgs",
    "PartSize",
    "Publisher",
    "PublisherArgs",
    "Router",
    "RouterArgs",
    "Runner",
    "RunnerArgs",
    "Site",
    "Storage",
    "StorageArgs",
    "Subscription",
    "Tags",
    "ThreatDetection",
    "ThreatDetectionArgs",
    "UsageLimits",
    "WebAcl",
    "WebAclArgs",
    "WorkingHours",
    "governed",
    "judging",
    "node_group",
    "parked",
]
