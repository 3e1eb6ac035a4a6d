"""Runs the questions: in DuckDB in this process, or on a Spark cluster."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from ..errors import MissingExtraError, SourceError
from ..host.signals import done_at_the_end
from ..host.temporary import temporary_directory
from ..storage.parquet.schema import COLUMNS, Kind
from .files import DataFile, escaped
from .footers import microseconds, moment
from .losses import first_line, loss, watched

_NAMES = [column.name for column in COLUMNS]
MEMORY = "256MiB"
"""What DuckDB may hold; Python, Ibis and the results come to about as much again."""
INSTALL, INSTALL_SPARK = "pip install 'allocq[fleet]'", "pip install 'allocq[spark]'"


Columns = Mapping[str, tuple[Kind, Iterable[Any]]]
"""The kind and the values of each column. Times are in microseconds since 1970."""
_DUCKDB_VALUES = {
    Kind.STRING: "unnest(?::VARCHAR[])",
    Kind.INTEGER: "unnest(?::BIGINT[])",
    Kind.TIME: "unnest(?::BIGINT[])",
}


class Engine(Protocol):
    """What answers questions. footers: DuckDB's connection, which reads the footers for all."""

    footers: Any

    def data(self, files: Sequence[DataFile]) -> Any:
        """The rows of the files, as an Ibis table."""

    def table(self, columns: Columns) -> Any:
        """Values of this process as an Ibis table."""

    def keep(self, expression: Any) -> Any:
        """Compute an expression once; what it is built on is not read again."""

    def rows(self, expression: Any) -> list[dict[str, Any]]:
        """Compute an expression and fetch its rows. Lost."""


@contextlib.contextmanager
def open_engine(kind: str, master: str | None) -> Iterator[Engine]:
    """The engine `duckdb`, or `spark` at `master`. SourceError where it is missing, or cannot be
    reached."""
    try:
        import duckdb
        import ibis  # noqa: F401
    except ModuleNotFoundError as error:
        raise _missing(error, INSTALL) from None
    with _interruptible(), _scratch() as scratch:
        try:
            footers = duckdb.connect(config=_settings(scratch))
        except duckdb.OutOfMemoryException as error:
            raise _too_large(error) from None
        try:
            footers.execute("SET TimeZone = 'UTC'")
            # Where __main__ is no file, DuckDB takes Python for a terminal's, and standard output
            # for its own.
            footers.execute("SET enable_progress_bar = false")
            if kind == "duckdb":
                yield DuckEngine(scratch, footers)
            else:
                with _spark(str(master), scratch) as session:
                    yield SparkEngine(session, footers)
        except duckdb.OutOfMemoryException as error:
            raise _too_large(error) from None
        finally:
            footers.close()


def _missing(error: ImportError, install: str) -> MissingExtraError:
    return MissingExtraError(f"fleet needs {error.name}, which is not installed", install)


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Let a Ctrl-C come through DuckDB and the JVM as an exception, so that nothing is left in the
    temporary directory."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    except RuntimeError as error:
        if str(error) == "Query interrupted":  # as DuckDB has it
            raise KeyboardInterrupt from None
        raise
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    """A directory of one's own for what does not fit into memory."""
    with contextlib.ExitStack() as stack:
        try:
            # Named before it is made, so that no signal comes between that and its removal.
            folder = Path(temporary_directory(), f"allocq-fleet-{secrets.token_hex(16)}")
            stack.enter_context(done_at_the_end(lambda: shutil.rmtree(folder, ignore_errors=True)))
            folder.mkdir(0o700)
        except OSError as error:
            raise SourceError(
                f"cannot make a directory in {temporary_directory()}: {error.strerror}",
                "set TMPDIR",
            ) from None
        yield folder


def _settings(scratch: Path) -> dict[str, Any]:
    return {
        "threads": max(1, len(os.sched_getaffinity(0))),
        "memory_limit": MEMORY,
        "temp_directory": str(scratch),
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "allow_community_extensions": False,
        "extension_directory": str(scratch),
        "preserve_insertion_order": False,
    }


class DuckEngine:
    """DuckDB in this process."""

    def __init__(self, scratch: Path, footers: Any) -> None:
        import ibis

        self.footers = footers
        self._ibis = ibis.duckdb.from_connection(footers)
        self._files: Sequence[DataFile] = ()
        self._made = 0

    def data(self, files: Sequence[DataFile]) -> Any:
        self._files = files
        paths = [escaped(file.path) for file in files]
        table = self._ibis.read_parquet(paths, hive_partitioning=False)
        return table.select(*_NAMES)

    def table(self, columns: Columns) -> Any:
        # Not with ibis.memtable or pyarrow.array, which import pandas: 0.3 s of a question's 2.
        self._made += 1
        name = f"values_{self._made}"
        values = ", ".join(
            f'{_DUCKDB_VALUES[kind]} AS "{column}"' for column, (kind, _) in columns.items()
        )
        meant = ", ".join(
            f"{moment(column)} AS {column}" if kind is Kind.TIME else f'"{column}"'
            for column, (kind, _) in columns.items()
        )
        self.footers.execute(
            f"CREATE TEMP TABLE {name} AS SELECT {meant} FROM (SELECT {values})",
            [list(each) for _, each in columns.values()],
        )
        return self._ibis.table(name)

    def keep(self, expression: Any) -> Any:
        self._made += 1
        with watched(self.footers, self._files):
            return self._ibis.create_table(f"kept_{self._made}", expression, temp=True)

    def rows(self, expression: Any) -> list[dict[str, Any]]:
        # Not with to_pyarrow, which imports pandas too. Python has no times after the year 9999.
        times = [name for name, kind in expression.schema().items() if kind.is_timestamp()]
        columns = ", ".join(f"{microseconds(name)} AS {name}" for name in times)
        query = f"SELECT * {f'REPLACE ({columns})' if times else ''} FROM "
        with watched(self.footers, self._files):
            self.footers.execute(f"{query} ({self._ibis.compile(expression)})")
            names = [column[0] for column in self.footers.description]
            return [dict(zip(names, row, strict=True)) for row in self.footers.fetchall()]


def rows_of(table: Any) -> list[dict[str, Any]]:
    """The rows of a pyarrow table; times as microseconds since 1970, whatever the year."""
    import pyarrow

    for at, column in enumerate(table.schema):
        if pyarrow.types.is_timestamp(column.type):
            times = table.column(at).cast(pyarrow.timestamp("us", "UTC")).cast(pyarrow.int64())
            table = table.set_column(at, column.name, times)
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def _too_large(error: Exception) -> SourceError:
    return SourceError(
        f"DuckDB ran out of memory or of room in {temporary_directory()}",
        "ask for less with --since, --host or --kernel, set TMPDIR, or use --engine spark",
    )


@contextlib.contextmanager
def _spark(master: str, scratch: Path) -> Iterator[Any]:
    try:
        from pyspark.sql import SparkSession
    except ModuleNotFoundError as error:
        raise _missing(error, INSTALL_SPARK) from None
    if shutil.which("java") is None and not os.environ.get("JAVA_HOME"):
        raise SourceError(
            "Spark needs Java, and there is none", "on Debian: apt install openjdk-17-jre-headless"
        )
    settings: Mapping[str, str] = {
        "spark.sql.session.timeZone": "UTC",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.warehouse.dir": str(scratch / "warehouse"),
        "spark.local.dir": str(scratch),
        "spark.sql.catalogImplementation": "in-memory",
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        "spark.log.level": "FATAL",
        "spark.sql.shuffle.partitions": "8",
    }
    builder = SparkSession.builder.master(master).appName("allocq fleet")
    for name, value in settings.items():
        builder = builder.config(name, value)
    with _quiet():
        try:
            session = builder.getOrCreate()
        except Exception as error:
            raise SourceError(f"Spark at {master}: {first_line(error)}") from None
        try:
            yield session
        finally:
            session.stop()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the JVM logs off standard error; allocq's own lines are written there directly."""
    keep = os.dup(2)
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(keep, 2)
        os.close(null)
        os.close(keep)


class SparkEngine:
    """A Spark session."""

    def __init__(self, session: Any, footers: Any) -> None:
        import ibis

        self.footers = footers
        self._session = session
        self._ibis = ibis.pyspark.connect(session)
        self._files: Sequence[DataFile] = ()
        self._made = 0

    def data(self, files: Sequence[DataFile]) -> Any:
        self._files = files
        # Every file is named: no directory is listed, and no column made from its name.
        reader = self._session.read.option("recursiveFileLookup", "true")
        with self._watched():
            frame = reader.parquet(*(hadoop_path(file.path) for file in files))
            return self._table(frame).select(*_NAMES)

    def table(self, columns: Columns) -> Any:
        import pyarrow

        types = {
            Kind.STRING: pyarrow.string(),
            Kind.INTEGER: pyarrow.int64(),
            Kind.TIME: pyarrow.int64(),
        }
        made = {
            name: pyarrow.array(list(each), types[kind]) for name, (kind, each) in columns.items()
        }
        for name, (kind, _) in columns.items():
            if kind is Kind.TIME:
                made[name] = made[name].cast(pyarrow.timestamp("us", "UTC"))
        with self._watched():
            return self._table(self._session.createDataFrame(pyarrow.table(made)))

    def _table(self, frame: Any) -> Any:
        self._made += 1
        name = f"allocq_{self._made}"
        frame.createOrReplaceTempView(name)
        return self._ibis.table(name)

    def keep(self, expression: Any) -> Any:
        with self._watched():
            frame = self._session.sql(self._ibis.compile(expression)).persist()
            frame.count()
            return self._table(frame)

    def rows(self, expression: Any) -> list[dict[str, Any]]:
        with self._watched():
            return rows_of(self._ibis.to_pyarrow(expression))

    @contextlib.contextmanager
    def _watched(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            raise loss(self.footers, self._files, "Spark", error) from None


def hadoop_path(path: str) -> str:
    """A path that Spark does not read as a glob."""
    return "file://" + "".join(f"\\{c}" if c in "*?[]{}\\" else c for c in path)
