"""Jobs from file to result, in the embedded AWS and with the real model: nothing lost, nothing twice."""

import io
import json
import random
from typing import Any

import pytest
from pyarrow import parquet

from serving.jobs_flow import dispatch, send_parts
from serving.jobs_predict import Ask, TryLater
from tests.serving.jobs_platform import LIMITS, JobsPlatform, ask, at, rows

__all__ = ["ask", "at"]  # fixtures


def results(at: JobsPlatform, tenant: str = "acme") -> list[dict[str, Any]]:
    (job,) = at.jobs(tenant)
    return [json.loads(line) for line in at.result(job).splitlines()]


def test_a_file_becomes_a_result_with_every_row_in_order(at: JobsPlatform) -> None:
    at.control.handle(at.put("a b ü.jsonl", rows(95, poisoned=frozenset({7, 60}))))
    at.run()
    (job,) = at.jobs()
    assert (job.state, job.rows, job.rows_done, job.rows_failed) == ("succeeded", 95, 95, 2)
    assert job.output_key == job.result_key()
    found = results(at)
    assert [result["row"] for result in found] == list(range(95))
    failed = [result for result in found if "error" in result]
    assert [result["row"] for result in failed] == [7, 60]
    assert all("2 values" in result["error"] for result in failed)
    assert all(len(result["outputs"]["probabilities"]) == 10 for result in found if "error" not in result)


def test_the_predictions_are_those_of_the_model_asked_directly(at: JobsPlatform, ask: Ask) -> None:
    content = rows(12)
    at.control.handle(at.put("x.jsonl", content))
    at.run()
    data = [value for line in content.splitlines() for value in json.loads(line)["image"]]
    tensor = {"name": "image", "datatype": "FP32", "shape": [12, 64], "data": data}
    _, body = ask("POST", "/v2/models/digits/infer", json.dumps({"inputs": [tensor]}).encode())
    outputs = {output["name"]: output["data"] for output in json.loads(body)["outputs"]}
    assert [result["outputs"]["label"] for result in results(at)] == outputs["label"]


def test_parquet_in_gives_parquet_out(at: JobsPlatform) -> None:
    import pyarrow

    images = [json.loads(line)["image"] for line in rows(25).splitlines()]
    images[3] = [1.0]
    file = io.BytesIO()
    parquet.write_table(pyarrow.table({"image": images, "id": [f"r{i}" for i in range(25)]}), file)
    at.control.handle(at.put("x.parquet", file.getvalue()))
    at.run()
    (job,) = at.jobs()
    assert job.state == "succeeded", job.reason
    table = parquet.read_table(io.BytesIO(at.result(job))).to_pylist()
    assert [(row["row"], row["id"]) for row in table] == [(i, f"r{i}") for i in range(25)]
    assert [row["row"] for row in table if row["error"]] == [3]
    assert json.loads(table[0]["outputs"])["label"] in range(10)


def test_everything_delivered_twice_in_any_order_counts_once(at: JobsPlatform) -> None:
    event = at.put("x.jsonl", rows(100))
    at.control.handle(event)
    at.control.handle(event)
    (job,) = at.jobs()
    chance = random.Random(4)
    while (job := at.jobs()[0]).done < job.parts:
        send_parts(at.platform, job, range(job.parts))
        messages = at.receive(at.route.queue_url)
        chance.shuffle(messages)
        for message, _ in messages:
            at.worker().handle(message)  # and is never deleted
        at.control.handle(event)
    for _ in range(2):
        at.control.handle({"join": job.id})
    (job,) = at.jobs()
    assert (job.state, job.rows_done, job.done) == ("succeeded", 100, 10)
    assert [result["row"] for result in results(at)] == list(range(100))
    outs = at.platform.s3.list_objects_v2(Bucket=at.platform.bucket, Prefix=f"{job.work_folder}/out/")[
        "Contents"
    ]
    assert len(outs) == 10, "an attempt that did not count left its file"


def test_a_worker_that_dies_before_it_commits_loses_nothing(at: JobsPlatform) -> None:
    at.control.handle(at.put("x.jsonl", rows(20)))

    class Killed(BaseException):
        pass

    def dies(method: str, path: str, body: bytes) -> tuple[int, bytes]:
        raise Killed

    message, other = (message for message, _ in at.receive(at.route.queue_url))
    with pytest.raises(Killed):
        at.worker(dies).handle(message)
    assert at.worker().handle(other)
    assert at.worker().handle(message)  # it comes again
    at.control_all()
    assert [result["row"] for result in results(at)] == list(range(20))


def test_a_part_that_ends_every_worker_gets_errors_and_a_dead_letter(at: JobsPlatform) -> None:
    from serving.jobs_work import Message

    at.control.handle(at.put("x.jsonl", rows(20)))
    first, second = (message for message, _ in at.receive(at.route.queue_url))
    at.worker().handle(Message(first.body, first.receipt, 4))
    at.worker().handle(second)
    at.control_all()
    (job,) = at.jobs()
    assert (job.state, job.rows_failed) == ("succeeded", 10)
    (letter,) = at.dead_letters()
    assert letter["job"] == job.id
    assert letter["part"] == json.loads(first.body)["part"]
    assert "3 workers ended" in letter["reason"]


def test_a_model_that_is_away_is_asked_again_and_given_up_at_the_last_try(at: JobsPlatform) -> None:
    from serving.jobs_work import Message

    def away(method: str, path: str, body: bytes) -> tuple[int, bytes]:
        raise TryLater("the model's server does not answer")

    at.control.handle(at.put("x.jsonl", rows(5)))
    ((message, _),) = at.receive(at.route.queue_url)
    assert not at.worker(away).handle(message)
    assert at.worker(away).handle(Message(message.body, message.receipt, 3))
    at.control_all()
    (job,) = at.jobs()
    assert job.state == "failed"
    assert "does not answer" in job.reason
    assert "does not answer" in at.dead_letters()[0]["reason"]


def test_a_tenant_with_much_to_do_leaves_room_for_another(at: JobsPlatform) -> None:
    at.control.handle(at.put("big.jsonl", rows(200)))
    at.control.handle(at.put("small.jsonl", rows(10), tenant="globex"))
    waiting = [content["job"] for _, content in at.receive(at.route.queue_url)]
    assert len(waiting) == LIMITS.parts_in_flight + 1
    assert at.jobs("globex")[0].id in waiting
    assert dispatch(at.platform, "acme", "digits") == 0


def test_the_window_moves_on_to_the_end(at: JobsPlatform) -> None:
    for name in ("a", "b", "c"):
        at.control.handle(at.put(f"{name}.jsonl", rows(70)))
    at.run()
    assert [job.state for job in at.jobs()] == ["succeeded"] * 3
    assert at.work() == 0


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        pytest.param("x.jsonl", b"", "empty", id="empty"),
        pytest.param("x.jsonl", b"\n \n", "no rows", id="blank lines"),
        pytest.param("x.jsonl", '{"image": []}\n'.encode("utf-16"), "UTF-16", id="UTF-16"),
        pytest.param("x.parquet", b"PAR1 and then nothing", "Parquet", id="truncated Parquet"),
    ],
)
def test_a_file_that_cannot_be_read_fails_its_job_with_the_reason(
    at: JobsPlatform, name: str, data: bytes, reason: str
) -> None:
    event = at.put(name, data)
    for _ in range(2):
        at.control.handle(event)
    (job,) = at.jobs()
    assert job.state == "failed"
    assert reason in job.reason
    (letter,) = at.dead_letters()
    assert letter == {"job": job.id, "key": job.input_key, "model": "digits", "reason": job.reason}


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("input/nosuch/acme/x.jsonl", "unknown model"),
        ("input/digits/nobody/x.jsonl", "unknown tenant"),
        ("input/digits/x.jsonl", "input/<model>/<tenant>"),
        ("input/digits/acme/../globex/x.jsonl", "'..'"),
        ("input/digits/acme//x.jsonl", "empty"),
        ("input/digits/acme/a\\b.jsonl", "backslash"),
        ("input/digits/acme/x.csv", ".parquet"),
    ],
)
def test_a_key_that_means_nothing_is_a_dead_letter_with_the_reason(
    at: JobsPlatform, key: str, reason: str
) -> None:
    at.control.handle(
        {"detail-type": "Object Created", "detail": {"object": {"key": key, "version-id": "1"}}}
    )
    (letter,) = at.dead_letters(at.platform.dead_letters_url)
    assert letter["key"] == key
    assert reason in letter["reason"]
    assert at.jobs() == []


def test_a_row_that_is_not_utf8_or_no_json_fails_alone(at: JobsPlatform) -> None:
    good = rows(1)
    latin = '{"image": "ü"}\n'.encode("latin-1")
    at.control.handle(at.put("x.jsonl", good + latin + b"\0zero\n" + b"[1]\n" + b"{}\n" + good))
    at.run()
    found = results(at)
    assert ["error" in result for result in found] == [False, True, True, True, True, False]


def test_the_same_file_once_more_is_another_job(at: JobsPlatform) -> None:
    for _ in range(2):
        at.control.handle(at.put("x.jsonl", rows(3)))
    at.run()
    assert [job.state for job in at.jobs()] == ["succeeded"] * 2


def test_what_a_tenant_used_is_counted_once(at: JobsPlatform) -> None:
    at.control.handle(at.put("x.jsonl", rows(30)))
    (job,) = at.jobs()
    for message, _ in at.receive(at.route.queue_url):
        at.worker().handle(message)
        at.worker().handle(message)
    table = at.platform.table
    (used,) = table.usage("acme", "usage")
    assert (used.model, used.rows, used.requests) == ("digits", 30, 3)
    assert used.compute_ms == table.get(job.id).compute_ms  # type: ignore[union-attr]


def test_the_sweep_sends_again_what_was_lost(at: JobsPlatform) -> None:
    at.control.handle(at.put("x.jsonl", rows(60)))
    at.platform.sqs.purge_queue(QueueUrl=at.route.queue_url)
    assert at.work() == 0
    impatient = type(at.control)(at.platform, stalled_s=-10)
    impatient.handle({"sweep": True})
    at.run()
    assert at.jobs()[0].state == "succeeded"


def test_a_cancelled_job_is_not_worked_on(at: JobsPlatform) -> None:
    asked: list[str] = []

    def ask(method: str, path: str, body: bytes) -> tuple[int, bytes]:
        asked.append(path)
        return at.ask(method, path, body)

    at.control.handle(at.put("x.jsonl", rows(60)))
    (job,) = at.jobs()
    assert at.platform.table.finish(job, "cancelled")
    assert at.work(at.worker(ask)) == LIMITS.parts_in_flight
    at.control_all()
    (job,) = at.jobs()
    assert (job.state, job.done, job.output_key) == ("cancelled", 0, "")
    assert asked == []


def test_what_is_predicted_while_its_job_is_cancelled_counts_for_nobody(at: JobsPlatform) -> None:
    at.control.handle(at.put("x.jsonl", rows(10)))
    (job,) = at.jobs()

    def ask(method: str, path: str, body: bytes) -> tuple[int, bytes]:
        at.platform.table.finish(job, "cancelled")
        return at.ask(method, path, body)

    assert at.work(at.worker(ask)) == 1
    at.control_all()
    (job,) = at.jobs()
    assert (job.state, job.done, job.rows_done) == ("cancelled", 0, 0)
    assert at.platform.table.usage("acme", "usage") == []
    found = at.platform.s3.list_objects_v2(Bucket=at.platform.bucket, Prefix=f"{job.work_folder}/out/")
    assert "Contents" not in found


def test_a_job_whose_rows_are_gone_ends_and_says_so(at: JobsPlatform) -> None:
    at.control.handle(at.put("x.jsonl", rows(30)))
    (job,) = at.jobs()
    at.platform.s3.delete_object(Bucket=at.platform.bucket, Key=job.part_key(1))
    at.run()
    at.control_all()
    (job,) = at.jobs()
    assert (job.state, job.output_key) == ("failed", "")
    assert job.reason == "the rows of part 1 were deleted or have expired; write the file again"
    (letter,) = at.dead_letters()
    assert (letter["job"], letter["reason"]) == (job.id, job.reason)
    assert at.work() == 0
