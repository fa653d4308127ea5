"""What happens to a running platform: asked again, given a bad model, its emulator killed under it."""

import hashlib
import json
import os
import signal
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import onnx
import pytest

from inferctl.client import Client
from inferctl.deliveries import Deliveries
from inferctl.session import Session
from serving.delivery_events import publication_id
from serving.manifest import FILE_NAME
from serving.recipes import digits

ROOT = Path(__file__).resolve().parents[2]
IMAGE = {"name": "image", "datatype": "FP32", "shape": [1, 64], "data": [0.0] * 64}


def served_version(client: Client) -> str:
    answer = client.infer("acme", "digits", json.dumps({"inputs": [IMAGE]}).encode())
    assert answer.status_code == httpx.codes.OK, answer.text
    return str(answer.json()["model_version"])


def test_the_printed_curl_line_works_when_pasted(first_up: Any, client: Client, local_dir: Path) -> None:
    lines = first_up.stdout.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("  curl"))
    pasted = "\n".join(lines[start : start + 3])
    done = subprocess.run(
        ["bash", "-c", pasted],
        cwd=ROOT,
        env={**os.environ, "INFERENCE_LOCAL_DIR": str(local_dir)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["model_name"] == "digits", done.stderr


def test_a_second_up_changes_nothing(first_up: object, inferctl: Any) -> None:
    said = inferctl("up").stderr
    preview = next(line for line in said.splitlines() if line.startswith("preview ") and "same" in line)
    assert preview.split()[-1] == "same", preview
    assert "update" not in said
    assert "digits v1 serves" in said


def test_the_state_holds_no_secret_in_clear_text(session: Session, client: Client) -> None:
    exported = json.dumps(session.engine.export())
    for tenant in client.outputs["tenant_client_ids"]:
        assert client.api_key(tenant) not in exported
        described = client.aws("cognito-idp").describe_user_pool_client(
            UserPoolId=client.outputs["user_pool_id"], ClientId=client.outputs["tenant_client_ids"][tenant]
        )
        assert described["UserPoolClient"]["ClientSecret"] not in exported


def test_bytes_that_do_not_match_the_manifest_never_go_live(client: Client, tmp_path: Path) -> None:
    s3, deliveries = client.aws("s3"), Deliveries(client)
    bucket = client.outputs["models_bucket"]
    built = digits.build(tmp_path, "v2-tampered")
    model = onnx.load(tmp_path / built.file)
    model.doc_string = "other bytes than v1, which the function holds already"
    data = model.SerializeToString()
    manifest = replace(built, sha256=hashlib.sha256(data).hexdigest(), size=len(data))
    (tmp_path / manifest.file).write_bytes(data)
    (tmp_path / FILE_NAME).write_bytes(manifest.encode())
    # As a publisher would who does not check what it puts.
    key = f"{manifest.prefix}{manifest.file}"
    s3.put_object(Bucket=bucket, Key=key, Body=data[:-1] + bytes([data[-1] ^ 1]))
    held = s3.put_object(Bucket=bucket, Key=f"{manifest.prefix}{FILE_NAME}", Body=manifest.encode())
    record = deliveries.follow("digits", publication_id(manifest.version, held["ETag"]))
    assert record["outcome"] == "refused"
    assert "sha256" in record["reason"]
    assert served_version(client) == "v1"


def test_what_up_made_comes_back_after_the_emulator_was_killed(
    session: Session, inferctl: Any, client: Client
) -> None:
    for instance in session.workspace.emulator().status().values():
        assert instance
        os.kill(instance.pid, signal.SIGKILL)
    with pytest.raises(httpx.TransportError):  # refused, or reset while the process dies
        httpx.get(f"{client.url}/v2/health/live")
    inferctl("up")
    assert served_version(session.client()) == "v1"
