"""Show which lines of kernel source hold the memory.

    import allocq

    with allocq.open() as source:                      # the running kernel
        for tag in source.read(allocq.Filter(files=["rapl.c"])):
            print(tag.bytes, tag.calls, tag.file, tag.line)

    with allocq.open("saved.txt") as source:           # a saved /proc/allocinfo
        before = source.read(allocq.Filter(min_size="1M"))
        after = source.read(allocq.Filter(min_size="1M"))
        for change in before.diff(after):              # largest growth first
            print(change.bytes, change.file, change.line)

A Snapshot is a sequence of Tag; pandas.DataFrame(snapshot.to_dicts()) is the table of
`allocq query -o csv`. With the extra `arrow`, a Snapshot and a Recording are Arrow streams, which
pandas, polars, DuckDB and pyarrow read. Nothing here prints or exits; failures raise AllocqError. A
source can be read once at a time.
"""

# Import nothing here: `python -m allocq` runs this file before __main__.py removes the current
# directory from sys.path. What the names are is in __init__.pyi.
__version__ = "0.1.0"

_WHERE = {
    "AccessError": "errors",
    "AllocqError": "errors",
    "Change": "analysis.diff",
    "Filter": "model",
    "FormatError": "errors",
    "Info": "model",
    "InterfaceError": "errors",
    "Live": "sources.source",
    "MissingExtraError": "errors",
    "OutputError": "errors",
    "Recording": "storage.recording.reader",
    "Saved": "sources.source",
    "Snapshot": "sources.snapshot",
    "Source": "sources.source",
    "SourceError": "errors",
    "Tag": "model",
    "UsageError": "errors",
    "format_size": "units",
    "open": "sources.source",
    "parse_size": "units",
    "sample_path": "sources.source",
}

__all__ = list(_WHERE)


def __getattr__(name: str) -> object:
    if name not in _WHERE:
        raise AttributeError(f"module 'allocq' has no attribute '{name}'")
    from importlib import import_module

    module = import_module(f"{__name__}.{_WHERE[name]}")
    value = getattr(module, "open_source" if name == "open" else name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
