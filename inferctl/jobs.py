"""Jobs from the operator's side: submit, follow, list, cancel and try again."""

import json
import time
import uuid
from pathlib import Path
from typing import Annotated, Any

import boto3
import httpx
import typer
from rich.console import Console
from rich.table import Column, Table

from inferctl.client import Client
from inferctl.errors import CommandFailed
from inferctl.session import deployed
from serving.jobs import FINAL
from serving.jobs_counts import Usage
from serving.jobs_flow import Platform, dispatch, send_parts
from serving.jobs_table import JobTable
from toolchain.progress import Progress, Step

app = typer.Typer(no_args_is_help=True, help="Batch and asynchronous inference.")
console = Console()

Env = Annotated[str, typer.Option("--env", "-e", envvar="ENV", help="Environment: a file in environments/.")]
Tenant = Annotated[str, typer.Argument(help="Tenant in whose name to call.")]
JobId = Annotated[str, typer.Argument(help="The job's id.")]

_POLL_S = 1.0
# Any wait at all asks every server of the queue; the queue's own is made for workers that have time.
_LAST_LETTER_S = 1


@app.command()
def submit(
    model: Annotated[str, typer.Argument(help="Model to ask.")],
    tenant: Tenant,
    file: Annotated[Path, typer.Argument(help="JSON Lines or Parquet: a row for each prediction.")],
    env: Env = "local",
    token: Annotated[str, typer.Option(help="Client token: the same one gives the same job.")] = "",
    wait: Annotated[bool, typer.Option(help="Follow it to its end.")] = True,
    output: Annotated[Path | None, typer.Option(help="File to write the result to.")] = None,
) -> None:
    """Upload a file as a job, and follow it to its result.

    Example: inferctl jobs submit digits acme rows.jsonl --output result.jsonl
    """
    if not file.is_file():
        raise CommandFailed(f"there is no file {file}", "give a .jsonl, .ndjson or .parquet file")
    client = deployed(env).client()
    body = {"upload": file.name, "client_token": token or uuid.uuid4().hex}
    job = _call(client, tenant, "POST", f"/v2/models/{model}/jobs", body)
    if "upload" in job:
        with file.open("rb") as data:
            sent = httpx.put(
                job["upload"]["url"],
                content=data,
                headers={"content-length": str(file.stat().st_size)},
                timeout=600,
            )
        if sent.is_error:
            raise CommandFailed(f"the upload was refused: {sent.status_code}", "run the command again")
    console.print(job["id"], highlight=False)
    if wait:
        job = follow(client, tenant, job["id"])
        _conclude(job)
        if output is not None and "download" in job:
            output.write_bytes(httpx.get(job["download"]["url"], timeout=600).raise_for_status().content)
            console.print(f"result: {output}", highlight=False)
    if job["state"] == "failed":
        raise typer.Exit(1)


@app.command()
def status(
    tenant: Tenant,
    job: JobId,
    env: Env = "local",
    wait: Annotated[bool, typer.Option(help="Follow it to its end.")] = False,
) -> None:
    """Show a job as its owner sees it.

    Example: inferctl jobs status acme 0123456789abcdef0123456789abcdef
    """
    client = deployed(env).client()
    found = follow(client, tenant, job) if wait else _call(client, tenant, "GET", f"/v2/jobs/{job}")
    typer.echo(json.dumps(found, indent=2))


@app.command("list")
def list_jobs(tenant: Tenant, env: Env = "local") -> None:
    """List the newest jobs of a tenant.

    Example: inferctl jobs list acme
    """
    # An id is there to be copied, and to be read by scripts: it is never cut.
    table = Table(Column("id", no_wrap=True, min_width=32), "model", "state", "rows", "failed", "reason")
    for job in _call(deployed(env).client(), tenant, "GET", "/v2/jobs")["jobs"]:
        rows = f"{job['rows']['done']}/{job['rows']['all']}"
        table.add_row(
            job["id"], job["model"], job["state"], rows, str(job["rows"]["failed"]), job.get("reason", "")
        )
    console.print(table)


@app.command()
def cancel(tenant: Tenant, job: JobId, env: Env = "local") -> None:
    """Stop working on a job.

    Example: inferctl jobs cancel acme 0123456789abcdef0123456789abcdef
    """
    found = _call(deployed(env).client(), tenant, "POST", f"/v2/jobs/{job}/cancel")
    console.print(f"{found['id']} {found['state']}", highlight=False)


@app.command()
def redrive(
    model: Annotated[str, typer.Argument(help="Model whose dead letters to try again.")], env: Env = "local"
) -> None:
    """Try the dead letters of a model again: parts that failed, and messages that SQS put away.

    A file that could not be read stays there: correct it and upload it again.

    Example: inferctl jobs redrive digits
    """
    platform = platform_of(deployed(env).client())
    if model not in platform.routes:
        raise CommandFailed(f"no model {model!r}", f"choose one of: {', '.join(sorted(platform.routes))}")
    with Progress() as progress, progress.step("redrive") as step:
        again, kept = redriven(platform, model, step)
        step.result = f"{again} parts are tried again, {kept} letters stay"


def redriven(platform: Platform, model: str, step: Step | None = None) -> tuple[int, int]:
    """Take each dead letter once: how many parts go again, and how many letters stay.

    Those that stay can be read at once by whoever looks after them.
    """
    url = platform.routes[model].dead_letters_url
    again, kept, seen = 0, list[str](), set[str]()
    while True:
        answer = platform.sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=30, WaitTimeSeconds=_LAST_LETTER_S
        )
        fresh = [found for found in answer.get("Messages", []) if found["MessageId"] not in seen]
        if not fresh:
            break
        for found in fresh:
            seen.add(found["MessageId"])
            if _try_again(platform, json.loads(found["Body"])):
                platform.sqs.delete_message(QueueUrl=url, ReceiptHandle=found["ReceiptHandle"])
                again += 1
            else:
                kept.append(found["ReceiptHandle"])
            if step is not None:
                step.detail = f"{again} again, {len(kept)} stay"
    for receipt in kept:
        platform.sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=receipt, VisibilityTimeout=0)
    return again, len(kept)


def _try_again(platform: Platform, letter: dict[str, Any]) -> bool:
    """Whether a letter was a part's, and that part is on its way again."""
    job = platform.table.get(str(letter.get("job", "")))
    if job is None or "part" not in letter:
        return False
    part = int(letter["part"])
    committed = platform.table.parts(job.id).get(part)
    if committed is not None and committed.reason and not platform.table.forget_part(job, part, committed):
        return False
    if committed is None or committed.reason:
        send_parts(platform, job, [part])
    dispatch(platform, job.tenant, job.model)
    return True


def follow(client: Client, tenant: str, id: str) -> dict[str, Any]:
    """A job at its end, with progress on the way."""
    with Progress() as progress, progress.step("job") as step:
        while True:
            job = _call(client, tenant, "GET", f"/v2/jobs/{id}")
            rows = job["rows"]
            step.detail = f"{job['state']}, {rows['done']} of {rows['all']} rows, {rows['failed']} failed"
            if job["state"] in FINAL:
                step.result = f"{job['state']}: {rows['done']} rows, {rows['failed']} failed"
                return job
            time.sleep(_POLL_S)


def platform_of(client: Client) -> Platform:
    """What an operator works on: the table and the queues themselves, with the operator's own rights."""
    config = json.loads(
        client.aws("s3")
        .get_object(Bucket=client.outputs["data_bucket"], Key=client.outputs["jobs_config"])["Body"]
        .read()
    )
    return Platform.from_config(
        config,
        table=JobTable(_table(client), config["keep_days"]),
        s3=client.aws("s3"),
        sqs=client.aws("sqs"),
        events=client.aws("events"),
        bucket=client.outputs["data_bucket"],
    )


def job_usage(client: Client, tenant: str) -> list[Usage]:
    """What a tenant used through jobs, day by day."""
    return JobTable(_table(client)).usage(tenant, "usage")


def request_usage(client: Client, tenant: str) -> list[Usage]:
    """What a tenant used through the cluster's router, day by day."""
    return JobTable(_table(client)).usage(tenant, "requests")


def _table(client: Client) -> Any:
    settings: dict[str, Any] = {"region_name": client.region}
    if client.endpoints and client.credentials:
        settings |= {
            "endpoint_url": client.endpoints.ministack,
            "aws_access_key_id": client.credentials["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": client.credentials["AWS_SECRET_ACCESS_KEY"],
        }
    return boto3.resource("dynamodb", **settings).Table(client.outputs["jobs_table"])


def _conclude(job: dict[str, Any]) -> None:
    if "output" in job:
        console.print(f"output: {job['output']}", highlight=False, soft_wrap=True)
    if "reason" in job:
        console.print(f"reason: {job['reason']}", highlight=False, soft_wrap=True)


def _call(
    client: Client, tenant: str, method: str, path: str, body: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The API's answer. Raises CommandFailed with the API's own words."""
    answer = httpx.request(method, client.url + path, json=body, headers=client.headers(tenant), timeout=60)
    if answer.is_error:
        try:
            said = answer.json().get("error", answer.text)
        except ValueError:
            said = answer.text
        raise CommandFailed(
            f"{method} {path}: {answer.status_code}: {said}", "see `inferctl jobs list TENANT`"
        )
    return dict(answer.json())
