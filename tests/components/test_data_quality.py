"""SageMaker's own monitor: what it may do, when it runs, who hears of it, what it costs."""

import json
from pathlib import Path

import pulumi
import pytest

from components.data_quality import DataQuality, DataQualityArgs, schedule_expression
from tests.components.platform_args import DATA_KEY, NAMES, TAGS
from tests.components.recorded import Recorded, deployed

ENDPOINT = "inference-platform-dev-fraud-1a2b"


@pytest.fixture(scope="module")
def made() -> Recorded:
    def program() -> None:
        args = DataQualityArgs(
            names=NAMES,
            tags=TAGS,
            model="fraud",
            endpoint_name=ENDPOINT,
            record_reader=pulumi.FileAsset(str(Path("serving/monitor_record.py"))),
            data_bucket=NAMES.bucket("data"),
            data_key_arn=DATA_KEY,
            topic_arn=NAMES.arn("sns", "alerts"),
            every_minutes=240,
        )
        DataQuality("quality-fraud", args)

    return deployed(program)


def test_it_reads_and_writes_below_its_models_folder_only(made: Recorded) -> None:
    policy = made.one("aws:iam/rolePolicy:RolePolicy")
    statements = {each["Sid"]: each for each in json.loads(policy.inputs["policy"])["Statement"]}
    data = NAMES.bucket_arn("data")
    assert statements["Captured"]["Resource"] == [f"{data}/capture/fraud/*"]
    assert statements["Reports"]["Resource"] == [f"{data}/capture/fraud/reports/quality/*"]
    wild = {sid for sid, each in statements.items() if "*" in each["Resource"]}
    assert wild == {"LogIn"}


def test_the_job_reads_what_the_endpoint_captures_and_talks_to_nobody(made: Recorded) -> None:
    job = made.one("aws:sagemaker/dataQualityJobDefinition:DataQualityJobDefinition")
    assert job.inputs["dataQualityJobInput"]["endpointInput"]["endpointName"] == ENDPOINT
    assert job.inputs["networkConfig"]["enableNetworkIsolation"] is True
    cluster = job.inputs["jobResources"]["clusterConfig"]
    assert cluster["volumeKmsKeyId"] == DATA_KEY
    folder = f"s3://{NAMES.bucket('data')}/capture/fraud/reports"
    constraints = job.inputs["dataQualityBaselineConfig"]["constraintsResource"]
    assert constraints == {"s3Uri": f"{folder}/constraints.json"}
    reader = made.one("aws:s3/bucketObjectv2:BucketObjectv2")
    specification = job.inputs["dataQualityAppSpecification"]
    assert (
        specification["recordPreprocessorSourceUri"] == f"s3://{NAMES.bucket('data')}/{reader.inputs['key']}"
    )


def test_it_runs_as_the_models_drift_settings_say(made: Recorded) -> None:
    schedule = made.one("aws:sagemaker/monitoringSchedule:MonitoringSchedule")
    when = schedule.inputs["monitoringScheduleConfig"]["scheduleConfig"]["scheduleExpression"]
    assert (schedule.inputs["name"], when) == (ENDPOINT, "cron(0 0/4 ? * * *)")


@pytest.mark.parametrize(
    ("minutes", "expression"),
    [
        (1, "cron(0 * ? * * *)"),
        (60, "cron(0 * ? * * *)"),
        (61, "cron(0 0/2 ? * * *)"),
        (300, "cron(0 0/6 ? * * *)"),
        (1440, "cron(0 0 ? * * *)"),
    ],
)
def test_minutes_become_hours_that_divide_a_day(minutes: int, expression: str) -> None:
    assert schedule_expression(minutes) == expression


def test_violations_reach_the_topic(made: Recorded) -> None:
    rule = made.one("aws:cloudwatch/eventRule:EventRule")
    target = made.one("aws:cloudwatch/eventTarget:EventTarget")
    detail = json.loads(rule.inputs["eventPattern"])["detail"]
    assert detail["ExitMessage"] == [{"prefix": "CompletedWithViolations"}]
    assert target.inputs["arn"] == NAMES.arn("sns", "alerts")
