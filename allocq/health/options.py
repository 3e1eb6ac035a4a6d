"""The options of `doctor` and `verify`."""

from ..options import COLORS, TEXT, VIEW_PANEL, Option

DOCTOR_FORMATS = ("table", "json")
VERIFY_FORMATS = ("tap", "json")

_V = VIEW_PANEL

DOCTOR_OPTIONS = (
    Option("format", ("-o", "--format"), TEXT, _V, "How to print.", "FORMAT", DOCTOR_FORMATS),
    Option("color", ("--color",), TEXT, _V, "Color; NO_COLOR is respected.", "WHEN", COLORS),
)  # fmt: skip

VERIFY_OPTIONS = (
    Option("load_module", ("--load-module",), TEXT, "What is checked",
           "Load this module that is not loaded yet, a name or a .ko file's path, check, and unload"
           " it again.", "NAME"),
    Option("rounds", ("--rounds",), TEXT, "What is checked",
           "Random filters, and values of each field at most (default: 100).", "N"),
    Option("seed", ("--seed",), TEXT, "What is checked",
           "What the random choices are made from; a run says its own.", "N"),
    Option("format", ("-o", "--format"), TEXT, _V,
           "How to print; tap is what kselftest and prove read.", "FORMAT", VERIFY_FORMATS),
)  # fmt: skip
