"""What is recorded of the account, who is told of what, and who cannot undo it."""

import json
from fnmatch import fnmatchcase
from typing import Any

import pytest

from components.audit_events import AUDIT_EVENTS
from local_aws.completions.filter_patterns import matches
from tests.components.conftest import Deployed
from tests.components.recorded import Recorded

AUDITED = ["dev", "stage", "prod", "everything"]
TRAIL, BUCKET_POLICY = "aws:cloudtrail/trail:Trail", "aws:s3/bucketPolicy:BucketPolicy"
ROLE = {"type": "AssumedRole", "sessionContext": {"sessionIssuer": {"userName": "deploy"}}}


@pytest.fixture(params=AUDITED)
def made(request: pytest.FixtureRequest, deployment_of: Deployed) -> Recorded:
    return deployment_of(request.param)


def call(service: str, name: str, **more: Any) -> dict[str, Any]:
    """A record of CloudTrail."""
    known = {"eventType": "AwsApiCall", "eventSource": f"{service}.amazonaws.com", "eventName": name}
    return {**known, "userIdentity": ROLE, **more}


@pytest.mark.parametrize(
    ("event", "rings"),
    [
        (call("signin", "ConsoleLogin", userIdentity={"type": "Root"}), ["root-use"]),
        (call("s3", "GetObject", userIdentity={"type": "Root", "invokedBy": "aws"}), []),
        (call("kms", "RotateKey", userIdentity={"type": "Root"}, eventType="AwsServiceEvent"), []),
        (call("iam", "CreateAccessKey"), ["iam-change"]),
        (call("iam", "PutRolePolicy"), ["iam-change"]),
        (call("iam", "GetRole"), []),
        (call("ec2", "RunInstances", errorCode="Client.UnauthorizedOperation"), ["unauthorised-calls"]),
        (call("s3", "GetObject", errorCode="AccessDenied"), ["unauthorised-calls"]),
        (call("kms", "Decrypt", errorCode="AccessDeniedException"), ["unauthorised-calls"]),
        (call("s3", "GetObject", errorCode="NoSuchKey"), []),
        (call("cloudtrail", "StopLogging"), ["trail-stopped"]),
        (call("cloudtrail", "DeleteTrail"), ["trail-stopped"]),
        (call("cloudtrail", "StartLogging"), []),
        (call("kms", "ScheduleKeyDeletion"), ["key-deletion"]),
        (call("kms", "DisableKey"), ["key-deletion"]),
        (call("kms", "CancelKeyDeletion"), []),
    ],
    ids=lambda each: f"{each['eventName']} {each.get('errorCode', '')}" if isinstance(each, dict) else None,
)
def test_filters_count_what_somebody_must_hear_of(event: dict[str, Any], rings: list[str]) -> None:
    assert [role for role, known in AUDIT_EVENTS.items() if matches(known.pattern, event)] == rings


def test_each_filter_on_the_trails_log_has_an_alarm_that_tells(made: Recorded) -> None:
    [trail] = made.all(TRAIL)
    alarms = {
        (each.inputs["namespace"], each.inputs["metricName"]): each.inputs.get("alarmActions")
        for each in made.all("aws:cloudwatch/metricAlarm:MetricAlarm")
        if each.inputs.get("metricName")
    }
    filters = made.all("aws:cloudwatch/logMetricFilter:LogMetricFilter")
    assert {each.inputs["name"] for each in filters} == AUDIT_EVENTS.keys()
    for each in filters:
        counted = each.inputs["metricTransformation"]
        [topic] = alarms[counted["namespace"], counted["name"]] or [""]
        assert topic.endswith("-alerts")
        assert trail.inputs["cloudWatchLogsGroupArn"].endswith(f"{each.inputs['logGroupName']}:*")


def test_the_trail_is_of_all_regions_validated_and_encrypted_and_records_the_models(made: Recorded) -> None:
    [trail] = made.all(TRAIL)
    for setting in ("isMultiRegionTrail", "includeGlobalServiceEvents", "enableLogFileValidation"):
        assert trail.inputs[setting] is True, setting
    assert trail.inputs["enableLogging"] is True
    assert ":key/" in trail.inputs["kmsKeyId"]
    [selector] = trail.inputs["eventSelectors"]
    assert (selector["includeManagementEvents"], selector["readWriteType"]) == (True, "All")
    [data] = selector["dataResources"]
    [models] = [each.inputs["bucket"] for each in made.all("aws:s3/bucket:Bucket") if "models" in each.name]
    assert data == {"type": "AWS::S3::Object", "values": [f"arn:aws:s3:::{models}/"]}


@pytest.mark.parametrize(
    "action",
    [
        "s3:DeleteObject",
        "s3:DeleteObjectVersion",
        "s3:DeleteBucket",
        "s3:DeleteBucketPolicy",
        "s3:PutBucketPolicy",
        "s3:PutBucketVersioning",
        "s3:PutLifecycleConfiguration",
        "s3:BypassGovernanceRetention",
    ],
)
def test_no_role_of_the_platform_can_delete_records(action: str, made: Recorded) -> None:
    """The bucket's policy denies whoever carries the platform's tag, and every role of the stack does."""
    [trail] = made.all(TRAIL)
    [policy] = [
        json.loads(each.inputs["policy"])
        for each in made.all(BUCKET_POLICY)
        if each.inputs["bucket"] == trail.inputs["s3BucketName"]
    ]
    record = f"arn:aws:s3:::{trail.inputs['s3BucketName']}/cloudtrail/AWSLogs/1/record.json.gz"
    denied = [
        statement["Condition"]["StringEquals"]["aws:PrincipalTag/platform"]
        for statement in policy["Statement"]
        if statement["Effect"] == "Deny"
        and statement["Principal"] == "*"
        and action in statement["Action"]
        and any(fnmatchcase(record, arn) for arn in statement["Resource"])
        and statement["Condition"].keys() == {"StringEquals"}
    ]
    [tag] = denied
    roles = made.all("aws:iam/role:Role")
    assert len(roles) >= 10
    assert [role.name for role in roles if role.inputs.get("tags", {}).get("platform") != tag] == []


def test_guardduty_watches_clusters_buckets_and_functions(made: Recorded) -> None:
    features = {
        each.inputs["name"]
        for each in made.all("aws:guardduty/detectorFeature:DetectorFeature")
        if each.inputs["status"] == "ENABLED"
    }
    assert {"EKS_AUDIT_LOGS", "S3_DATA_EVENTS", "LAMBDA_NETWORK_LOGS"} <= features


def test_inspector_scans_images_and_functions_where_it_is_asked_for(deployment_of: Deployed) -> None:
    kind = "aws:inspector2/enabler:Enabler"
    assert deployment_of("everything").one(kind).inputs["resourceTypes"] == ["ECR", "LAMBDA"]
    assert deployment_of("dev").all(kind) == []


def test_config_records_everything_and_checks_the_guarantees(made: Recorded) -> None:
    [recorder] = made.all("aws:cfg/recorder:Recorder")
    assert recorder.inputs["recordingGroup"]["allSupported"] is True
    [status] = made.all("aws:cfg/recorderStatus:RecorderStatus")
    assert status.inputs["isEnabled"] is True
    rules = {each.inputs["source"]["sourceIdentifier"] for each in made.all("aws:cfg/rule:Rule")}
    assert {
        "S3_BUCKET_PUBLIC_READ_PROHIBITED",
        "CMK_BACKING_KEY_ROTATION_ENABLED",
        "MULTI_REGION_CLOUD_TRAIL_ENABLED",
    } <= rules
