"""The rows of files, in bounded memory: JSON Lines and Parquet to parts, and results back to one file.

A part is JSON Lines whatever the file was, so workers know one format. A row that is too long to be passed on
is replaced by a line that begins with a zero byte, which no JSON can, followed by the reason.
"""

import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import IO, Any

import orjson

from serving.jobs import JobRefused

MAX_ROW_BYTES = 2**20
REFUSED_ROW = b"\0"
# A row group is what has to be held at once: https://parquet.apache.org/docs/file-format/configurations/
MAX_ROW_GROUP_BYTES = 512 * 2**20
_CHUNK = 2**20
_UTF8_BOM = b"\xef\xbb\xbf"
_OTHER_BOMS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}


@dataclass(frozen=True, slots=True)
class PartSize:
    """Most rows and bytes of a part; it ends with the row that reaches one of them."""

    rows: int = 1000
    bytes: int = 2 * 2**20


def parts_of(lines: Iterable[bytes], size: PartSize) -> Iterator[tuple[bytes, int]]:
    """Lines without their ends, packed into parts: content and number of rows."""
    buffer, rows = bytearray(), 0
    for line in lines:
        buffer += line
        buffer += b"\n"
        rows += 1
        if rows >= size.rows or len(buffer) >= size.bytes:
            yield bytes(buffer), rows
            buffer, rows = bytearray(), 0
    if rows:
        yield bytes(buffer), rows


def json_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The rows of a JSON Lines file; blank lines are none. Raises JobRefused for another encoding."""
    rest, skipped, first = bytearray(), 0, True
    for chunk in chunks:
        rest += chunk
        if first and len(rest) >= len(_UTF8_BOM):
            _check_encoding(rest)
            first = False
            if rest.startswith(_UTF8_BOM):
                del rest[: len(_UTF8_BOM)]
        *lines, tail = rest.split(b"\n")
        for line in lines:
            yield from _row(line, skipped)
            skipped = 0
        if len(tail) > MAX_ROW_BYTES:  # go on counting what cannot be kept
            skipped, tail = skipped + len(tail), bytearray()
        rest = tail
    yield from _row(rest, skipped)


def _check_encoding(start: bytearray) -> None:
    encoding = _OTHER_BOMS.get(bytes(start[:2])) or ("UTF-16 or UTF-32" if b"\0" in start[:4] else None)
    if encoding:
        raise JobRefused(f"the file is {encoding}; JSON Lines is UTF-8")


def _row(line: bytearray, skipped: int) -> Iterator[bytes]:
    length = len(line) + skipped
    if length > MAX_ROW_BYTES:
        yield REFUSED_ROW + f"the row has {length} bytes; a row has at most {MAX_ROW_BYTES}".encode()
    elif row := bytes(line).strip():
        yield REFUSED_ROW + b"the row is not JSON" if row.startswith(REFUSED_ROW) else row


class RangeReader(io.RawIOBase):
    """A file in S3 that can be read from anywhere. `fetch(start, end)`: its bytes, the end left out."""

    def __init__(self, fetch: Callable[[int, int], bytes], size: int) -> None:
        self._fetch, self._size, self._at = fetch, size, 0

    def readable(self) -> bool:
        """It can be read."""
        return True

    def seekable(self) -> bool:
        """It can be read from anywhere."""
        return True

    def tell(self) -> int:
        """Where the next read begins."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Choose where the next read begins."""
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Read as much as the buffer takes."""
        end = min(self._at + len(buffer), self._size)
        if end <= self._at:
            return 0
        data = self._fetch(self._at, end)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def parquet_rows(source: IO[bytes] | io.RawIOBase, batch: int) -> Iterator[bytes]:
    """The rows of a Parquet file as JSON: a column for each input. Raises JobRefused."""
    import pyarrow
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(source)
        sizes = [file.metadata.row_group(index).total_byte_size for index in range(file.num_row_groups)]
        if sizes and max(sizes) > MAX_ROW_GROUP_BYTES:
            raise JobRefused(
                f"a row group has {max(sizes)} bytes, at most {MAX_ROW_GROUP_BYTES} are taken: "
                "write the file with smaller row groups"
            )
        for table in file.iter_batches(batch_size=batch):
            try:
                rows = table.to_pylist()
            except UnicodeDecodeError:  # Parquet's writers check no text; row by row, others are not lost
                yield from (_alone(table.slice(index, 1)) for index in range(table.num_rows))
                continue
            for row in rows:
                yield _encoded(row)
    except (pyarrow.ArrowException, OSError) as error:
        raise JobRefused(f"the file is no Parquet that can be read: {_first_line(error)}") from error


def _alone(table: Any) -> bytes:
    """The one row of a table."""
    try:
        return _encoded(table.to_pylist()[0])
    except UnicodeDecodeError:
        return REFUSED_ROW + b"a text of the row is not UTF-8"


def _encoded(row: dict[str, Any]) -> bytes:
    try:
        line = orjson.dumps({name: value for name, value in row.items() if value is not None})
    except TypeError:
        return REFUSED_ROW + b"a column of the row has a type that JSON does not know"
    if len(line) > MAX_ROW_BYTES:
        return REFUSED_ROW + f"the row has {len(line)} bytes; a row has at most {MAX_ROW_BYTES}".encode()
    return line


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def to_parquet(results: Iterable[bytes], target: IO[bytes]) -> None:
    """Write results (JSON Lines, part by part) as Parquet: row, id, error, and outputs as JSON text."""
    import pyarrow
    from pyarrow import parquet

    text = pyarrow.string()
    schema = pyarrow.schema(
        [("row", pyarrow.int64()), ("id", text), ("error", text), ("outputs", text)],
    )
    with parquet.ParquetWriter(target, schema, compression="zstd") as writer:
        for part in results:
            rows = [orjson.loads(line) for line in part.splitlines()]
            for row in rows:
                row["outputs"] = orjson.dumps(row["outputs"]).decode() if "outputs" in row else None
            writer.write_table(pyarrow.Table.from_pylist(rows, schema=schema))
