"""Files to rows: encodings, blank and endless lines, bounded memory, Parquet that is none."""

import io
import tracemalloc
from collections.abc import Iterator

import pyarrow
import pytest
from pyarrow import parquet

from serving.jobs import JobRefused
from serving.jobs_rows import (
    MAX_ROW_BYTES,
    REFUSED_ROW,
    PartSize,
    RangeReader,
    json_lines,
    parquet_rows,
    parts_of,
    to_parquet,
)


def chunked(data: bytes, size: int) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_rows_do_not_depend_on_how_the_bytes_arrive(size: int) -> None:
    data = '\ufeff{"a": "ü"}\r\n\n  \n{"b": 1}\n{"c": 2}'.encode()
    assert list(json_lines(chunked(data, size))) == ['{"a": "ü"}'.encode(), b'{"b": 1}', b'{"c": 2}']


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_another_encoding_is_named(encoding: str) -> None:
    with pytest.raises(JobRefused, match="UTF-16"):
        list(json_lines([b'{"a": 1}\n'.decode().encode(encoding)]))


@pytest.mark.parametrize("size", [1000, MAX_ROW_BYTES, 5 * MAX_ROW_BYTES])
def test_a_row_without_end_is_one_error_and_the_others_stay(size: int) -> None:
    data = b'{"a": 1}\n' + b"x" * (3 * MAX_ROW_BYTES + 5) + b'\n{"b": 2}\n'
    first, long, last = json_lines(chunked(data, size))
    assert (first, last) == (b'{"a": 1}', b'{"b": 2}')
    assert long.startswith(REFUSED_ROW + b"the row has 3145733 bytes")


def test_a_row_of_the_largest_size_passes_and_one_byte_more_does_not() -> None:
    fits, over = b"x" * MAX_ROW_BYTES, b"x" * (MAX_ROW_BYTES + 1)
    rows = list(json_lines(chunked(fits + b"\n" + over, 65536)))
    assert rows[0] == fits
    assert rows[1].startswith(REFUSED_ROW)


def test_no_row_of_a_client_is_taken_for_a_refused_one() -> None:
    (row,) = json_lines([b'{"a":1}\n'.replace(b'{"a":1}', b"\t\t\t\t\0fake")])
    assert row == REFUSED_ROW + b"the row is not JSON"


def test_parts_end_at_rows_or_bytes() -> None:
    lines = [b"12345"] * 7
    assert [rows for _, rows in parts_of(lines, PartSize(rows=3))] == [3, 3, 1]
    assert [rows for _, rows in parts_of(lines, PartSize(bytes=12))] == [2, 2, 2, 1]
    assert b"".join(content for content, _ in parts_of(lines, PartSize(rows=2))) == b"12345\n" * 7


def test_a_file_larger_than_the_memory_that_it_may_take() -> None:
    """64 MiB of lines, made while they are read; `benchmarks/jobs.py` does it with 1 GB."""
    chunk = (b'{"image": [' + b"1.0, " * 100 + b"1.0]}\n") * 2000
    chunks = (chunk for _ in range(64 * 2**20 // len(chunk)))
    tracemalloc.start()
    try:
        rows = sum(count for _, count in parts_of(json_lines(chunks), PartSize()))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert rows == 2000 * (64 * 2**20 // len(chunk))
    assert peak < 16 * 2**20


def parquet_bytes(**columns: list[object]) -> bytes:
    file = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), file)
    return file.getvalue()


def test_parquet_is_read_by_ranges_and_not_as_a_whole() -> None:
    data = parquet_bytes(image=[[float(i)] * 64 for i in range(5000)], id=list(range(5000)))
    asked: list[int] = []

    def fetch(start: int, end: int) -> bytes:
        asked.append(end - start)
        return data[start:end]

    rows = list(parquet_rows(io.BufferedReader(RangeReader(fetch, len(data)), 4096), 100))
    assert len(rows) == 5000
    assert rows[7].startswith(b'{"image":[7.0,')
    assert max(asked) < len(data)


@pytest.mark.parametrize("keep", [0, 4, 100, -1, -9])
def test_truncated_parquet_is_refused(keep: int) -> None:
    data = parquet_bytes(x=[1.0, 2.0])[:keep]
    with pytest.raises(JobRefused, match="no Parquet"):
        list(parquet_rows(io.BytesIO(data), 10))


def test_a_column_that_json_cannot_say_fails_row_by_row() -> None:
    rows = list(parquet_rows(io.BytesIO(parquet_bytes(x=[b"\xff", None], y=[1, 2])), 10))
    assert rows[0].startswith(REFUSED_ROW)
    assert rows[1] == b'{"y":2}'


def test_results_as_parquet() -> None:
    file = io.BytesIO()
    part = b'{"row":0,"outputs":{"y":[1.5]}}\n{"row":1,"id":"a","error":"bad"}\n'
    to_parquet(iter([part, b'{"row":2,"outputs":{"y":[2.5]}}\n']), file)
    file.seek(0)
    assert parquet.read_table(file).to_pylist() == [
        {"row": 0, "id": None, "error": None, "outputs": '{"y":[1.5]}'},
        {"row": 1, "id": "a", "error": "bad", "outputs": None},
        {"row": 2, "id": None, "error": None, "outputs": '{"y":[2.5]}'},
    ]


def test_a_text_that_is_not_utf8_is_one_error_and_the_other_rows_of_the_file_stay() -> None:
    texts = pyarrow.array([b"good", "ü".encode("latin-1"), b"also", None], pyarrow.binary())
    column = pyarrow.Array.from_buffers(pyarrow.string(), 4, texts.buffers())
    target = io.BytesIO()
    parquet.write_table(pyarrow.table({"input": column, "n": [1, 2, 3, 4]}), target)
    target.seek(0)
    rows = list(parquet_rows(target, 3))
    assert rows[0] == b'{"input":"good","n":1}'
    assert rows[1] == REFUSED_ROW + b"a text of the row is not UTF-8"
    assert rows[2:] == [b'{"input":"also","n":3}', b'{"n":4}']
