"""The tsv format; tab, newline, return and backslash are escaped with a backslash."""

from .csv import Writer as _Csv

_ESCAPES = str.maketrans({"\t": "\\t", "\n": "\\n", "\r": "\\r", "\\": "\\\\"})


class Writer(_Csv):
    """The same columns as CSV."""

    name = "tsv"
    separator = "\t"

    def cell(self, text: str) -> str:
        """One value, escaped if necessary."""
        return text.translate(_ESCAPES)
