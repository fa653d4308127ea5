"""Queries over tables whose partitions are projected, in Athena's dialect."""

import csv
import io
from collections.abc import Callable

import pytest

from local_aws.completions.athena import partitions_of, to_duckdb
from tests.athena import answer
from tests.local_aws.conftest import EmbeddedAws

BUCKET = "queried"
JSON = {
    "InputFormat": "org.apache.hadoop.mapred.TextInputFormat",
    "SerdeInfo": {"SerializationLibrary": "org.openx.data.jsonserde.JsonSerDe"},
}
FILES = {
    "seen/digits/2026/05/01/09/1": '{"model": "", "rows": 3, "counts": {"label": {"7": 2}}}\n{"rows": 1}\n',
    "seen/digits/2026/05/02/10/2": '{"rows": 5, "note": "a \\"quoted\\" one"}\n',
    "seen/digits/reports/2026.json": "{}\n",
    "seen/unknown/2026/05/01/09/3": '{"rows": 100}\n',
}
Ask = Callable[[str], list[list[str]]]


@pytest.fixture(scope="module")
def ask(embedded_aws: EmbeddedAws) -> Ask:
    """The rows of a query's answer; fails with the reason that Athena gives."""
    run = embedded_aws.run
    run("s3", "create_bucket", Bucket=BUCKET)
    for key, text in FILES.items():
        run("s3", "put_object", Bucket=BUCKET, Key=key, Body=text.encode())
    columns = {"rows": "bigint", "note": "string", "counts": "string"}
    table = {
        "Name": "seen",
        "PartitionKeys": [{"Name": name, "Type": "string"} for name in ("model", "dt")],
        "StorageDescriptor": JSON
        | {
            "Location": f"s3://{BUCKET}/seen/",
            "Columns": [{"Name": name, "Type": kind} for name, kind in columns.items()],
        },
        "Parameters": {
            "projection.enabled": "true",
            "projection.model.type": "enum",
            "projection.model.values": "digits,fraud",
            "projection.dt.type": "date",
            "projection.dt.format": "yyyy/MM/dd",
            "projection.dt.range": "2026/01/01,NOW",
            "storage.location.template": f"s3://{BUCKET}/seen/${{model}}/${{dt}}/",
        },
    }
    run("glue", "create_database", DatabaseInput={"Name": "queries"})
    run("glue", "create_table", DatabaseName="queries", TableInput=table)

    def asked(query: str) -> list[list[str]]:
        place = {"OutputLocation": f"s3://{BUCKET}/answers/"}
        _, text = answer(run, query, ResultConfiguration=place)
        return list(csv.reader(io.StringIO(text)))[1:]

    return asked


def test_partitions_are_where_the_template_says_and_nothing_else_is_read(ask: Ask) -> None:
    assert ask("SELECT model, dt, sum(rows) FROM queries.seen GROUP BY 1, 2 ORDER BY 2") == [
        ["digits", "2026/05/01", "4"],
        ["digits", "2026/05/02", "5"],
    ]
    assert ask("SELECT count(*) FROM queries.seen WHERE model = 'digits' AND dt > '2026/05/01'") == [["1"]]


def test_an_object_in_a_column_of_text_is_its_json(ask: Ask) -> None:
    query = "SELECT json_extract_scalar(counts, '$.label[\"7\"]'), note FROM queries.seen ORDER BY rows DESC"
    assert ask(query) == [["", 'a "quoted" one'], ["2", ""], ["", ""]]


def test_a_table_without_files_has_no_rows(ask: Ask) -> None:
    assert ask("SELECT count(*) FROM queries.seen WHERE model = 'fraud'") == [["0"]]


@pytest.mark.parametrize("query", ["SELEC 1", "SELECT 1; SELECT 2"])
def test_what_is_no_query_fails_and_says_so(ask: Ask, query: str) -> None:
    with pytest.raises(ValueError, match="SYNTAX_ERROR"):
        ask(query)


def test_functions_of_trino_are_written_as_duckdbs() -> None:
    assert (
        to_duckdb("SELECT date_format(current_date, '%Y-%m-%d')")
        == "SELECT STRFTIME(CURRENT_DATE, '%Y-%m-%d')"
    )


def test_a_table_without_projection_is_left_to_ministack() -> None:
    assert partitions_of({"StorageDescriptor": {"Location": "s3://b/x/"}, "Parameters": {}}) is None
