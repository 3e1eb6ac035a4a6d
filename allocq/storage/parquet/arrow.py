"""Tags as Arrow columns. The only importer of arro3, which the extra `arrow` installs."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import IO, TYPE_CHECKING, Any

from ...core.table import Table
from ...errors import MissingExtraError
from .schema import COLUMNS, VERSION, VERSION_KEY, Kind

if TYPE_CHECKING:
    from arro3.core import RecordBatch, RecordBatchReader, Schema

_COMPRESSION = "zstd(9)"
_MAGIC = b"PAR1"
_ROWS_OF_A_GROUP = 1 << 20
_ROWS_OF_A_PAGE = 1 << 18  # each page has its own times: smaller ones take more space


def _core() -> Any:
    try:
        import arro3.core
    except ImportError:
        raise _missing() from None
    return arro3.core


def _io() -> Any:
    try:
        import arro3.io
    except ImportError:
        raise _missing() from None
    return arro3.io


def _missing() -> MissingExtraError:
    return MissingExtraError(
        "Arrow and Parquet need arro3, which is not installed", "pip install 'allocq[arrow]'"
    )


def check_extra() -> None:
    """MissingExtraError if the extra is not installed, which is not imported."""
    try:
        there = all(find_spec(name) for name in ("arro3", "arro3.core", "arro3.io"))
    except ImportError:
        there = False
    if not there:
        raise _missing()


def schema(metadata: Mapping[str, str] | None = None) -> Schema:
    """The columns of COLUMNS, with the version in the metadata."""
    core = _core()
    types = {
        Kind.STRING: _dictionary_type(),
        Kind.TIME: core.DataType.timestamp("us", tz="UTC"),
        Kind.INTEGER: core.DataType.int64(),
        Kind.FLAG: core.DataType.bool(),
    }
    fields = [core.Field(each.name, types[each.kind], nullable=each.nullable) for each in COLUMNS]
    made: Schema = core.Schema(fields, metadata={VERSION_KEY: str(VERSION), **(metadata or {})})
    return made


Key = tuple[str, int, str, str]
"""file, line, module, function."""


@dataclass(slots=True)
class Names:
    """What the kernel calls some tags, one item a tag. module: "" for built-in code."""

    file: Sequence[str]
    line: Sequence[int]
    module: Sequence[str]
    function: Sequence[str]

    @classmethod
    def of(cls, table: Table) -> Names:
        """Those of a table; bytes that are not UTF-8 become U+FFFD."""
        return cls(
            _texts(table.raw_strings("file")),
            array("q", table.raw_column("line")),
            _texts(table.raw_strings("module")),
            _texts(table.raw_strings("function")),
        )

    def __len__(self) -> int:
        return len(self.file)

    def keys(self) -> list[Key]:
        """What the rows are ordered by, of each tag."""
        return list(zip(self.file, self.line, self.module, self.function, strict=True))


@dataclass(slots=True)
class Moments:
    """Some samples of one host and boot, one item a sample. time_us: since 1970; content_id: as the
    kernel's, 64 bits without a sign, None where the text was read."""

    host: str
    boot_id: str
    kernel: str
    time_us: Sequence[int]
    content_id: Sequence[int | None]
    consistent: Sequence[bool]


@dataclass(slots=True)
class Counts:
    """One item a row: which tag and which moment it is of, and what the tag held then."""

    tag: array[int]
    moment: array[int]
    bytes: array[int]
    calls: array[int]
    accurate: array[int]


def batch(moments: Moments, names: Names, counts: Counts, schema: Schema) -> RecordBatch:
    """Rows as Arrow has them."""
    core = _core()
    tags = _array(counts.tag)
    at = _array(counts.moment)
    same = _array(array("I", bytes(4 * len(counts.tag))))
    word, integer = core.DataType.string(), core.DataType.int64()

    def strings(values: Sequence[str], rows: Any) -> Any:
        return core.Array(list(values), word).cast(_dictionary_type()).take(rows)

    def numbers(values: Iterable[int]) -> Any:
        return _array(array("q", values))

    def flags(values: Iterable[int]) -> Any:
        return _array(array("B", values)).cast(core.DataType.bool())

    ids = [None if each is None else signed(each) for each in moments.content_id]
    columns = {
        "host": strings([clean(moments.host)], same),
        "time": numbers(moments.time_us).cast(core.DataType.timestamp("us", tz="UTC")).take(at),
        "boot_id": strings([clean(moments.boot_id)], same),
        "kernel": strings([clean(moments.kernel)], same),
        "content_id": core.Array(ids, integer).take(at),
        "file": strings(names.file, tags),
        "line": numbers(names.line).take(tags),
        "module": strings(names.module, tags),
        "function": strings(names.function, tags),
        "bytes": _array(counts.bytes),
        "calls": _array(counts.calls),
        "accurate": flags(counts.accurate),
        "consistent": flags(moments.consistent).take(at),
    }
    ordered = [columns[each.name] for each in COLUMNS]
    made: RecordBatch = core.RecordBatch.from_arrays(ordered, schema=schema)
    return made


def snapshot_batch(
    table: Table, moments: Moments, order: Sequence[int] | None, schema: Schema
) -> RecordBatch:
    """The rows of a table, or those that `order` names, at the one moment in `moments`."""
    rows = array("I", range(len(table)) if order is None else order)
    sizes, calls, inaccurate = (
        array("q", table.raw_column(name)) for name in ("bytes", "calls", "inaccurate")
    )
    if order is not None:
        sizes, calls, inaccurate = (
            array("q", (column[row] for row in rows)) for column in (sizes, calls, inaccurate)
        )
    counts = Counts(
        rows,
        array("I", bytes(4 * len(rows))),
        sizes,
        calls,
        array("B", (not each for each in inaccurate)),
    )
    return batch(moments, Names.of(table), counts, schema)


def reader(schema: Schema, batches: Iterable[RecordBatch]) -> RecordBatchReader:
    """A stream of batches, each made when it is asked for."""
    made: RecordBatchReader = _core().RecordBatchReader.from_batches(schema, iter(batches))
    return made


def write(file: IO[bytes], schema: Schema, batches: Iterable[RecordBatch]) -> None:
    """Write a Parquet file. OSError, and what making the batches raises."""
    target = _Target(file)
    source = _Source(batches, target)
    metadata = {key.decode(): value.decode() for key, value in schema.metadata.items()}
    io, stream = _io(), reader(schema, source)
    with _interrupts_held() as source.held:
        io.write_parquet(
            stream,
            target,
            compression=_COMPRESSION,
            dictionary_enabled=True,
            max_row_group_size=_ROWS_OF_A_GROUP,
            data_page_row_count_limit=_ROWS_OF_A_PAGE,
            key_value_metadata=metadata,
        )
    if error := source.error or target.error:
        raise error


@contextlib.contextmanager
def _interrupts_held() -> Iterator[list[int]]:
    """Answer a Ctrl-C when this is left: an exception that it raises between two steps of Rust
    would be lost, or be a panic."""
    held: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield held
        return
    before = signal.getsignal(signal.SIGINT)
    if not callable(before):
        yield held
        return
    signal.signal(signal.SIGINT, lambda number, frame: held.append(number))
    try:
        yield held
    finally:
        signal.signal(signal.SIGINT, before)
        if held:
            before(held[0], None)


class UnreadableError(Exception):
    """arro3 cannot read the file."""


def read(file: IO[bytes], rows: int) -> tuple[Schema, Iterator[RecordBatch]]:
    """The schema of a Parquet file with its metadata, and its rows in batches of at most `rows`.
    UnreadableError, from the batches, too."""
    _check_ends(file)
    with _readable():
        reader = _io().read_parquet(file, batch_size=rows)
        return reader.schema, _batches(reader)


def _check_ends(file: IO[bytes]) -> None:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 8))
    tail = file.read(8)
    file.seek(0)
    if size < 12 or tail[4:] != _MAGIC or int.from_bytes(tail[:4], "little") > size - 12:
        raise UnreadableError("it has no end")


def _batches(reader: Iterator[RecordBatch]) -> Iterator[RecordBatch]:
    while True:
        with _readable():
            rows = next(reader, None)
        if rows is None:
            return
        yield rows


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Close standard error to what Rust says of a panic."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            kept = os.dup(2)
            stack.callback(os.close, kept)
            stack.callback(os.dup2, kept, 2)
            null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
            stack.callback(os.close, null)
            os.dup2(null, 2)
        yield


@contextlib.contextmanager
def _readable() -> Iterator[None]:
    """arro3 panics about many damaged files, which is a BaseException, and says so on standard
    error."""
    with quiet(), _interrupts_held():
        try:
            yield
        except (GeneratorExit, KeyboardInterrupt, SystemExit, MemoryError):
            raise
        except BaseException as error:
            words = str(error).splitlines()
            raise UnreadableError(words[0] if words else type(error).__name__) from None


def conformed(batch: RecordBatch, schema: Schema) -> RecordBatch:
    """The same rows with the types of a schema. UnreadableError if they cannot have them."""
    if batch.schema == schema:
        return batch
    with _readable():
        columns = [
            column if column.type == field.type else column.cast(field.type)
            for column, field in zip(batch.columns, _fields(schema), strict=True)
        ]
        made: RecordBatch = _core().RecordBatch.from_arrays(columns, schema=schema)
    return made


def joined(batches: Iterable[RecordBatch], order: Sequence[int]) -> RecordBatch:
    """The rows of some batches as one, in another order."""
    core = _core()
    table = core.Table.from_batches(list(batches)).combine_chunks()
    made: RecordBatch = table.to_batches()[0].take(_array(array("I", order)))
    return made


def _fields(schema: Schema) -> list[Any]:
    return [schema.field(at) for at in range(len(schema.names))]


class _Target:
    """A file, and the first exception that writing to it raised: arro3 would panic about it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.error: BaseException | None = None

    def write(self, data: bytes) -> int:
        self._try(lambda: self._file.write(data))
        return len(data)

    def flush(self) -> None:
        self._try(self._file.flush)

    def seek(self, at: int, whence: int = 0) -> int:
        return self._file.seek(at, whence)

    def _try(self, step: Callable[[], object]) -> None:
        if self.error is None:
            try:
                step()
            except BaseException as error:
                self.error = error


class _Source:
    """Batches, until one cannot be made or written, and the exception."""

    def __init__(self, batches: Iterable[RecordBatch], target: _Target) -> None:
        self._batches, self._target = iter(batches), target
        self.error: BaseException | None = None
        self.held: list[int] = []

    def __iter__(self) -> Iterator[RecordBatch]:
        return self

    def __next__(self) -> RecordBatch:
        if self.held:
            self.error = self.error or KeyboardInterrupt()
        elif self._target.error is None:
            try:
                return next(self._batches)
            except StopIteration:
                raise
            except BaseException as error:
                self.error = error
        raise StopIteration


def signed(number: int) -> int:
    """64 bits without a sign, as two's complement."""
    return number - (1 << 64) if number >= 1 << 63 else number


def clean(text: str) -> str:
    """Without the surrogates that stand for bytes that are not UTF-8."""
    return (
        text
        if text.isascii()
        else text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    )


def _array(numbers: array[int]) -> Any:
    """Numbers as Arrow has them, without a copy."""
    core = _core()
    if numbers:
        return core.Array.from_buffer(numbers)
    kinds = {"B": core.DataType.uint8, "I": core.DataType.uint32, "q": core.DataType.int64}
    return core.Array([], kinds[numbers.typecode]())


def _texts(raw: bytes) -> list[str]:
    return raw.decode("utf-8", "replace").split("\0")[:-1]


def _dictionary_type() -> Any:
    types = _core().DataType
    return types.dictionary(types.int32(), types.string())
