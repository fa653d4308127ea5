"""The drift function as its schedule calls it: records in, report, metrics and event out."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest
from moto import mock_aws

from components import metric
from serving import drift_app
from serving.manifest import FILE_NAME, Manifest
from serving.runtime import Model
from serving.tensors import Array
from tests.serving.test_drift import asked, unseen

HELD_OUT = unseen()
EVENT = {"model": "digits", "window_hours": 24, "min_rows": 200, "threshold": 0.2}
Captured = Callable[[Array], None]


class Events:
    """EventBridge, which keeps what it was given."""

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []

    def put_events(self, Entries: list[dict[str, Any]]) -> None:  # noqa: N803 - boto3's name
        self.entries += Entries


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch, digits: Path) -> Iterator[Events]:
    """S3 and the parameters with digits v1 live, and nothing captured."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "MODEL_BUCKET": "models",
        "DATA_BUCKET": "data",
        "MODEL_PARAMETERS": "/models",
    }.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        found = Events()
        clients = {"s3": boto3.client("s3"), "ssm": boto3.client("ssm"), "events": found}
        monkeypatch.setattr(drift_app, "_client", clients.__getitem__)
        for bucket in ("models", "data"):
            clients["s3"].create_bucket(Bucket=bucket)
        manifest = Manifest.parse((digits / FILE_NAME).read_bytes())
        for file in (FILE_NAME, manifest.file):
            body = (digits / file).read_bytes()
            clients["s3"].put_object(Bucket="models", Key=manifest.prefix + file, Body=body)
        live = json.dumps({"version": "v1"})
        clients["ssm"].put_parameter(Name="/models/digits/live", Value=live, Type="String")
        yield found


@pytest.fixture
def model(digits: Path) -> Model:
    manifest = Manifest.parse((digits / FILE_NAME).read_bytes())
    return Model(manifest, (digits / manifest.file).read_bytes())


@pytest.fixture
def captured(events: Events, model: Model) -> Captured:
    """Puts the records of these images where Firehose puts them."""

    def put(images: Array) -> None:
        lines = "".join(json.dumps(record) + "\n" for record in asked(model, images))
        key = f"capture/digits/{datetime.now(UTC):%Y/%m/%d/%H}/part"
        boto3.client("s3").put_object(Bucket="data", Key=key, Body=lines)

    return put


def measured(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The line that is the metrics too."""
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "_aws" in line]
    assert len(lines) == 1
    return dict(lines[0])


def report(found: dict[str, Any]) -> str:
    body: bytes = boto3.client("s3").get_object(Bucket="data", Key=found["report"])["Body"].read()
    return body.decode()


@pytest.mark.parametrize("how", ["inverted", "noisy"])
def test_changed_traffic_gives_the_metric_that_rings_and_the_event_for_retraining(
    events: Events,
    captured: Captured,
    capsys: pytest.CaptureFixture[str],
    how: str,
) -> None:
    noise = np.random.default_rng(1).normal(0, 4, HELD_OUT.shape)
    captured((16 - HELD_OUT if how == "inverted" else np.clip(HELD_OUT + noise, 0, 16)).astype(np.float32))
    found = drift_app.handler(EVENT, None)
    assert (found["version"], found["rows"]) == ("v1", len(HELD_OUT))
    line = measured(capsys)
    assert line["drift_psi"] == found["psi"] > EVENT["threshold"]
    watched = metric.drift("digits")
    [directive] = line["_aws"]["CloudWatchMetrics"]
    assert watched.name in {each["Name"] for each in directive["Metrics"]}
    assert (directive["Namespace"], directive["Dimensions"]) == (
        watched.namespace,
        [list(watched.dimensions)],
    )
    assert {name: line[name] for name in watched.dimensions} == watched.dimensions
    [entry] = events.entries
    assert (entry["Source"], entry["DetailType"]) == ("inference-platform.drift", "ModelDrift")
    assert json.loads(entry["Detail"]) == {**found, "threshold": 0.2}
    assert "drifted" in report(found)


def test_traffic_like_the_training_data_gives_an_index_and_no_event(
    events: Events,
    captured: Captured,
    capsys: pytest.CaptureFixture[str],
) -> None:
    captured(HELD_OUT)
    found = drift_app.handler(EVENT, None)
    assert measured(capsys)["drift_psi"] == found["psi"] < EVENT["threshold"]
    assert events.entries == []
    assert "no drift" in report(found)


@pytest.mark.parametrize(
    ("live", "rows", "said"),
    [
        ("v1", 0, "no data: 0 rows were captured, 200 are needed"),
        ("v1", 100, "no data: 100 rows were captured, 200 are needed"),
        (None, 0, "no data: no version is live"),
    ],
)
def test_no_data_is_no_index_and_says_so(
    events: Events,
    captured: Captured,
    capsys: pytest.CaptureFixture[str],
    live: str | None,
    rows: int,
    said: str,
) -> None:
    captured(16 - HELD_OUT[:rows])
    if live is None:
        ssm = boto3.client("ssm")
        ssm.put_parameter(Name="/models/digits/live", Value="none", Type="String", Overwrite=True)
    found = drift_app.handler(EVENT, None)
    assert (found["psi"], found["missing"]) == (None, said)
    line = measured(capsys)
    assert line["drift_rows"] == rows
    assert "drift_psi" not in line
    assert events.entries == []
    assert said in report(found)


def test_what_came_before_the_window_or_of_another_version_is_left_out(
    events: Events,
    captured: Captured,
    model: Model,
) -> None:
    captured(HELD_OUT)
    s3 = boto3.client("s3")
    other = [{**record, "version": "v0"} for record in asked(model, 16 - HELD_OUT)]
    now = f"{datetime.now(UTC):%Y/%m/%d/%H}"
    for place, records in ((now, other), ("2020/01/01/00", asked(model, 16 - HELD_OUT))):
        lines = "".join(json.dumps(record) + "\n" for record in records)
        s3.put_object(Bucket="data", Key=f"capture/digits/{place}/other", Body=lines)
    found = drift_app.handler(EVENT, None)
    assert found["rows"] == len(HELD_OUT)
    assert found["psi"] < EVENT["threshold"]
