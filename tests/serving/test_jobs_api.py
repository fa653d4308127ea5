"""The jobs routes: whose job it is, what is refused and how, and that asking twice is asking once."""

import json
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving.jobs import JobRefused, Limits
from serving.jobs_api_app import UPLOAD_S, JobsApi
from serving.jobs_rows import PartSize
from tests.serving.conftest import Aws
from tests.serving.jobs_platform import JobsPlatform, asks, jobs_platform, rows

STRANGER = "0123456789abcdef0123456789abcdef"


class Api:
    """Calls the API as the gateway does."""

    def __init__(self, at: JobsPlatform) -> None:
        self.at, self._api = at, JobsApi(at.platform, at.platform.s3)

    def __call__(
        self, method: str, path: str, body: Any = None, tenant: str = "acme", **parameters: str
    ) -> tuple[int, dict[str, Any]]:
        event = {
            "httpMethod": method,
            "resource": path,
            "pathParameters": parameters or None,
            "body": body if isinstance(body, str) else json.dumps(body),
            "requestContext": {"authorizer": {"tenant": tenant}},
        }
        try:
            status, document, _ = self._api.answer(event)
        except JobRefused as refused:
            return refused.status, {"error": str(refused)}
        return status, document

    def submit(self, body: Any, tenant: str = "acme") -> tuple[int, dict[str, Any]]:
        return self("POST", "/v2/models/digits/jobs", body, tenant)

    def show(self, id: str, tenant: str = "acme") -> tuple[int, dict[str, Any]]:
        return self("GET", "/v2/jobs/{job}", None, tenant, job=id)

    def arrive(self, key: str) -> None:
        """What EventBridge tells of an upload."""
        version = self.at.platform.s3.head_object(Bucket=self.at.platform.bucket, Key=key)["VersionId"]
        found = {"key": key, "version-id": version}
        self.at.control.handle({"detail-type": "Object Created", "detail": {"object": found}})


@pytest.fixture
def api(aws: Aws, digits: Path) -> Api:
    limits = Limits(active_jobs=3, parts_in_flight=4)
    return Api(jobs_platform(aws, asks(digits), PartSize(rows=10), limits))


def images(count: int) -> list[dict[str, Any]]:
    return [json.loads(line) for line in rows(count).splitlines()]


def test_rows_in_the_body_become_a_job_with_a_result_to_download(api: Api) -> None:
    status, job = api.submit({"rows": images(3)})
    assert (status, job["state"]) == (202, "awaiting_upload")
    assert "upload" not in job
    api.arrive(job["input"])
    api.at.run()
    status, job = api.show(job["id"])
    assert (status, job["state"], job["rows"]) == (200, "succeeded", {"all": 3, "done": 3, "failed": 0})
    downloaded = httpx.get(job["download"]["url"])
    assert [json.loads(line)["row"] for line in downloaded.text.splitlines()] == [0, 1, 2]


def test_an_upload_becomes_the_job_that_asked_for_it(api: Api) -> None:
    _, job = api.submit({"upload": "meine Zahlen ü.jsonl"})
    sent = httpx.put(job["upload"]["url"], content=rows(12))
    assert sent.status_code == 200, sent.text
    api.arrive(job["input"])
    api.at.run()
    assert api.show(job["id"])[1]["rows"]["done"] == 12
    assert len(api.at.jobs()) == 1


def test_a_second_upload_to_the_same_address_changes_nothing(api: Api) -> None:
    _, job = api.submit({"upload": "x.jsonl"})
    for count in (3, 5):
        httpx.put(job["upload"]["url"], content=rows(count))
        api.arrive(job["input"])
    api.at.run()
    assert api.show(job["id"])[1]["rows"]["all"] == 3
    assert len(api.at.jobs()) == 1


def test_the_same_token_is_the_same_job_and_another_request_a_conflict(api: Api) -> None:
    body = {"client_token": "night-7", "rows": images(2)}
    first, second = api.submit(body), api.submit(body)
    assert first == second
    status, refused = api.submit({"client_token": "night-7", "rows": images(1)})
    assert (status, "another request" in refused["error"]) == (409, True)
    assert api.submit(body, "globex")[1]["id"] != first[1]["id"]


def test_another_tenants_job_is_no_job(api: Api) -> None:
    _, job = api.submit({"rows": images(1)})
    strange = api.show(STRANGER)
    assert strange == (404, {"error": "no such job"})
    assert api.show(job["id"], "globex") == strange
    assert api("POST", "/v2/jobs/{job}/cancel", None, "globex", job=job["id"]) == strange
    assert api("GET", "/v2/jobs", None, "globex") == (200, {"jobs": []})
    assert [found["id"] for found in api("GET", "/v2/jobs")[1]["jobs"]] == [job["id"]]


@pytest.mark.parametrize("id", ["", "x", "../" + STRANGER, STRANGER.upper(), "job"])
def test_what_is_no_id_is_no_job(api: Api, id: str) -> None:
    assert api.show(id)[0] == 404


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ("{", 400, "JSON"),
        ("[]", 400, "object"),
        ({}, 400, "rows"),
        ({"rows": []}, 400, "1 to 1000"),
        ({"rows": [{}], "upload": "x.jsonl"}, 400, "either"),
        ({"rows": [{}], "client_token": "ü" * 9}, 400, "client_token"),
        ({"row": [{}]}, 400, "unknown keys: row"),
        ({"upload": "x.csv"}, 415, "*.parquet"),
        ({"upload": "../x.jsonl"}, 400, "no folder"),
        ({"upload": "..jsonl/../x.jsonl"}, 400, "no folder"),
        ({"upload": "a\x00.jsonl"}, 400, "control"),
        ({"upload": "a\\b.jsonl"}, 400, "backslash"),
        ({"upload": "x" * 900 + ".jsonl"}, 400, "800 bytes"),
        ({"upload": 7}, 400, "name of a file"),
    ],
)
def test_a_request_that_is_wrong_is_told_what_would_be_right(
    api: Api, body: Any, status: int, words: str
) -> None:
    got, answer = api.submit(body)
    assert got == status
    assert words in answer["error"]
    assert api.at.jobs() == []


def test_an_unknown_model_is_told_the_known_ones(api: Api) -> None:
    status, answer = api("POST", "/v2/models/{model}/jobs", {"rows": [{}]}, model="nosuch")
    assert status == 404
    assert "digits" in answer["error"]


def test_a_tenant_at_its_limit_waits_and_others_do_not(api: Api) -> None:
    for _ in range(3):
        assert api.submit({"rows": images(1)})[0] == 202
    status, answer = api.submit({"rows": images(1)})
    assert status == 429
    assert "3 jobs" in answer["error"]
    assert api.submit({"rows": images(1)}, "globex")[0] == 202


def test_a_job_whose_upload_never_came_takes_no_room_for_ever(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        assert api.submit({"upload": "never.jsonl"})[0] == 202
    assert api.submit({"upload": "x.jsonl"})[0] == 429
    later = time.time() + UPLOAD_S + 1
    monkeypatch.setattr("serving.jobs_api_app.time.time", lambda: later)
    assert api.submit({"upload": "x.jsonl"})[0] == 202


def test_a_cancelled_job_stays_cancelled_and_a_finished_one_finished(api: Api) -> None:
    _, job = api.submit({"rows": images(1)})
    for _ in range(2):
        status, cancelled = api("POST", "/v2/jobs/{job}/cancel", job=job["id"])
        assert (status, cancelled["state"]) == (200, "cancelled")
    api.arrive(job["input"])
    api.at.run()
    assert api.show(job["id"])[1]["state"] == "cancelled"
    _, job = api.submit({"rows": images(1)})
    api.arrive(job["input"])
    api.at.run()
    status, answer = api("POST", "/v2/jobs/{job}/cancel", job=job["id"])
    assert (status, answer["error"]) == (409, "the job has ended: succeeded")
