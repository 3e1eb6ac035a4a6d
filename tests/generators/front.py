"""The flags of `query` for the native program."""

from __future__ import annotations

from . import declared

HEAD = """\
/* SPDX-License-Identifier: MIT */
/* Made by tests/generate.py from allocq/options; do not edit. */
"""


def header(version: str) -> str:
    """core/flags.h: an enum of the options, a table of their spellings, the version."""
    query = next(command for command in declared.COMMANDS if command.name == "query")
    names = "".join(f"\t{_constant(option)},\n" for option in query.options)
    rows = "".join(_rows(option) for option in query.options)
    asks = "".join(f'"{flag}", ' for flag in declared.VERSION.flags)
    return (
        f"{HEAD}enum {{\n{names}}};\n\nstatic const struct flag flags[] = {{\n{rows}}};\n\n"
        f"static const char *const version_flags[] = {{ {asks}NULL }};\n"
        f'static const char version[] = "{version}";\n'
    )


def _constant(option: declared.Option) -> str:
    return f"OPTION_{option.name.upper()}"


def _rows(option: declared.Option) -> str:
    rows = []
    for pair in option.flags:
        on, _, off = pair.partition("/")
        kind = "TAKES_VALUE" if declared.takes_value(option) else "TAKES_NOTHING"
        rows.append((on, kind))
        if off:
            rows.append((off, "SWITCHES_OFF"))
    return "".join(
        f'\t{{ "{flag.lstrip("-")}", {_constant(option)}, {kind} }},\n' for flag, kind in rows
    )
