"""The jobs routes of the API, as the gateway's proxy events bring them.

    POST /v2/models/{m}/jobs      a job of a few rows in the body, or of a file that is then uploaded; 202
    GET  /v2/jobs                 the caller's jobs, the newest first
    GET  /v2/jobs/{id}            state, counts and, once there is one, where to download the result
    POST /v2/jobs/{id}/cancel     no more of it is worked on; what was predicted is not delivered

A body is {"rows": [...]} or {"upload": "name.jsonl"}, with a `client_token`: asked twice with the same token,
the platform answers with the same job. Another tenant's job looks exactly like one that never was.
"""

import hashlib
import json
import logging
import os
import re
import time
import uuid
from collections.abc import Mapping
from functools import cache
from itertools import islice
from typing import Any

import boto3
from botocore.config import Config

from serving import logs
from serving.jobs import FINAL, ID, Job, JobRefused, Limits, check_name, format_of, job_id
from serving.jobs_flow import Platform, dispatch, document

UPLOAD_S, DOWNLOAD_S = 3600, 3600
"""How long the addresses that clients get are good for, seconds."""
MAX_ROWS = 1000
LISTED = 50
_TOKEN = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_UPLOADED_NAME = re.compile(r"[^/]+")

logger = logging.getLogger(__name__)
Answer = tuple[int, dict[str, Any], dict[str, str]]


class JobsApi:
    """Answers for all tenants. `signer`: an S3 client that makes addresses for clients."""

    def __init__(self, platform: Platform, signer: Any) -> None:
        self._platform, self._signer = platform, signer

    def answer(self, event: Mapping[str, Any]) -> Answer:
        """Status, document and headers. Raises JobRefused."""
        tenant = ((event.get("requestContext") or {}).get("authorizer") or {}).get("tenant")
        if not tenant:
            raise JobRefused("no tenant", 403)
        method, path = event.get("httpMethod"), str(event.get("resource") or "")
        parameters = event.get("pathParameters") or {}
        match (method, path.strip("/").split("/")):
            case ("POST", ["v2", "models", model, "jobs"]):
                model = parameters.get("model", "") if model.startswith("{") else model
                return self._submit(tenant, model, event)
            case ("GET", ["v2", "jobs"]):
                found = islice(self._platform.table.of_tenant(tenant), LISTED)
                return 200, {"jobs": [document(job) for job in found]}, {}
            case ("GET", ["v2", "jobs", _]):
                return 200, self._shown(self._own(tenant, parameters.get("job", ""))), {}
            case ("POST", ["v2", "jobs", _, "cancel"]):
                return self._cancel(self._own(tenant, parameters.get("job", "")))
        raise JobRefused("no such route", 404)

    def _submit(self, tenant: str, model: str, event: Mapping[str, Any]) -> Answer:
        if model not in self._platform.routes:
            known = ", ".join(sorted(self._platform.routes)) or "none"
            raise JobRefused(f"unknown model; these take jobs: {known}", 404)
        body = _body(event)
        token = body.get("client_token", uuid.uuid4().hex)
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            raise JobRefused("client_token is 1 to 128 letters, digits and . _ : -")
        rows, name = body.get("rows"), body.get("upload")
        if (rows is None) == (name is None):
            raise JobRefused("give either rows, a list, or upload, the name of a file that you will upload")
        id = job_id("token", tenant, model, token)
        lines = _lines(rows) if name is None else b""
        name = "rows.jsonl" if name is None else _upload_name(name)
        job = Job(
            id=id,
            tenant=tenant,
            model=model,
            format=format_of(name),
            input_key=f"input/{model}/{tenant}/{id}/{name}",
            request=hashlib.sha256(name.encode() + b"\0" + lines).hexdigest(),
        )
        known_job = self._platform.table.get(id)
        if known_job is None:
            self._check_room(tenant)
            self._platform.table.create(job)
            known_job = self._platform.table.get(id) or job
        if known_job.request != job.request:
            raise JobRefused("this client_token was used for another request", 409)
        if known_job.state == "awaiting_upload" and lines:
            self._platform.s3.put_object(Bucket=self._platform.bucket, Key=job.input_key, Body=lines)
        return 202, self._shown(known_job, upload=not lines), {"location": f"/v2/jobs/{id}"}

    def _check_room(self, tenant: str) -> None:
        limit = self._platform.limits.get(tenant, Limits()).active_jobs
        newest = islice(self._platform.table.of_tenant(tenant), 2 * limit)
        # Whose address has expired waits for nothing any more, until somebody asks for a new one.
        since = int(time.time()) - UPLOAD_S
        active = (
            job
            for job in newest
            if job.state not in FINAL and (job.state != "awaiting_upload" or job.created > since)
        )
        if sum(1 for _ in active) >= limit:
            raise JobRefused(f"{limit} jobs are not finished yet; wait for some or cancel them", 429)

    def _own(self, tenant: str, id: str) -> Job:
        """A job of the tenant's. Raises JobRefused."""
        job = self._platform.table.get(id) if ID.fullmatch(id) else None
        if job is None or job.tenant != tenant:
            raise JobRefused("no such job", 404)
        return job

    def _shown(self, job: Job, *, upload: bool = False) -> dict[str, Any]:
        shown = document(job)
        where = {"Bucket": self._platform.bucket}
        if job.state == "awaiting_upload" and upload:
            address = self._signer.generate_presigned_url(
                "put_object", Params=where | {"Key": job.input_key}, ExpiresIn=UPLOAD_S
            )
            shown["upload"] = {"method": "PUT", "url": address, "expires": int(time.time()) + UPLOAD_S}
        if job.output_key:
            address = self._signer.generate_presigned_url(
                "get_object", Params=where | {"Key": job.output_key}, ExpiresIn=DOWNLOAD_S
            )
            shown["download"] = {"method": "GET", "url": address, "expires": int(time.time()) + DOWNLOAD_S}
        return shown

    def _cancel(self, job: Job) -> Answer:
        if self._platform.table.finish(job, "cancelled"):
            dispatch(self._platform, job.tenant, job.model)
        current = self._platform.table.get(job.id) or job
        if current.state != "cancelled":
            raise JobRefused(f"the job has ended: {current.state}", 409)
        return 200, self._shown(current), {}


def _body(event: Mapping[str, Any]) -> dict[str, Any]:
    try:
        body = json.loads(event.get("body") or "")
    except ValueError:
        raise JobRefused("the body is not JSON; send an object with rows or upload") from None
    if not isinstance(body, dict):
        raise JobRefused("the body must be a JSON object with rows or upload")
    if unknown := sorted(set(body) - {"client_token", "rows", "upload"}):
        raise JobRefused(f"unknown keys: {', '.join(unknown)[:200]}; there are client_token, rows and upload")
    return body


def _lines(rows: Any) -> bytes:
    if not isinstance(rows, list) or not 1 <= len(rows) <= MAX_ROWS:
        raise JobRefused(f"rows is a list of 1 to {MAX_ROWS} objects; upload a file for more")
    return b"".join(json.dumps(row, ensure_ascii=False).encode(errors="replace") + b"\n" for row in rows)


def _upload_name(name: Any) -> str:
    if not isinstance(name, str) or not _UPLOADED_NAME.fullmatch(name):
        raise JobRefused("upload is the name of a file, with no folder")
    return check_name(name)


@cache
def _api() -> JobsApi:
    logs.configure(os.environ.get("LOG_LEVEL", "INFO"))
    platform = Platform.of()
    # SigV4 is what encrypted buckets take: https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html
    config = Config(signature_version="s3v4", s3={"addressing_style": "path"} if _local() else None)
    return JobsApi(platform, boto3.client("s3", config=config))


def _local() -> bool:
    return "AWS_ENDPOINT_URL" in os.environ


def handler(event: Mapping[str, Any], _context: Any) -> dict[str, Any]:
    """Entry point of the jobs API's function."""
    request_id = str((event.get("requestContext") or {}).get("requestId", ""))
    try:
        status, body, headers = _api().answer(event)
    except JobRefused as refused:
        status, body, headers = refused.status, {"error": str(refused)}, {}
    if status == 429:
        headers = {"retry-after": "30"}
    logger.info("jobs", extra={"fields": {"status": status, "request_id": request_id}})
    return {
        "statusCode": status,
        "headers": {"content-type": "application/json", "x-request-id": request_id, **headers},
        "body": json.dumps(body),
        "isBase64Encoded": False,
    }
