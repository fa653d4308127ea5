"""`inferctl jobs redrive` against the embedded AWS: dead parts go again, their jobs come to an end."""

import json

import pytest
from typer.testing import CliRunner

from inferctl import jobs
from serving.jobs import Job
from serving.jobs_flow import document
from serving.jobs_predict import Ask, TryLater
from serving.jobs_rows import PartSize
from serving.jobs_work import Message
from tests.serving.conftest import Aws, aws, digits
from tests.serving.jobs_platform import LIMITS, JobsPlatform, ask, jobs_platform, rows

__all__ = ["ask", "aws", "digits"]  # fixtures


@pytest.fixture
def at(aws: Aws, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> JobsPlatform:
    made = jobs_platform(aws, ask, PartSize(rows=10), LIMITS)
    monkeypatch.setattr(jobs, "platform_of", lambda _client: made.platform)
    monkeypatch.setattr(jobs, "deployed", lambda _env: _Session())
    return made


class _Session:
    def client(self) -> None:
        """Nobody asks it anything here."""


def redrive() -> str:
    done = CliRunner().invoke(jobs.app, ["redrive", "digits"])
    assert done.exit_code == 0, done.output
    return done.output


def fail(at: JobsPlatform, parts: set[int]) -> None:
    """Let parts have their last try with a model that is away, and the others be predicted."""

    def away(method: str, path: str, body: bytes) -> tuple[int, bytes]:
        raise TryLater("the model's server does not answer")

    for message, content in at.receive(at.route.queue_url):
        if content["part"] in parts:
            assert at.worker(away).handle(Message(message.body, message.receipt, at.platform.attempts))
        else:
            assert at.worker().handle(message)
        at.platform.sqs.delete_message(QueueUrl=at.route.queue_url, ReceiptHandle=message.receipt)
    at.control_all()


@pytest.mark.parametrize(("parts", "state"), [({1}, "succeeded"), ({0, 1, 2}, "failed")])
def test_a_dead_part_is_tried_again_and_its_job_ends_with_every_row_once(
    at: JobsPlatform, parts: set[int], state: str
) -> None:
    at.control.handle(at.put("x.jsonl", rows(25, poisoned=frozenset({12}))))
    fail(at, parts)
    (job,) = at.jobs()
    assert job.state == state
    assert job.rows_failed == sum({0: 10, 1: 10, 2: 5}[part] for part in parts)
    assert f"{len(parts)} parts are tried again, 0 letters stay" in redrive()
    (job,) = at.jobs()
    assert (job.state, job.reason, job.output_key) == ("running", "", "")
    at.run()
    (job,) = at.jobs()
    assert (job.state, job.reason) == ("succeeded", "")
    assert (job.rows_done, job.rows_failed, job.done) == (25, 1, 3)
    results = [json.loads(line) for line in at.result(job).splitlines()]
    assert [result["row"] for result in results] == list(range(25))
    assert [result["row"] for result in results if "error" in result] == [12]
    assert "0 parts are tried again, 0 letters stay" in redrive()


def test_a_message_that_sqs_put_away_by_itself_goes_again(at: JobsPlatform) -> None:
    at.control.handle(at.put("x.jsonl", rows(5)))
    ((message, _),) = at.receive(at.route.queue_url)
    at.platform.sqs.delete_message(QueueUrl=at.route.queue_url, ReceiptHandle=message.receipt)
    at.platform.sqs.send_message(QueueUrl=at.route.dead_letters_url, MessageBody=message.body)
    assert "1 parts are tried again" in redrive()
    at.run()
    assert at.jobs()[0].state == "succeeded"


def test_what_cannot_be_tried_again_stays(at: JobsPlatform) -> None:
    at.control.handle(at.put("empty.jsonl", b""))
    at.control.handle(at.put("x.jsonl", rows(5)))
    (job,) = (job for job in at.jobs() if job.state == "running")
    ((message, _),) = at.receive(at.route.queue_url)
    at.worker().handle(Message(message.body, message.receipt, at.platform.attempts + 1))
    at.platform.table.finish(job, "cancelled")
    for _ in range(2):  # they can be read again at once
        assert "0 parts are tried again, 2 letters stay" in redrive()
    assert {job.state for job in at.jobs()} == {"failed", "cancelled"}


def test_a_model_that_there_is_not_is_told_the_ones_there_are(at: JobsPlatform) -> None:
    done = CliRunner().invoke(jobs.app, ["redrive", "nosuch"])
    assert done.exit_code != 0
    assert str(done.exception) == "no model 'nosuch'"


def test_an_id_in_a_list_is_whole_however_narrow_the_terminal(
    at: JobsPlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = document(
        Job(id="0123456789abcdef" * 2, tenant="acme", model="digits", format="jsonl", input_key="x")
    )
    monkeypatch.setattr(jobs, "_call", lambda *_: {"jobs": [shown | {"reason": "a long reason " * 20}]})
    done = CliRunner(env={"COLUMNS": "80"}).invoke(jobs.app, ["list", "acme"])
    assert shown["id"] in done.output
