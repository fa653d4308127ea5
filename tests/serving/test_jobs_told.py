"""What jobs leave behind for others: events, metrics, dead letters, and what the table forgets."""

import json
import uuid
from typing import Any

import pytest

from tests.serving.conftest import Aws
from tests.serving.jobs_platform import JobsPlatform, ask, at, rows

__all__ = ["ask", "at"]  # fixtures


@pytest.fixture
def heard(aws: Aws, at: JobsPlatform) -> Any:
    """What a tenant's own rule hears, with the pattern that docs/pipelines.md gives."""
    name = f"told-{uuid.uuid4().hex[:12]}"
    url = at.platform.sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = at.platform.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"][
        "QueueArn"
    ]
    allow = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn,
    }
    policy = {"Version": "2012-10-17", "Statement": [allow]}
    at.platform.sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy)})
    pattern = {
        "source": ["inference-platform"],
        "detail-type": ["InferenceCompleted", "InferenceFailed"],
        # Other tests tell events, too.
        "detail": {"tenant": ["acme"], "model": ["digits"], "bucket": [at.platform.bucket]},
    }
    events = aws.client("events")
    events.put_rule(Name=name, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": arn}])
    yield lambda: [
        (event["detail-type"], event["detail"]) for event in (content for _, content in at.receive(url))
    ]
    events.remove_targets(Rule=name, Ids=["queue"])
    events.delete_rule(Name=name)


def test_a_job_that_succeeds_is_told_with_where_its_result_is(at: JobsPlatform, heard: Any) -> None:
    at.control.handle(at.put("x.jsonl", rows(25, poisoned=frozenset({3}))))
    at.run()
    ((kind, detail),) = heard()
    assert kind == "InferenceCompleted"
    (job,) = at.jobs()
    assert (detail["id"], detail["output"]) == (job.id, job.result_key())
    assert detail["rows"] == {"all": 25, "done": 25, "failed": 1}


def test_a_job_that_fails_is_told_with_the_reason(at: JobsPlatform, heard: Any) -> None:
    at.control.handle(at.put("empty.jsonl", b""))
    ((kind, detail),) = heard()
    assert (kind, detail["reason"]) == ("InferenceFailed", "the file is empty")


def test_what_is_worked_on_and_what_was_cancelled_is_not_told(at: JobsPlatform, heard: Any) -> None:
    at.control.handle(at.put("x.jsonl", rows(25)))
    (job,) = at.jobs()
    at.platform.table.finish(job, "cancelled")
    at.run()
    assert heard() == []


def test_a_finished_job_is_metrics_of_its_tenant_and_model(
    at: JobsPlatform, capsys: pytest.CaptureFixture[str]
) -> None:
    at.control.handle(at.put("x.jsonl", rows(25, poisoned=frozenset({3}))))
    at.run()
    (job,) = at.jobs()
    at.control.handle({"join": job.id})  # asked again, it is not counted again
    (line,) = (json.loads(each) for each in capsys.readouterr().out.splitlines() if '"_aws"' in each)
    (metrics,) = line["_aws"]["CloudWatchMetrics"]
    assert metrics["Dimensions"] == [["model"], ["model", "tenant"]]
    assert (line["model"], line["tenant"], line["job_rows"], line["job_rows_failed"]) == (
        "digits",
        "acme",
        25,
        1,
    )
    assert line["job_compute_ms"] == job.compute_ms
    assert {each["Name"] for each in metrics["Metrics"]} <= line.keys()


def test_the_table_forgets_a_job_and_its_parts_on_the_same_day(aws: Aws, at: JobsPlatform) -> None:
    at.control.handle(at.put("x.jsonl", rows(25)))
    at.run()
    (job,) = at.jobs()
    items = aws.client("dynamodb").query(
        TableName=at.platform.bucket,
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues={":pk": {"S": f"job#{job.id}"}},
    )["Items"]
    assert len(items) == 1 + job.parts
    assert {int(item["expires"]["N"]) for item in items} == {job.created + 30 * 86_400}


def test_a_dead_letter_has_its_reason_as_an_attribute_too(at: JobsPlatform) -> None:
    at.control.handle(at.put("empty.jsonl", b""))
    (letter,) = at.platform.sqs.receive_message(
        QueueUrl=at.route.dead_letters_url, MessageAttributeNames=["All"]
    )["Messages"]
    assert letter["MessageAttributes"]["reason"]["StringValue"] == "the file is empty"


def test_a_message_carries_its_tenant_for_sqs_to_be_fair(at: JobsPlatform) -> None:
    for tenant in ("acme", "globex"):
        at.control.handle(at.put("x.jsonl", rows(5), tenant=tenant))
    messages = at.platform.sqs.receive_message(
        QueueUrl=at.route.queue_url, MaxNumberOfMessages=10, AttributeNames=["MessageGroupId"]
    )["Messages"]
    assert sorted(each["Attributes"]["MessageGroupId"] for each in messages) == ["acme", "globex"]


@pytest.mark.parametrize("tries", [1, 3, 4])
def test_a_file_that_the_platform_fails_on_ends_as_a_failed_job(
    at: JobsPlatform, monkeypatch: pytest.MonkeyPatch, tries: int
) -> None:
    event = at.put("x.jsonl", rows(25))

    def fails(**_: Any) -> None:
        raise ConnectionError("S3 does not answer")

    monkeypatch.setattr(at.platform.s3, "head_object", fails)
    with pytest.raises(ConnectionError):
        at.control.handle(event, 1)
    if tries == 1:
        assert at.jobs()[0].state == "splitting"
        return
    at.control.handle(event, tries)
    (job,) = at.jobs()
    # Above the tries, nobody has lived to say what it was: it is not tried once more.
    reason = "3 functions ended on it" if tries == 4 else "failed 3 times on it: ConnectionError"
    assert job.state == "failed"
    assert reason in job.reason
    (letter,) = at.dead_letters(at.platform.dead_letters_url)
    assert letter == {"key": job.input_key, "reason": job.reason}


def test_a_join_that_ends_every_function_ends_as_a_failed_job(at: JobsPlatform) -> None:
    at.control.handle(at.put("x.jsonl", rows(5)))
    at.work()
    (job,) = at.jobs()
    at.control.handle({"join": job.id}, 4)
    assert at.jobs()[0].state == "failed"
    (letter,) = at.dead_letters(at.platform.dead_letters_url)
    assert letter["job"] == job.id


def test_a_key_that_means_nothing_is_put_away_however_often_it_came(at: JobsPlatform) -> None:
    found = {"key": "input/nosuch/acme/x.jsonl", "version-id": "1"}
    at.control.handle({"detail-type": "Object Created", "detail": {"object": found}}, 4)
    (letter,) = at.dead_letters(at.platform.dead_letters_url)
    assert letter["key"] == found["key"]
