"""From requests to the alarm: they are counted, compared on the schedule, and it rings or does not."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from sklearn.datasets import load_digits

from components import metric
from inferctl.client import Client
from inferctl.deliveries import Deliveries
from tests import waiting
from tests.e2e.test_delivery import IMAGE, version

PREFIX = "inference-platform-local"
until = partial(waiting.until, seconds=150, every_s=0.5)
RULE = f"{PREFIX}-drift-digits"
ALARM = f"{PREFIX}-digits-drift"
IMAGES = load_digits(return_X_y=True)[0]


def ask(client: Client, rows: Any) -> None:
    for start in range(0, len(rows), 50):
        part = rows[start : start + 50]
        tensor = {**IMAGE, "shape": list(part.shape), "data": part.ravel().tolist()}
        answer = client.infer("acme", "digits", json.dumps({"inputs": [tensor]}).encode())
        assert answer.is_success, answer.text
    time.sleep(1.1)  # then the next request takes the counts along
    client.infer("acme", "digits", json.dumps({"inputs": [{**IMAGE, "data": IMAGES[0].tolist()}]}).encode())


def compared(client: Client) -> bytes:
    """The report of the next comparison that the model's schedule starts, which is soon."""
    s3, events, bucket = client.aws("s3"), client.aws("events"), client.outputs["data_bucket"]

    def reports() -> set[str]:
        found = s3.list_objects_v2(Bucket=bucket, Prefix="capture/digits/reports/").get("Contents", ())
        return {item["Key"] for item in found if item["Key"].endswith(".html")}

    before = reports()
    rule = {
        key: value for key, value in events.describe_rule(Name=RULE).items() if key in ("Name", "Description")
    }
    expression = events.describe_rule(Name=RULE)["ScheduleExpression"]
    events.put_rule(**rule, ScheduleExpression="rate(1 minute)")
    try:
        [key] = until(lambda: reports() - before, "the schedule starts a comparison")
    finally:
        events.put_rule(**rule, ScheduleExpression=expression)
    return bytes(s3.get_object(Bucket=bucket, Key=key)["Body"].read())


def state(client: Client) -> str:
    """The alarm's state now: the embedded AWS looks at its alarms when somebody puts a metric, any metric."""
    cloudwatch = client.aws("cloudwatch")
    cloudwatch.put_metric_data(Namespace="Tests", MetricData=[{"MetricName": "look", "Value": 1}])
    [alarm] = cloudwatch.describe_alarms(AlarmNames=[ALARM])["MetricAlarms"]
    return str(alarm["StateValue"])


@contextmanager
def trainings(client: Client) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """What a training hears that listens to the event of drift, as the documentation says."""
    sqs, events = client.aws("sqs"), client.aws("events")
    url = sqs.create_queue(QueueName="trainings")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    pattern = {
        "source": ["inference-platform.drift"],
        "detail-type": ["ModelDrift"],
        "detail": {"model": ["digits"]},
    }
    events.put_rule(Name="trainings", EventPattern=json.dumps(pattern))
    events.put_targets(Rule="trainings", Targets=[{"Id": "queue", "Arn": arn}])
    heard: list[dict[str, Any]] = []

    def listen() -> list[dict[str, Any]]:
        for message in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
            heard.append(json.loads(message["Body"])["detail"])
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return heard

    try:
        yield listen
    finally:
        events.remove_targets(Rule="trainings", Ids=["queue"])
        events.delete_rule(Name="trainings")
        sqs.delete_queue(QueueUrl=url)


def test_inverted_digits_ring_the_alarm_and_a_training_hears_of_it_others_do_not(
    client: Client, tmp_path: Path, back_to_v1: None
) -> None:
    """With a version of its own: what others have asked of other versions does not count.

    On a platform that was kept from a run of this test the alarm rings for an hour.
    """
    deliveries = Deliveries(client)
    name = f"drift-{int(time.time())}"
    _, delivery = deliveries.publish(version(tmp_path / name, name), "to be asked other things")
    assert deliveries.follow("digits", delivery)["outcome"] == "delivered"
    with trainings(client) as heard:
        ask(client, IMAGES[:800])
        assert b"drifted" not in compared(client)
        held = client.aws("cloudwatch").list_metrics(Namespace=metric.PLATFORM, MetricName="drift_psi")
        until(lambda: state(client) == "OK", "the alarm has looked")
        assert heard() == []

        ask(client, 16 - IMAGES[:800])
        assert b"drifted" in compared(client)
        until(lambda: state(client) == "ALARM", "the alarm rings")
        [event] = until(heard, "the event is heard")
    assert (event["model"], event["version"]) == ("digits", name)
    assert event["psi"] > event["threshold"]
    wanted = metric.drift("digits")
    assert wanted.dimensions in [
        {each["Name"]: each["Value"] for each in found["Dimensions"]} for found in held["Metrics"]
    ]
