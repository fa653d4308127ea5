"""Jobs: what they are called, where their files lie and in which states they are.

    input/<model>/<tenant>/<anything>.{jsonl,ndjson,parquet}   a file that becomes a job
    work/<model>/<job>/in/<part>.jsonl                         its rows, in parts
    work/<model>/<job>/out/<part>-<attempt>.jsonl              what one worker made of a part
    output/<format>/model=<m>/tenant=<t>/dt=<day>/<job>.<format>   the result, a row for each row

States: awaiting_upload -> splitting -> running -> succeeded | failed | cancelled. A job succeeds when every
row is accounted for and at least one was predicted; its other rows carry their errors.
"""

import hashlib
import json
import re
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Self

State = Literal["awaiting_upload", "splitting", "running", "succeeded", "failed", "cancelled"]
By = Literal["function", "cluster", "endpoint", "async-endpoint"]
FINAL: frozenset[str] = frozenset({"succeeded", "failed", "cancelled"})
FORMATS: Mapping[str, str] = {".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
"""File suffix -> format."""

FIRST_ROW = "first-row"
"""Metadata of a part's object: which row of the whole input its first one is."""
ID = re.compile(r"[0-9a-f]{32}")
# S3 takes keys of 1,024 bytes: https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
# What a job adds in front of a client's file name fits into the rest.
MAX_NAME_BYTES = 800
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class JobRefused(Exception):
    """An input that will never become a result; the text goes to the client as it is.

    `status`: what the API answers where the client is still there to hear it.
    """

    def __init__(self, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True, kw_only=True)
class Job:
    """One job, as the table has it. Times are seconds since 1970, counts are rows or parts."""

    id: str
    tenant: str
    model: str
    format: str
    input_key: str
    state: State = "awaiting_upload"
    input_version: str = ""
    request: str = ""
    """Digest of the request that asked for it: the same client token must mean the same request."""
    created: int = field(default_factory=lambda: int(time.time()))
    updated: int = 0
    parts: int = 0
    dispatched: int = 0
    """Parts that were put into the model's queue, in order."""
    done: int = 0
    """Parts whose results are committed."""
    rows: int = 0
    rows_done: int = 0
    rows_failed: int = 0
    tokens: int = 0
    compute_ms: int = 0
    output_key: str = ""
    reason: str = ""
    """Why it failed."""

    @classmethod
    def of(cls, item: Mapping[str, Any]) -> Self:
        """The job of a table's item; DynamoDB's decimals become whole numbers."""
        given: dict[str, Any] = {
            field.name: int(item[field.name]) if field.type is int else item[field.name]
            for field in fields(cls)
            if field.name in item
        }
        return cls(**given)

    @property
    def share(self) -> str:
        """Whose turn it takes in the model's queue."""
        return f"{self.tenant}#{self.model}"

    @property
    def work_folder(self) -> str:
        """Where its parts lie: below its model's folder, the only one that this model's worker reaches."""
        return f"work/{self.model}/{self.id}"

    def part_key(self, part: int) -> str:
        """Where the rows of a part lie."""
        return f"{self.work_folder}/in/{part:06}.jsonl"

    def attempt_key(self, part: int) -> str:
        """A new place for one attempt's results: no attempt writes over what another one wrote."""
        return f"{self.work_folder}/out/{part:06}-{uuid.uuid4().hex[:12]}.jsonl"

    def result_key(self) -> str:
        """Where the result goes; the folders are the partitions of the results table."""
        day = time.strftime("%Y-%m-%d", time.gmtime(self.created))
        return (
            f"output/{self.format}/model={self.model}/tenant={self.tenant}/dt={day}/{self.id}.{self.format}"
        )


@dataclass(frozen=True, slots=True)
class Route:
    """Where the jobs of a model go."""

    queue_url: str
    dead_letters_url: str
    by: By
    """Who answers for the model."""
    target: str = ""
    """ARN of the function or name of the endpoint; nothing for `cluster`, whose worker knows its server."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a tenant may have: jobs that are not finished, and parts in the queue of one model at once."""

    active_jobs: int = 1000
    parts_in_flight: int = 20


def job_id(*what: str) -> str:
    """The same words always give the same job."""
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:32]


def format_of(name: str) -> str:
    """The format that a file's name tells. Raises JobRefused."""
    for suffix, kind in FORMATS.items():
        if name.lower().endswith(suffix):
            return kind
    raise JobRefused(f"a job's file is named {', '.join('*' + suffix for suffix in FORMATS)}", 415)


def check_name(name: str) -> str:
    """A client's name of a file, or of a path below its folder: any text but tricks. Raises JobRefused."""
    if not name or len(name.encode(errors="replace")) > MAX_NAME_BYTES:
        raise JobRefused(f"a file's name has 1 to {MAX_NAME_BYTES} bytes")
    if _CONTROL.search(name) or "\\" in name or not name.isprintable():
        raise JobRefused("a file's name has no control characters and no backslashes")
    if any(part in ("", ".", "..") for part in name.split("/")):
        raise JobRefused("a file's name has no empty, '.' or '..' parts")
    format_of(name)
    return name


@dataclass(frozen=True, slots=True)
class InputKey:
    """What the key of a file tells: the model, whose it is and its name below that."""

    model: str
    tenant: str
    name: str

    @classmethod
    def of(cls, key: str, routes: Mapping[str, Route], tenants: Mapping[str, Limits]) -> Self:
        """Read a key. Raises JobRefused that names what is wrong with it."""
        parts = key.split("/", 3)
        if len(parts) < 4 or parts[0] != "input":
            raise JobRefused("put files at input/<model>/<tenant>/<name>")
        _, model, tenant, name = parts
        if model not in routes:
            raise JobRefused(f"unknown model; there is {', '.join(sorted(routes)) or 'none'}", 404)
        if tenant not in tenants:
            raise JobRefused("unknown tenant; put files at input/<model>/<tenant>/<name>", 404)
        return cls(model, tenant, check_name(name))

    @property
    def upload_of(self) -> str | None:
        """The job that this may be the upload of."""
        first, slash, _ = self.name.partition("/")
        return first if slash and ID.fullmatch(first) else None
