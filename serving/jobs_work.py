"""One part's way through a worker, whatever runs it and however often the queue delivers it.

A result is written to a place of its own and then committed in the table, where one attempt of all wins; only
after that the message is deleted. So a worker that dies leaves a message that comes again, and a message that
comes again finds the part committed. A part that fails at every try ends with an error for each of its rows,
and with a dead letter that has the reason. A part whose rows are gone from S3 ends its job, which the control
function is told.

Messages of a model's queue: {"job", "part"}; {"wake": true}, which only starts a cold model; and what
SageMaker tells of an asynchronous answer, whose `inferenceId` is `inference_id` of the part that asked. Any
other one is a dead letter at once: no worker will ever read it.
https://docs.aws.amazon.com/sagemaker/latest/dg/async-inference-check-predictions.html
"""

import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from serving.jobs import FIRST_ROW, ID, Job
from serving.jobs_counts import PartOutcome
from serving.jobs_flow import Platform, dead_letter, dispatch, part_settled, tell_control
from serving.jobs_predict import AnswersLater, Predictor, TryLater, encode_results

_LONGEST_WAIT_S = 600
_SHOWN = 1000
"""Characters that a dead letter has of a message that cannot be read."""

logger = logging.getLogger(__name__)

PredictorOf = Callable[[Job, int, bool], Predictor]
"""Job, part, and whether this is the last try, to what predicts the part's rows."""


class RowsGone(Exception):
    """The object with a part's rows was deleted, or has expired."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message of a model's queue."""

    body: str
    receipt: str
    received: int
    """How often it has been delivered, this time included."""


class Worker:
    """Works on the messages of one queue."""

    def __init__(self, platform: Platform, queue_url: str, predictor_of: PredictorOf) -> None:
        self._platform, self._queue_url, self._predictor_of = platform, queue_url, predictor_of

    def handle(self, message: Message) -> bool:
        """Work on a message. True when it is done with and is to be deleted."""
        try:
            subject = _subject(message.body)
        except ValueError as error:
            self._put_away(message, f"no message of a jobs queue: {error}")
            return True
        if subject is None:
            return True
        id, part = subject
        job = self._platform.table.get(id)
        if job is None or job.state != "running":
            if job is not None:
                dispatch(self._platform, job.tenant, job.model)
            return True
        with self._heartbeat(message.receipt):
            try:
                self._work(job, part, message.received)
            except AnswersLater:
                return True
            except RowsGone:
                tell_control(self._platform, {"lost": job.id, "part": part})
                return True
            except Exception as error:
                if message.received < self._platform.attempts:
                    self._wait_before_next(message)
                    logger.warning(
                        "part %s of %s is tried again: %s", part, job.id, _text(error), exc_info=error
                    )
                    return False
                self._give_up(job, part, f"given up after {message.received} tries: {_text(error)}")
            part_settled(self._platform, job.id)
        return True

    def _work(self, job: Job, part: int, received: int) -> None:
        if received > self._platform.attempts:
            # Each earlier worker ended without a word, as one does that lacks memory or time.
            self._give_up(job, part, f"{received - 1} workers ended on these rows without an answer")
            return
        lines, first_row = self._rows(job, part)
        predicted = self._predictor_of(job, part, received == self._platform.attempts)(lines)
        key = job.attempt_key(part)
        results = encode_results(first_row, predicted.results)
        self._platform.s3.put_object(Bucket=self._platform.bucket, Key=key, Body=results)
        outcome = PartOutcome(
            key=key,
            rows=len(lines),
            rows_failed=predicted.failed,
            tokens=predicted.tokens,
            compute_ms=predicted.compute_ms,
        )
        self._commit(job, part, outcome)

    def _rows(self, job: Job, part: int) -> tuple[list[bytes], int]:
        place = {"Bucket": self._platform.bucket, "Key": job.part_key(part)}
        try:
            found = self._platform.s3.get_object(**place)
        except ClientError:
            # "Forbidden" is what S3 says of a missing object to who may list a part of the bucket only.
            bucket, key = place.values()
            if not self._platform.s3.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1)["KeyCount"]:
                raise RowsGone from None
            raise
        return found["Body"].read().splitlines(), int(found["Metadata"][FIRST_ROW])

    def _give_up(self, job: Job, part: int, reason: str) -> None:
        """Commit an error for each row of the part, and leave a dead letter."""
        lines, first_row = self._rows(job, part)
        key = job.attempt_key(part)
        results = encode_results(first_row, [{"error": reason}] * len(lines))
        self._platform.s3.put_object(Bucket=self._platform.bucket, Key=key, Body=results)
        outcome = PartOutcome(key=key, rows=len(lines), rows_failed=len(lines), reason=reason)
        if self._commit(job, part, outcome):
            url = self._platform.routes[job.model].dead_letters_url
            dead_letter(
                self._platform, url, reason, job=job.id, part=part, model=job.model, tenant=job.tenant
            )

    def _put_away(self, message: Message, reason: str) -> None:
        routes = self._platform.routes.values()
        url = next(route.dead_letters_url for route in routes if route.queue_url == self._queue_url)
        dead_letter(self._platform, url, reason, message=message.body[:_SHOWN])

    def _commit(self, job: Job, part: int, outcome: PartOutcome) -> bool:
        if self._platform.table.commit(job, part, outcome):
            return True
        self._platform.s3.delete_object(Bucket=self._platform.bucket, Key=outcome.key)
        return False

    def _wait_before_next(self, message: Message) -> None:
        self._hide(message.receipt, min(_LONGEST_WAIT_S, self._platform.visibility_s, 2**message.received))

    def _hide(self, receipt: str, seconds: int) -> None:
        self._platform.sqs.change_message_visibility(
            QueueUrl=self._queue_url, ReceiptHandle=receipt, VisibilityTimeout=seconds
        )

    @contextmanager
    def _heartbeat(self, receipt: str) -> Iterator[None]:
        """Keep the message hidden for as long as it is worked on."""
        done = threading.Event()

        def beat() -> None:
            while not done.wait(self._platform.visibility_s / 3):
                try:
                    self._hide(receipt, self._platform.visibility_s)
                except Exception as error:  # the work goes on: a second delivery does no harm
                    logger.warning("a message could not be kept hidden: %s", type(error).__name__)

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def inference_id(job: Job, part: int) -> str:
    """What an asynchronous answer is told by; SageMaker takes 64 characters."""
    return f"{job.id}:{part}"


def _subject(body: str) -> tuple[str, int] | None:
    """The job and the part that a message is about; None for a wake message, which has woken whom it was for,
    and for an answer that no job asked for. Raises ValueError for what is no message of ours."""
    content = json.loads(body)
    if not isinstance(content, dict):
        raise ValueError("it is no JSON object")
    if "job" not in content:
        id, _, number = str(content.get("inferenceId")).partition(":")
        return (id, int(number)) if ID.fullmatch(id) and number.isdecimal() else None
    id, part = content["job"], content.get("part")
    if not isinstance(id, str) or not ID.fullmatch(id) or not isinstance(part, int):
        raise ValueError("it names no job and part")
    return id, part


def delete(sqs: Any, queue_url: str, receipt: str) -> None:
    """Delete a message that is done with."""
    sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=receipt)


def _text(error: Exception) -> str:
    """What may be told: our own words, and of other errors their kind, for their text may quote rows."""
    return str(error) if isinstance(error, TryLater) else type(error).__name__
