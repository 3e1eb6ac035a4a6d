"""The options of `doctor`, `verify` and `tree`. Those of `query` are in options.py."""

from .options import (
    COLORS,
    TEXT,
    VIEW_PANEL,
    Option,
)

DOCTOR_FORMATS = ("table", "json")


_V = VIEW_PANEL

DOCTOR_OPTIONS = (
    Option("format", ("-o", "--format"), TEXT, _V, "How to print.", "FORMAT", DOCTOR_FORMATS),
    Option("color", ("--color",), TEXT, _V, "Color; NO_COLOR is respected.", "WHEN", COLORS),
)  # fmt: skip
