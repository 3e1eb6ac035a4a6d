from .analysis.diff import Change
from .errors import (
    AccessError,
    AllocqError,
    FormatError,
    InterfaceError,
    MissingExtraError,
    OutputError,
    SourceError,
    UsageError,
)
from .model import Filter, Info, Tag
from .sources.snapshot import Snapshot
from .sources.source import Live, Saved, Source, sample_path
from .sources.source import open_source as open
from .storage.recording.reader import Recording
from .units import format_size, parse_size

__version__: str

__all__ = [
    "AccessError",
    "AllocqError",
    "Change",
    "Filter",
    "FormatError",
    "Info",
    "InterfaceError",
    "Live",
    "MissingExtraError",
    "OutputError",
    "Recording",
    "Saved",
    "Snapshot",
    "Source",
    "SourceError",
    "Tag",
    "UsageError",
    "format_size",
    "open",
    "parse_size",
    "sample_path",
]
