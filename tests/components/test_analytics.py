"""Tables over results and captured requests: where those are written, and what is in them."""

import json
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from environments import loader
from serving.capture import Capture
from serving.jobs import Job
from serving.oip import InferRequest, InferResponse
from tests.components.conftest import Deployed
from tests.components.recorded import Recorded
from tests.serving.conftest import scale_manifest, scale_model

NOW = datetime(2026, 5, 1, 9, tzinfo=UTC)


@pytest.fixture(params=loader.names())
def made(request: pytest.FixtureRequest, deployment_of: Deployed) -> Recorded:
    return deployment_of(str(request.param))


def table(made: Recorded, name: str) -> Any:
    return made.named(f"analytics-{name}").inputs


def folder(made: Recorded, name: str, **values: str) -> str:
    """The folder of a table's partition. Fails for a value that the projection does not have."""
    found = table(made, name)
    parameters = found["parameters"]
    path = parameters["storage.location.template"].removeprefix(f"s3://{made.exports['data_bucket']}/")
    assert {key["name"] for key in found["partitionKeys"]} == set(values)
    for key, value in values.items():
        if parameters[f"projection.{key}.type"] == "enum":
            assert value in parameters[f"projection.{key}.values"].split(",")
        elif parameters[f"projection.{key}.type"] == "date":
            form = parameters[f"projection.{key}.format"]
            assert len(value) == len(form)
            assert parameters[f"projection.{key}.range"].split(",")[0] < value
        else:  # what a query names
            assert parameters[f"projection.{key}.type"] == "injected"
        path = path.replace(f"${{{key}}}", value)
    assert "$" not in path
    return str(path)


def test_queries_are_encrypted_and_end_at_the_scan_limit(made: Recorded) -> None:
    group = made.one("aws:athena/workgroup:Workgroup").inputs["configuration"]
    assert group["enforceWorkgroupConfiguration"] is True
    assert group["bytesScannedCutoffPerQuery"] >= 10_000_000
    encryption = group["resultConfiguration"]["encryptionConfiguration"]
    assert encryption["encryptionOption"] == "SSE_KMS"
    assert encryption["kmsKeyArn"]


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_results_are_found_where_jobs_put_them(made: Recorded, kind: Any) -> None:
    job = Job(
        id="0" * 32, tenant="acme", model="digits", format=kind, input_key="x", created=int(NOW.timestamp())
    )
    day = folder(made, f"results-{kind}", model="digits", tenant="acme", dt="2026-05-01")
    assert job.result_key().startswith(day)


def test_counts_are_found_where_the_stream_puts_them(made: Recorded) -> None:
    configuration = made.named("capture-digits-stream").inputs["extendedS3Configuration"]
    prefix = configuration["prefix"].replace("!{timestamp:yyyy/MM/dd/HH}", f"{NOW:%Y/%m/%d/%H}")
    assert prefix.startswith(folder(made, "capture", model="digits", dt="2026/05/01"))


def test_counts_have_the_columns_that_the_server_writes(made: Recorded) -> None:
    records: list[bytes] = []
    x = np.array([[1, 3]], np.float32)
    answer = InferResponse("scale", "v1", {"label": np.array([3])})
    Capture(records.append, share=1, raw=True, flush_s=0)(
        scale_manifest(scale_model()), InferRequest({"x": x}, ("label",)), answer
    )
    found = table(made, "capture")
    columns = {column["name"]: column["type"] for column in found["storageDescriptor"]["columns"]}
    keys = {key["name"] for key in found["partitionKeys"]}
    [record] = map(json.loads, records)
    assert record.keys() - keys == columns.keys()
    kinds: dict[str, Any] = {"string": (str, dict, list), "double": float, "bigint": int}
    for name, kind in columns.items():
        assert isinstance(record[name], kinds[kind]), name


def test_what_endpoints_keep_is_found_where_sagemaker_puts_it(made: Recorded) -> None:
    configurations = made.all("aws:sagemaker/endpointConfiguration:EndpointConfiguration")
    kept = [found.inputs for found in configurations if found.inputs.get("dataCaptureConfig")]
    for configuration in kept:
        target = configuration["dataCaptureConfig"]["destinationS3Uri"]
        model = target.rpartition("/")[2]
        endpoint = made.exports["model_endpoints"][model]["EndpointName"]
        [variant] = configuration["productionVariants"]
        written = f"{target}/{endpoint}/{variant['variantName']}/{NOW:%Y/%m/%d/%H}/"
        day = folder(made, "capture-sagemaker", model=model, endpoint=endpoint, dt="2026/05/01")
        assert written.startswith(f"s3://{made.exports['data_bucket']}/{day}")
