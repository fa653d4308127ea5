"""AWS Config: the platform's guarantees, checked again on what is really there."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
import pulumi_aws as aws

from components.tags import Tags
from naming import Names


@dataclass(frozen=True)
class Check:
    """A managed rule of AWS Config, with its parameters."""

    identifier: str
    parameters: Mapping[str, str] = field(default_factory=dict)


# https://docs.aws.amazon.com/config/latest/developerguide/managed-rules-by-aws-config.html
CHECKS: Mapping[str, Check] = {
    "bucket-public-read": Check("S3_BUCKET_PUBLIC_READ_PROHIBITED"),
    "bucket-public-write": Check("S3_BUCKET_PUBLIC_WRITE_PROHIBITED"),
    "bucket-tls": Check("S3_BUCKET_SSL_REQUESTS_ONLY"),
    "bucket-encryption": Check("S3_DEFAULT_ENCRYPTION_KMS"),
    "bucket-versions": Check("S3_BUCKET_VERSIONING_ENABLED"),
    "key-rotation": Check("CMK_BACKING_KEY_ROTATION_ENABLED"),
    "key-deletion": Check("KMS_CMK_NOT_SCHEDULED_FOR_DELETION"),
    "no-admin-policies": Check("IAM_POLICY_NO_STATEMENTS_WITH_ADMIN_ACCESS"),
    "root-key": Check("IAM_ROOT_ACCESS_KEY_CHECK"),
    "trail": Check("MULTI_REGION_CLOUD_TRAIL_ENABLED"),
    "trail-validation": Check("CLOUD_TRAIL_LOG_FILE_VALIDATION_ENABLED"),
    "threat-detection": Check("GUARDDUTY_ENABLED_CENTRALIZED"),
    "flow-logs": Check("VPC_FLOW_LOGS_ENABLED"),
    "default-group": Check("VPC_DEFAULT_SECURITY_GROUP_CLOSED"),
    "volume-encryption": Check("EC2_EBS_ENCRYPTION_BY_DEFAULT"),
    "instance-metadata": Check("EC2_IMDSV2_CHECK"),
    "function-public": Check("LAMBDA_FUNCTION_PUBLIC_ACCESS_PROHIBITED"),
    "cluster-secrets": Check("EKS_SECRETS_ENCRYPTED"),
    "cluster-endpoint": Check("EKS_ENDPOINT_NO_PUBLIC_ACCESS"),
    "api-traces": Check("API_GW_XRAY_ENABLED"),
    "image-scans": Check("ECR_PRIVATE_IMAGE_SCANNING_ENABLED"),
    "image-tags": Check("ECR_PRIVATE_TAG_IMMUTABILITY_ENABLED"),
}
"""Name of the rule -> what it checks."""


@dataclass(frozen=True, kw_only=True)
class ConfigRulesArgs:
    """Arguments of `ConfigRules`."""

    names: Names
    tags: Tags
    bucket: pulumi.Input[str]
    """Bucket that takes snapshots and histories, under `config/`."""
    kms_key_arn: pulumi.Input[str]
    required_tags: Sequence[str] = ("platform", "environment", "owner", "cost-center", "component")
    """Tags that a resource must carry; Config takes six at most."""


class ConfigRules(pulumi.ComponentResource):
    """A recorder of all resources, where its records go, and rules; once in an account and region.

    What breaks a rule comes as an event; `EventAlerts` tells of it.
    """

    def __init__(self, name: str, args: ConfigRulesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("inference-platform:config_rules:ConfigRules", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        tags = args.tags.component("audit")
        role = aws.iam.ServiceLinkedRole(
            f"{name}-role",
            aws_service_name="config.amazonaws.com",
            description="Config reads what there is",
            tags=tags,
            opts=child,
        )
        recorder = aws.cfg.Recorder(
            f"{name}-recorder",
            role_arn=role.arn,
            recording_group={"all_supported": True, "include_global_resource_types": True},
            opts=child,
        )
        channel = aws.cfg.DeliveryChannel(
            f"{name}-channel",
            s3_bucket_name=args.bucket,
            s3_key_prefix="config",
            s3_kms_key_arn=args.kms_key_arn,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[recorder]),
        )
        status = aws.cfg.RecorderStatus(
            f"{name}-status",
            name=recorder.name,
            is_enabled=True,
            # A recorder starts only when it knows where to deliver.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[channel]),
        )
        required = {f"tag{place}Key": tag for place, tag in enumerate(args.required_tags, start=1)}
        for role_name, check in {**CHECKS, "tags": Check("REQUIRED_TAGS", required)}.items():
            aws.cfg.Rule(
                f"{name}-{role_name}",
                name=f"{args.names.prefix}-{role_name}",
                source={"owner": "AWS", "source_identifier": check.identifier},
                input_parameters=json.dumps(dict(check.parameters)) if check.parameters else None,
                tags=tags,
                opts=pulumi.ResourceOptions(parent=self, depends_on=[status]),
            )
        self.register_outputs({})
