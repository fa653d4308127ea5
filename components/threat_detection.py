"""GuardDuty and Inspector: what looks for intruders and for known holes, once in an account and region."""

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components.tags import Tags
from naming import Names

# https://docs.aws.amazon.com/guardduty/latest/ug/guardduty-features-activation-model.html
_FEATURES = {
    "eks": "EKS_AUDIT_LOGS",
    "s3": "S3_DATA_EVENTS",
    "lambda": "LAMBDA_NETWORK_LOGS",
}


@dataclass(frozen=True, kw_only=True)
class ThreatDetectionArgs:
    """Arguments of `ThreatDetection`."""

    names: Names
    tags: Tags
    inspector: bool = False
    """Whether Inspector scans images and functions; its bill follows their number."""


class ThreatDetection(pulumi.ComponentResource):
    """GuardDuty over EKS, S3 and Lambda; Inspector over images and functions.

    Their findings come as events; `EventAlerts` tells of the serious ones.
    """

    def __init__(
        self, name: str, args: ThreatDetectionArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("inference-platform:threat_detection:ThreatDetection", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        detector = aws.guardduty.Detector(
            f"{name}-detector",
            enable=True,
            finding_publishing_frequency="FIFTEEN_MINUTES",
            tags=args.tags.component("audit"),
            opts=child,
        )
        for role, feature in _FEATURES.items():
            aws.guardduty.DetectorFeature(
                f"{name}-{role}", detector_id=detector.id, name=feature, status="ENABLED", opts=child
            )
        if args.inspector:
            aws.inspector2.Enabler(
                f"{name}-inspector",
                account_ids=[args.names.account_id],
                resource_types=["ECR", "LAMBDA"],
                opts=child,
            )
        self.register_outputs({})
