"""What Athena's queries need beyond ministack, which gives their text and the tables' files to DuckDB.

- Athena's SQL is Trino's: sqlglot writes it as DuckDB's.
- Partitions are where the table's projection says, whatever the folders are called; other files are not read:
  https://docs.aws.amazon.com/athena/latest/ug/partition-projection-setting-up.html
- A column of JSON has the type that the table gives it; an object in a column of text is its JSON.
- An answer is the object that the execution names, <id>.csv, and not one below that name.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

_TYPES = {"bigint": "BIGINT", "double": "DOUBLE", "boolean": "BOOLEAN", "int": "INTEGER"}
_FOLDER = "/ministack-athena-[^/]+/"
"""Where ministack puts the files of one query, under their keys below the table's location."""


def complete_athena() -> None:
    """Let ministack run queries of Athena's dialect over projected partitions."""
    from ministack.services import athena

    run, read, save = athena._run_duckdb, athena._table_relation, athena._save_query_results

    async def translated(query: str, database: str, catalog: str | None = None) -> Any:
        return await run(to_duckdb(query), database, catalog)

    def projected(table: Mapping[str, Any], files: Sequence[str]) -> str:
        pattern = partitions_of(table)
        if pattern is None:
            return str(read(table, files))
        found = [file for file in files if pattern.search(file)]
        if not found:
            return str(athena._empty_relation(table))
        return relation(table, pattern, athena._sql_list(found), athena._data_format(table))

    async def saved(id: str) -> None:
        result = athena._executions[id]["ResultConfiguration"]
        named = result["OutputLocation"]
        result["OutputLocation"] = named.removesuffix(f"{id}.csv")  # ministack adds the name once more
        await save(id)
        result["OutputLocation"] = named

    athena._run_duckdb, athena._table_relation = translated, projected
    athena._save_query_results = saved


def to_duckdb(query: str) -> str:
    """A query in DuckDB's dialect. Raises ValueError where it is no query of Athena's."""
    from sqlglot import errors, transpile

    strict = errors.ErrorLevel.RAISE
    try:
        statements = transpile(query, read="athena", write="duckdb", unsupported_level=strict)
    except errors.SqlglotError as error:
        raise ValueError(f"SYNTAX_ERROR: {error}") from error
    if len(statements) != 1:
        raise ValueError(f"SYNTAX_ERROR: a query is one statement; these are {len(statements)}")
    return statements[0]


def partitions_of(table: Mapping[str, Any]) -> re.Pattern[str] | None:
    """What the paths of the table's files match, with a group for each partition; None without projection."""
    given = table.get("Parameters") or {}
    template = given.get("storage.location.template", "").removeprefix(table["StorageDescriptor"]["Location"])
    if given.get("projection.enabled") != "true" or not template:
        return None

    def values(key: str) -> str:
        if given[f"projection.{key}.type"] == "injected":
            return "[^/]+"
        if given[f"projection.{key}.type"] == "enum":
            return "|".join(map(re.escape, given[f"projection.{key}.values"].split(",")))
        return re.sub("[yMdHms]", r"\\d", re.escape(given[f"projection.{key}.format"]))

    parts = re.split(r"\$\{(\w+)\}", template)
    pattern = "".join(
        f"(?P<{part}>{values(part)})" if odd % 2 else re.escape(part) for odd, part in enumerate(parts)
    )
    return re.compile(_FOLDER + pattern)


def relation(table: Mapping[str, Any], pattern: re.Pattern[str], files: str, form: str) -> str:
    """The table's columns and partitions, as DuckDB reads them from the files.

    Raises:
        ValueError: the table's files are of another kind than JSON and Parquet.
    """
    columns = {column["Name"]: column["Type"] for column in table["StorageDescriptor"]["Columns"]}
    if form == "json":
        types = ", ".join(f"\"{name}\": '{_TYPES.get(kind, 'VARCHAR')}'" for name, kind in columns.items())
        source = f"read_json({files}, format='newline_delimited', columns={{{types}}}, filename=true)"
    elif form == "parquet":
        source = f"read_parquet({files}, union_by_name=true, hive_partitioning=false, filename=true)"
    else:
        raise ValueError(f"NOT_SUPPORTED: projected partitions of {form} files are not read here")
    expression = re.sub(r"\?P<\w+>", "", pattern.pattern).replace("'", "''")
    named = [
        f"regexp_extract(filename, '{expression}', {number}) AS \"{key}\""
        for key, number in pattern.groupindex.items()
    ]
    wanted = ", ".join([*(f'"{name}"' for name in columns), *named])
    return f"(SELECT {wanted} FROM {source})"  # noqa: S608 - of names that Glue holds; values are the query's
