"""The watch on drift: one function, asked for each model on the model's own schedule."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from components import iam
from components.function import (
    LIVE,
    Function,
    FunctionArgs,
    FunctionDefaults,
    failure_statement,
    tell_failures,
)
from components.packages import Package
from components.sagemaker_hosting import VARIANT


@dataclass(frozen=True, kw_only=True)
class DriftSchedule:
    """When and how a model's captured requests are compared with its training data."""

    every_minutes: int = 60
    """Minutes between two comparisons."""
    window_hours: int = 24
    """Hours of captured requests that are compared."""
    min_rows: int = 200
    """Rows below which nothing can be said."""
    endpoint: pulumi.Input[str] | None = None
    """SageMaker endpoint that keeps the model's requests; None where its server counts them."""
    threshold: float = 0.2
    """Population stability index beyond which the model has drifted."""


@dataclass(frozen=True, kw_only=True)
class DriftMonitorArgs:
    """Arguments of `DriftMonitor`."""

    defaults: FunctionDefaults
    package: Package
    """Zip of the model server, which counts and compares with the same code."""
    models_bucket: pulumi.Input[str]
    """Bucket of the manifests, whose baselines are compared with."""
    data_bucket: pulumi.Input[str]
    """Bucket of the captured records and of the reports, below `capture/<model>/`."""
    parameters_path: str
    """Where deliveries keep which version is live."""
    models: Mapping[str, DriftSchedule]
    """Schedules by model."""


class DriftMonitor(pulumi.ComponentResource):
    """Writes reports, the metric `drift_psi` by model, and the event `ModelDrift`, for retraining to hear."""

    function: Function

    def __init__(self, name: str, args: DriftMonitorArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("inference-platform:drift:DriftMonitor", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        names = args.defaults.names
        captured = f"{names.bucket_arn('data')}/capture/*"
        self.function = Function(
            name,
            FunctionArgs(
                defaults=args.defaults,
                component="drift",
                role_name="drift",
                description="Compares what models are asked with what they were trained on",
                package=args.package,
                handler="serving.drift_app.handler",
                environment={
                    "MODEL_BUCKET": args.models_bucket,
                    "DATA_BUCKET": args.data_bucket,
                    "MODEL_PARAMETERS": args.parameters_path,
                },
                statements=pulumi.Output.from_input(args.defaults.data_key_arn).apply(
                    lambda key: [
                        iam.allow("Manifests", ["s3:GetObject"], [f"{names.bucket_arn('models')}/models/*"]),
                        iam.allow(
                            "Find",
                            ["s3:ListBucket"],
                            [names.bucket_arn("data")],
                            condition={"StringLike": {"s3:prefix": "capture/*"}},
                        ),
                        iam.allow("Records", ["s3:GetObject"], [captured]),
                        iam.allow(
                            "Reports",
                            ["s3:PutObject"],
                            [f"{names.bucket_arn('data')}/capture/*/reports/*"],
                        ),
                        iam.allow("EncryptReports", ["kms:GenerateDataKey"], [key]),
                        iam.allow(
                            "Live",
                            ["ssm:GetParameter"],
                            [names.arn("ssm", f"parameter{args.parameters_path}/*/live")],
                        ),
                        failure_statement(names),
                    ]
                ),
                memory_mb=512,
                timeout_s=300,
            ),
            opts=child,
        )
        with_alias = pulumi.ResourceOptions(parent=self, depends_on=[self.function])
        tell_failures(f"{name}-failures", self.function.function_name, names, with_alias)
        tags = args.defaults.tags.component("drift")
        for model, schedule in args.models.items():
            unit = "minute" if schedule.every_minutes == 1 else "minutes"
            rule = aws.cloudwatch.EventRule(
                f"{name}-{model}",
                name=names.function(f"drift-{model}"),
                description=f"Compares model {model} with its training data",
                schedule_expression=f"rate({schedule.every_minutes} {unit})",
                tags=tags,
                opts=child,
            )
            event: dict[str, Any] = {
                "model": model,
                "window_hours": schedule.window_hours,
                "min_rows": schedule.min_rows,
                "threshold": schedule.threshold,
            }
            if schedule.endpoint is not None:
                event["captured"] = pulumi.Output.concat(schedule.endpoint, "/", VARIANT)
            aws.cloudwatch.EventTarget(
                f"{name}-{model}-target",
                rule=rule.name,
                target_id="drift",
                arn=self.function.alias_arn,
                input=pulumi.Output.json_dumps(event, sort_keys=True),
                opts=child,
            )
            aws.lambda_.Permission(
                f"{name}-{model}-permission",
                action="lambda:InvokeFunction",
                function=self.function.function_name,
                qualifier=LIVE,
                principal="events.amazonaws.com",
                source_arn=rule.arn,
                opts=with_alias,
            )
        self.register_outputs({"function_name": self.function.function_name})
