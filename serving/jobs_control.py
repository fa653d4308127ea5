"""The control function: files become jobs, jobs become parts, and results become one file.

Its queue brings four kinds of messages: an object was created under `input/` (EventBridge), a job is ready to
be joined, the rows of a part are lost, and the sweep, which comes by the clock and finds what fell between
two steps.
"""

import io
import logging
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from botocore.exceptions import ClientError

from serving.jobs import FINAL, FIRST_ROW, InputKey, Job, JobRefused, format_of, job_id
from serving.jobs_flow import Platform, dead_letter, dispatch, finish, send_parts, tell_control
from serving.jobs_objects import MULTIPART_BYTES, Uploads, read_ahead, write_object
from serving.jobs_rows import RangeReader, json_lines, parquet_rows, parts_of, to_parquet

MAX_INPUT_BYTES = 5 * 2**30
# What HeadObject says of a version or an ETag that is not there (any more).
_GONE = frozenset({"404", "405", "412", "NoSuchKey", "NoSuchVersion", "PreconditionFailed"})
_ETAG = "etag:"
"""How the version of an object is written whose event carries no version, as in a bucket without versions."""
_AT_ONCE = 8
"""Parts that are written, or read, at the same time."""
# A read-ahead that keeps Parquet's many small reads from being requests each.
_BUFFER_BYTES = 4 * 2**20

logger = logging.getLogger(__name__)


class Control:
    """Handles control messages. `stalled_s`: how long a job may show no progress before the sweep helps."""

    def __init__(self, platform: Platform, stalled_s: int = 900) -> None:
        self._platform, self._size, self._stalled_s = platform, platform.size, stalled_s
        self._table, self._s3, self._bucket = platform.table, platform.s3, platform.bucket

    def handle(self, message: Mapping[str, Any], receive_count: int = 1) -> None:
        """Do what a message asks for; raises what makes it worth to be tried again."""
        if "join" in message:
            id = message["join"]
            self._last_try(receive_count, lambda: self.join(id), lambda: self._table.get(id), job=id)
        elif "lost" in message:
            self.lost(message["lost"], message["part"])
        elif message.get("sweep"):
            self.sweep()
        elif message.get("detail-type") == "Object Created":
            found = message["detail"]["object"]
            version = found.get("version-id") or f"{_ETAG}{found['etag']}"
            key = found["key"]
            self._last_try(
                receive_count,
                lambda: self.intake(key, version),
                lambda: self._of_file(key, version),
                key=key,
            )
        else:
            raise ValueError("no such control message")

    def _last_try(
        self, receive_count: int, act: Callable[[], None], find: Callable[[], Job | None], **what: str
    ) -> None:
        """What fails at every try ends as a failed job with a reason, not as a job that never ends."""
        if receive_count > self._platform.attempts:
            # Each earlier function ended without a word, as one does that lacks memory or time.
            self._give_up(f"{receive_count - 1} functions ended on it without an answer", find, **what)
            return
        try:
            act()
        except Exception as error:
            if receive_count < self._platform.attempts:
                raise
            logger.exception("given up", extra={"fields": what})
            reason = f"the platform failed {receive_count} times on it: {type(error).__name__}"
            self._give_up(reason, find, **what)

    def _give_up(self, reason: str, find: Callable[[], Job | None], **what: str) -> None:
        dead_letter(self._platform, self._platform.dead_letters_url, reason, **what)
        if (job := find()) is not None:
            finish(self._platform, job, "failed", reason=reason)

    def intake(self, key: str, version: str) -> None:
        """A file came: make or find its job, and split it."""
        try:
            known = self._known(key)
        except JobRefused as refused:
            dead_letter(self._platform, self._platform.dead_letters_url, str(refused), key=key)
            return
        job = self._job(known, key, version)
        if job is None:
            return
        try:
            self.split(job)
        except JobRefused as refused:
            self._fail(job, str(refused))

    def lost(self, id: str, part: int) -> None:
        """The rows of a part are gone: without them a job can never be whole."""
        job = self._table.get(id)
        if job is not None and job.state == "running":
            self._fail(job, f"the rows of part {part} were deleted or have expired; write the file again")

    def _fail(self, job: Job, reason: str) -> None:
        url = self._platform.routes[job.model].dead_letters_url
        if finish(self._platform, job, "failed", reason=reason):
            dead_letter(self._platform, url, reason, job=job.id, key=job.input_key, model=job.model)

    def _known(self, key: str) -> InputKey:
        return InputKey.of(key, self._platform.routes, self._platform.limits)

    def _of_file(self, key: str, version: str) -> Job | None:
        try:
            return self._found(self._known(key), key, version)
        except JobRefused:
            return None

    def _found(self, known: InputKey, key: str, version: str) -> Job | None:
        """The job that a file belongs to, if it is there."""
        if known.upload_of and (job := self._table.get(known.upload_of)) and job.input_key == key:
            return job
        return self._table.get(job_id("file", known.tenant, known.model, key, version))

    def _job(self, known: InputKey, key: str, version: str) -> Job | None:
        """The job of a file, to be split; None where there is nothing to do."""
        job = self._found(known, key, version)
        if job is None:
            job = Job(
                id=job_id("file", known.tenant, known.model, key, version),
                tenant=known.tenant,
                model=known.model,
                format=format_of(known.name),
                input_key=key,
                input_version=version,
                state="splitting",
            )
            self._table.create(job)
        elif job.state == "awaiting_upload":
            self._table.uploaded(job, version)
        job = self._table.get(job.id)
        if job is None or job.input_version != version or job.state in FINAL:
            return None  # an upload is used once; what is finished stays so
        if job.state == "running":
            dispatch(self._platform, job.tenant, job.model)
            return None
        return job

    def split(self, job: Job) -> None:
        """Write the parts of a job and start it. Raises JobRefused."""
        try:
            head = self._s3.head_object(**self._input(job))
        except ClientError as error:
            if error.response["Error"]["Code"] in _GONE:
                raise JobRefused("the file was deleted or replaced before it was read") from None
            raise
        size = head["ContentLength"]
        if size == 0:
            raise JobRefused("the file is empty")
        if size > MAX_INPUT_BYTES:
            raise JobRefused(f"the file has {size} bytes, at most {MAX_INPUT_BYTES} are taken: split it")
        parts, rows = 0, 0
        with Uploads(_AT_ONCE) as uploads:
            for content, count in parts_of(self._lines(job, size), self._size):
                key = job.part_key(parts)
                first = {FIRST_ROW: str(rows)}
                uploads.add(self._s3.put_object, Bucket=self._bucket, Key=key, Body=content, Metadata=first)
                parts, rows = parts + 1, rows + count
        if not parts:
            raise JobRefused("the file has no rows")
        self._table.split(job, parts, rows)
        dispatch(self._platform, job.tenant, job.model)

    def _lines(self, job: Job, size: int) -> Iterator[bytes]:
        if job.format == "jsonl":
            body = self._s3.get_object(**self._input(job))["Body"]
            return json_lines(body.iter_chunks(2**20))

        def fetch(start: int, end: int) -> bytes:
            part = self._s3.get_object(**self._input(job), Range=f"bytes={start}-{end - 1}")
            data: bytes = part["Body"].read()
            # A server may answer with the whole: https://www.rfc-editor.org/rfc/rfc9110#section-14.2
            return data if "ContentRange" in part else data[start:end]

        reader = io.BufferedReader(RangeReader(fetch, size), _BUFFER_BYTES)
        return parquet_rows(reader, self._size.rows)

    def _input(self, job: Job) -> dict[str, str]:
        """The very bytes that the event was about, whatever was written since."""
        where, version = {"Bucket": self._bucket, "Key": job.input_key}, job.input_version
        if version.startswith(_ETAG):
            return where | {"IfMatch": version.removeprefix(_ETAG)}
        return where | {"VersionId": version}

    def join(self, id: str) -> None:
        """Write the result of a job whose parts are all committed, in the order of its rows."""
        job = self._table.get(id)
        if job is None or job.state == "cancelled":
            return
        parts = self._table.parts(id)
        if job.parts == 0 or sorted(parts) != list(range(job.parts)):
            return  # asked too early, or a part was taken back
        if job.state not in FINAL:
            keys = (parts[number].key for number in range(job.parts))
            contents = read_ahead(self._s3, self._bucket, keys, _AT_ONCE)
            if job.format == "parquet":
                with tempfile.TemporaryFile() as file:
                    to_parquet(contents, file)
                    file.seek(0)
                    chunks = iter(lambda: file.read(MULTIPART_BYTES), b"")
                    write_object(self._s3, self._bucket, job.result_key(), chunks)
            else:
                write_object(self._s3, self._bucket, job.result_key(), contents)
        if job.rows_failed < job.rows:
            finish(self._platform, job, "succeeded", output_key=job.result_key())
            return
        reason = next((part.reason for part in parts.values() if part.reason), "every row failed")
        finish(self._platform, job, "failed", reason=reason, output_key=job.result_key())

    def sweep(self) -> None:
        """Help jobs on that show no progress: a message may have been lost with whoever had it."""
        stalled = int(time.time()) - self._stalled_s
        for job in self._table.active():
            if job.updated > stalled:
                continue
            logger.warning("stalled", extra={"fields": {"job": job.id, "state": job.state}})
            if job.state == "splitting":
                version = job.input_version
                etag = {"etag": version.removeprefix(_ETAG)} if version.startswith(_ETAG) else {}
                found = {"key": job.input_key, **(etag or {"version-id": version})}
                tell_control(self._platform, {"detail-type": "Object Created", "detail": {"object": found}})
            elif job.done == job.parts:
                tell_control(self._platform, {"join": job.id})
            else:
                committed = self._table.parts(job.id)
                lost = [part for part in range(job.dispatched) if part not in committed]
                send_parts(self._platform, job, lost)
                dispatch(self._platform, job.tenant, job.model)
