"""The report of `check` as JUnit XML, which CI systems read."""

from collections.abc import Sequence
from xml.etree import ElementTree

from .terminal import printable


def report(
    seconds: float,
    command: Sequence[str],
    failure: str,
    verdict: str,
    details: Sequence[str],
) -> bytes:
    """One suite of at most two cases with stable names: `command`, an error if it failed
    (`failure`), and `growth`, a failure if `details` list what grew. Characters that XML does not
    allow are escaped. seconds: how long the command took."""
    cases = ["command", "growth"] if command else ["growth"]
    suite = ElementTree.Element(
        "testsuite",
        name="allocq check",
        tests=str(len(cases)),
        failures=str(int(bool(details))),
        errors=str(int(bool(failure))),
        skipped="0",
        time=f"{seconds:.3f}",
    )
    for name in cases:
        case = ElementTree.SubElement(suite, "testcase", classname="allocq.check", name=name)
        case.set("time", f"{seconds if name == cases[0] else 0:.3f}")
        if name == "command" and failure:
            ElementTree.SubElement(case, "error", message=printable(failure)).text = printable(
                " ".join(command)
            )
        if name == "growth" and details:
            failed = ElementTree.SubElement(case, "failure", message=printable(verdict))
            failed.text = "\n".join(printable(line) for line in details)
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + text.encode() + b"\n"
