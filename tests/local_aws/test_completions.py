"""What the embedded AWS does beyond ministack: alarms by dimensions, and metrics that services emit."""

import io
import json
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import boto3
import httpx
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from local_aws.completions.filter_patterns import finds, matches
from local_aws.emulator import Emulator
from tests import waiting

Service = Callable[..., Any]
until = partial(waiting.until, seconds=30, every_s=0.2)
SOON_S = 10
"""The shortest period that an alarm may have."""


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Clients of an embedded AWS of these tests' own; `key` and `secret` are a user's."""
    emulator = Emulator(tmp_path_factory.mktemp("completed"), preferred_port=0, report=lambda line: None)
    url, root = emulator.start().ministack, emulator.credentials()

    def service(name: str, key: str = "", secret: str = "") -> Any:
        return boto3.client(
            name,
            endpoint_url=url,
            region_name="us-east-1",
            config=Config(retries={"total_max_attempts": 1}),
            aws_access_key_id=key or root["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=secret or root["AWS_SECRET_ACCESS_KEY"],
        )

    yield service
    emulator.stop()


def ring(aws: Service, alarm: str, namespace: str, name: str, **dimensions: str) -> Callable[[], str]:
    """Make an alarm that rings above 0; its state."""
    cloudwatch = aws("cloudwatch")
    cloudwatch.put_metric_alarm(
        AlarmName=alarm,
        Namespace=namespace,
        MetricName=name,
        Dimensions=[{"Name": key, "Value": value} for key, value in dimensions.items()],
        Statistic="Maximum",
        Period=SOON_S,
        EvaluationPeriods=1,
        Threshold=0,
        ComparisonOperator="GreaterThanThreshold",
        TreatMissingData="notBreaching",
    )
    return lambda: state(cloudwatch, alarm)


def state(cloudwatch: Any, alarm: str) -> str:
    found = cloudwatch.describe_alarms(AlarmNames=[alarm], AlarmTypes=["MetricAlarm", "CompositeAlarm"])
    [described] = found["MetricAlarms"] + found["CompositeAlarms"]
    return str(described["StateValue"])


def faults(cloudwatch: Any, value: float, **dimensions: str) -> None:
    held = [{"Name": key, "Value": each} for key, each in dimensions.items()]
    datum = {"MetricName": "faults", "Dimensions": held, "Value": value}
    cloudwatch.put_metric_data(Namespace="Tests", MetricData=[datum])


def gathered(aws: Service, namespace: str, name: str, statistic: str = "Sum", **dimensions: str) -> float:
    """A statistic over the last hour."""
    now = time.time()
    found = aws("cloudwatch").get_metric_statistics(
        Namespace=namespace,
        MetricName=name,
        Dimensions=[{"Name": key, "Value": value} for key, value in dimensions.items()],
        StartTime=now - 3600,
        EndTime=now + 60,
        Period=7200,
        Statistics=[statistic],
    )
    return float(sum(point[statistic] for point in found["Datapoints"]))


def test_an_alarm_sees_its_own_dimensions_alone(aws: Service) -> None:
    cloudwatch = aws("cloudwatch")
    mine = ring(aws, "mine", "Tests", "faults", model="a")
    theirs = ring(aws, "theirs", "Tests", "faults", model="b")
    cloudwatch.put_composite_alarm(AlarmName="either", AlarmRule='ALARM("mine") OR ALARM("theirs")')
    faults(cloudwatch, 1)
    faults(cloudwatch, 1, model="a", version="v1")
    assert (mine(), theirs(), state(cloudwatch, "either")) == ("OK", "OK", "OK")
    faults(cloudwatch, 1, model="b")
    assert (mine(), theirs(), state(cloudwatch, "either")) == ("OK", "ALARM", "ALARM")
    until(lambda: theirs() == "OK", "the datapoint is as old as the alarm looks back")
    assert state(cloudwatch, "either") == "OK"


def test_no_data_changes_nothing_where_it_does_not_count_as_good(aws: Service) -> None:
    cloudwatch = aws("cloudwatch")
    named = {"AlarmName": "patient", "Namespace": "Tests", "MetricName": "nothing", "Statistic": "Sum"}
    looks = {"Period": SOON_S, "EvaluationPeriods": 1, "Threshold": 0, "TreatMissingData": "breaching"}
    cloudwatch.put_metric_alarm(**named, **looks, ComparisonOperator="GreaterThanThreshold")
    fast = ring(aws, "evaluated", "Tests", "nothing")
    until(lambda: fast() == "OK", "alarms are evaluated")
    assert state(cloudwatch, "patient") == "INSUFFICIENT_DATA"


def test_a_percentile_of_few_values_says_nothing(aws: Service) -> None:
    cloudwatch = aws("cloudwatch")
    named = {"AlarmName": "slow", "Namespace": "Tests", "MetricName": "ms", "ExtendedStatistic": "p99"}
    looks = {"Period": 300, "EvaluationPeriods": 1, "Threshold": 300}
    cloudwatch.put_metric_alarm(**named, **looks, ComparisonOperator="GreaterThanThreshold")

    def put(value: float, count: int) -> str:
        datum = {"MetricName": "ms", "Values": [value], "Counts": [count]}
        cloudwatch.put_metric_data(Namespace="Tests", MetricData=[datum])
        return state(cloudwatch, "slow")

    assert put(900, 999) == "INSUFFICIENT_DATA"
    assert put(20, 1) == "ALARM"
    assert put(20, 99_000) == "OK"


def test_what_waits_in_a_queue_is_a_metric_until_it_is_gone(aws: Service) -> None:
    sqs = aws("sqs")
    url = sqs.create_queue(QueueName="letters")["QueueUrl"]
    visible = ring(aws, "letters", "AWS/SQS", "ApproximateNumberOfMessagesVisible", QueueName="letters")
    age = ring(aws, "old letters", "AWS/SQS", "ApproximateAgeOfOldestMessage", QueueName="letters")
    other = ring(aws, "others", "AWS/SQS", "ApproximateNumberOfMessagesVisible", QueueName="others")
    sqs.send_message(QueueUrl=url, MessageBody="x")
    until(lambda: (visible(), age()) == ("ALARM", "ALARM"), "the message rings")
    sqs.purge_queue(QueueUrl=url)
    until(lambda: (visible(), age()) == ("OK", "OK"), "the empty queue is quiet")
    assert other() == "OK"


@pytest.fixture(scope="module")
def api(aws: Service) -> Mapping[str, str]:
    """URL and name of an API with one route that is answered and one whose backend is away."""
    gateway = aws("apigateway")
    api_id = gateway.create_rest_api(name="probe")["id"]
    [root] = gateway.get_resources(restApiId=api_id)["items"]
    for path, status in (("fine", "200"), ("broken", "503")):
        made = gateway.create_resource(restApiId=api_id, parentId=root["id"], pathPart=path)
        place = {"restApiId": api_id, "resourceId": made["id"], "httpMethod": "GET"}
        gateway.put_method(**place, authorizationType="NONE")
        gateway.put_integration(
            **place,
            type="MOCK",
            requestTemplates={"application/json": json.dumps({"statusCode": int(status)})},
        )
        gateway.put_integration_response(**place, statusCode=status)
    gateway.create_deployment(restApiId=api_id, stageName="live")
    gateway.update_stage(
        restApiId=api_id,
        stageName="live",
        patchOperations=[{"op": "replace", "path": "/*/*/metrics/enabled", "value": "true"}],
    )
    return {"url": f"{gateway.meta.endpoint_url}/_aws/execute-api/{api_id}/live", "ApiName": "probe"}


def test_requests_to_an_api_are_metrics_of_stage_and_route(aws: Service, api: Mapping[str, str]) -> None:
    for path, count in (("fine", 3), ("broken", 1), ("nowhere", 2)):
        for _ in range(count):
            httpx.get(f"{api['url']}/{path}")

    def total(name: str, statistic: str = "Sum", **more: str) -> float:
        stage = {"ApiName": "probe", "Stage": "live"}
        return gathered(aws, "AWS/ApiGateway", name, statistic, **stage, **more)

    route = {"Method": "GET", "Resource": "/broken"}
    assert (total("Count"), total("5XXError"), total("4XXError")) == (6, 1, 2)
    assert (total("Count", **route), total("5XXError", **route)) == (1, 1)
    assert total("5XXError", "Average", **route) == 1
    assert total("5XXError", Method="GET", Resource="/fine") == 0
    assert total("Latency", "SampleCount") == 6


def test_each_invocation_of_a_function_is_counted_once_whoever_invokes(aws: Service) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("probe.py", "def handler(event, context):\n    return 1 / event.get('by', 1)")
    functions, sns = aws("lambda"), aws("sns")
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    role = aws("iam").create_role(RoleName="probe", AssumeRolePolicyDocument=document)["Role"]["Arn"]
    code = {"ZipFile": archive.getvalue()}
    function = functions.create_function(
        FunctionName="probe", Runtime="python3.11", Role=role, Handler="probe.handler", Code=code
    )
    topic = sns.create_topic(Name="probe")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="lambda", Endpoint=function["FunctionArn"])

    def counted() -> dict[str, float]:
        names = ("Invocations", "Errors", "Throttles")
        return {name: gathered(aws, "AWS/Lambda", name, FunctionName="probe") for name in names}

    functions.invoke(FunctionName="probe")
    assert counted() == {"Invocations": 1, "Errors": 0, "Throttles": 0}
    functions.invoke(FunctionName="probe", Payload=b'{"by": 0}')
    assert counted() == {"Invocations": 2, "Errors": 1, "Throttles": 0}
    sns.publish(TopicArn=topic, Message="x")
    until(lambda: counted()["Invocations"] == 3, "the topic's invocation is counted")
    functions.put_function_concurrency(FunctionName="probe", ReservedConcurrentExecutions=0)
    with pytest.raises(ClientError, match="TooManyRequests"):
        functions.invoke(FunctionName="probe")
    assert counted() == {"Invocations": 3, "Errors": 1, "Throttles": 1}
    assert gathered(aws, "AWS/Lambda", "Duration", "SampleCount", FunctionName="probe") == 3


def test_a_search_finds_what_its_pattern_says_and_pages_to_the_end(aws: Service) -> None:
    logs = aws("logs")
    place = {"logGroupName": "searched", "logStreamName": "a"}
    logs.create_log_group(logGroupName="searched")
    for stream in "ab":
        logs.create_log_stream(logGroupName="searched", logStreamName=stream)
    now = int(time.time() * 1000)
    said = [json.dumps({"tenant": tenant, "at": at}) for at in range(6) for tenant in ("acme", "globex")]
    events = [{"timestamp": now + at, "message": line} for at, line in enumerate([*said, "no JSON, of acme"])]
    logs.put_log_events(**place, logEvents=events[::2])
    logs.put_log_events(**place | {"logStreamName": "b"}, logEvents=events[1::2])

    def found(pattern: str, **more: Any) -> list[str]:
        asked = {"logGroupName": "searched", "filterPattern": pattern, **more}
        pages = logs.get_paginator("filter_log_events").paginate(**asked, PaginationConfig={"PageSize": 4})
        return [event["message"] for page in pages for event in page["events"]]

    assert found('{ $.tenant = "acme" }') == said[::2]
    assert found('{ $.tenant = "acme" }', startTime=now + 4) == said[4::2]
    assert found('{ $.tenant = "globex" }', logStreamNames=["a"]) == []
    assert found("") == [event["message"] for event in events]
    assert len(found("acme")) == 7
    assert found("{ $.at > 3 }"), "a pattern that is not understood finds all, as before"
    with pytest.raises(ClientError, match="does not exist"):
        logs.filter_log_events(logGroupName="nowhere")


@pytest.fixture(scope="module")
def trail(aws: Service) -> str:
    """Name of a running trail, whose log group has a metric filter."""
    logs, trails = aws("logs"), aws("cloudtrail")
    logs.create_log_group(logGroupName="trail")
    arn = logs.describe_log_groups(logGroupNamePrefix="trail")["logGroups"][0]["arn"]
    aws("s3").create_bucket(Bucket="trail")
    trails.create_trail(
        Name="trail",
        S3BucketName="trail",
        CloudWatchLogsLogGroupArn=arn,
        CloudWatchLogsRoleArn="arn:aws:iam::000000000000:role/trail",
    )
    trails.start_logging(Name="trail")
    for name, pattern in {
        "Stopped": "{ ($.eventName = StopLogging) }",
        "Refused": '{ ($.errorCode = "AccessDenied*") }',
        "Users": '{ ($.eventSource = iam.amazonaws.com) && (($.eventName = "CreateUser") || ($.x = 1)) }',
    }.items():
        made = {"metricName": name, "metricNamespace": "Trail", "metricValue": "1"}
        logs.put_metric_filter(
            logGroupName="trail", filterName=name, filterPattern=pattern, metricTransformations=[made]
        )
    return "trail"


def test_what_a_running_trail_tells_is_counted_by_filters(aws: Service, trail: str) -> None:
    states = {name: ring(aws, name, "Trail", name) for name in ("Stopped", "Refused", "Users")}

    def rung() -> set[str]:
        return {name for name, of in states.items() if of() == "ALARM"}

    iam = aws("iam")
    iam.get_user()
    assert rung() == set()
    iam.create_user(UserName="nobody")
    until(lambda: rung() == {"Users"}, "the call is counted")
    made = iam.create_access_key(UserName="nobody")["AccessKey"]
    with pytest.raises(ClientError, match="not authorized"):
        aws("iam", made["AccessKeyId"], made["SecretAccessKey"]).list_users()
    until(lambda: "Refused" in rung(), "the refusal is counted")
    aws("cloudtrail").stop_logging(Name=trail)
    until(lambda: "Stopped" in rung(), "a trail tells that it is stopped")
    until(lambda: rung() == set(), "all of it is as old as the alarms look back")
    iam.create_user(UserName="unseen")
    events = aws("logs").filter_log_events(logGroupName=trail)["events"]
    told = [json.loads(event["message"]) for event in events]
    assert [event["eventName"] for event in told if event["eventName"] != "StartLogging"] == [
        "CreateUser",
        "CreateAccessKey",
        "ListUsers",
        "StopLogging",
    ]
    assert made["SecretAccessKey"] not in json.dumps(told)


def test_a_pattern_finds_json_alone() -> None:
    assert finds("{ $.a = 1 }", '{"a": 1}')
    assert not finds("{ $.a = 1 }", '{"a": 2}')
    assert not finds("{ $.a != 1 }", "{}")
    assert not finds("{ $.a = 1 }", "a = 1")
    assert not finds("{ $.a = 1 }", "[1]")


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("ERROR", "in curly brackets"),
        ("{ $.a > 1 }", "is not understood"),
        ("{ ($.a = 1 }", "is not closed"),
        ("{ $.a = 1 $.b = 1 }", "one too many"),
        ("{ $.a = 1 && }", "in the place of a term"),
    ],
)
def test_a_pattern_that_is_not_understood_is_an_error(pattern: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        matches(pattern, {"a": 1})
