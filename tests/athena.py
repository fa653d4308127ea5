"""Asking Athena, as its clients do."""

from collections.abc import Callable
from typing import Any

from tests.waiting import until


def answer(run: Callable[..., Any], query: str, **where: Any) -> tuple[str, str]:
    """Key and text of the CSV that Athena leaves in S3 as a query's answer.

    `run` takes service, operation and parameters; `where` says what the execution needs beyond the query.

    Raises:
        ValueError: the query failed; the reason is Athena's.
    """
    id = run("athena", "start_query_execution", QueryString=query, **where)["QueryExecutionId"]

    def ended() -> Any:
        execution = run("athena", "get_query_execution", QueryExecutionId=id)["QueryExecution"]
        return execution if execution["Status"]["State"] in ("SUCCEEDED", "FAILED") else None

    execution = until(ended, "the query ends", every_s=0.1)
    if execution["Status"]["State"] == "FAILED":
        raise ValueError(execution["Status"]["StateChangeReason"])
    bucket, _, key = execution["ResultConfiguration"]["OutputLocation"].removeprefix("s3://").partition("/")
    text: str = run("s3", "get_object", Bucket=bucket, Key=key)["Body"].read().decode()
    return key, text
