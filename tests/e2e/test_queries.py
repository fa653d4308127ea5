"""The queries of docs/pipelines.md, as they stand there, over what jobs and captured requests left."""

import csv
import io
import json
import re
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from inferctl.client import Client
from inferctl.jobs import platform_of
from serving.jobs import FINAL, Job
from tests.athena import answer
from tests.e2e.test_drift import ask
from tests.waiting import until

PAGE = Path(__file__).parents[2] / "docs/pipelines.md"
QUERIES = re.findall(r"```sql\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
IMAGES = np.random.default_rng(13).integers(0, 17, (30, 64)).astype(float)


def rows_of(client: Client, query: str) -> list[dict[str, str]]:
    """What Athena answers to a query of the documentation, asked of this platform, today."""
    today, (database, workgroup) = datetime.now(UTC), client.outputs["analytics"].values()
    query = query.replace("inference_platform_prod_inference", database)
    query = query.replace("2026-05-01", f"{today:%Y-%m-%d}").replace("2026/05/01", f"{today:%Y/%m/%d}")

    def run(service: str, operation: str, **parameters: Any) -> Any:
        return getattr(client.aws(service), operation)(**parameters)

    key, text = answer(run, query, WorkGroup=workgroup)
    assert key.startswith("queries/")
    return list(csv.DictReader(io.StringIO(text)))


@pytest.fixture(scope="module")
def labels(client: Client) -> Counter[str]:
    """The labels of a job of Parquet, one row of which is bad; another job is of JSON Lines."""
    platform, file = platform_of(client), io.BytesIO()
    images = [image.tolist() for image in IMAGES]
    images[7] = [1.0]
    ids = [f"image-{number}" for number in range(len(images))]
    parquet.write_table(pyarrow.table({"id": ids, "image": images}), file)
    lines = b"".join(json.dumps({"image": image}).encode() + b"\n" for image in images)
    contents = {"parquet": file.getvalue(), "jsonl": lines}
    for suffix, content in contents.items():
        key = f"input/digits/globex/queried.{suffix}"
        platform.s3.put_object(Bucket=platform.bucket, Key=key, Body=content)

    def ended() -> dict[str, Job] | None:
        jobs = {job.format: job for job in platform.table.of_tenant("globex") if "queried." in job.input_key}
        return jobs if len(jobs) == 2 and all(job.state in FINAL for job in jobs.values()) else None

    jobs = until(ended, "both jobs end", seconds=150, every_s=0.5)
    result = platform.s3.get_object(Bucket=platform.bucket, Key=jobs["jsonl"].output_key)["Body"].read()
    outputs = [json.loads(line).get("outputs") for line in result.splitlines()]
    return Counter(str(output["label"]) for output in outputs if output)


def of_globex(query: str) -> str:
    return query.replace("'acme'", "'globex'")


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_labels_are_counted_in_the_results_of_both_kinds(
    client: Client, labels: Counter[str], kind: str
) -> None:
    query = of_globex(QUERIES[0]).replace("results_parquet", f"results_{kind}")
    found = rows_of(client, query)
    assert Counter({row["label"]: int(row["images"]) for row in found}) == labels
    assert [int(row["images"]) for row in found] == sorted(labels.values(), reverse=True)


def test_bad_rows_are_found_with_their_reasons(client: Client, labels: Counter[str]) -> None:
    [bad] = rows_of(client, of_globex(QUERIES[1]))
    assert (bad["id"], bad["row"]) == ("image-7", "7")
    assert "64" in bad["error"]


def test_captured_requests_are_counted(client: Client) -> None:
    def counted() -> dict[str, int]:
        return {row["version"]: int(row["images"]) for row in rows_of(client, QUERIES[2])}

    before = sum(counted().values())
    ask(client, IMAGES)
    until(lambda: sum(counted().values()) >= before + len(IMAGES), "the stream carries the counts", 150, 1)
