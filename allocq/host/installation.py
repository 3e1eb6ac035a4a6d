"""How this allocq was installed, by what installers write beside it."""

from __future__ import annotations

import os
import sys
from urllib.parse import quote

PACKAGERS = {"deb": "sudo apt-get install --reinstall allocq", "rpm": "sudo dnf reinstall allocq"}
"""Package managers, and what installs the same again."""


def installation(version: str) -> str:
    """deb, rpm, pipx, pip or another installer's name, `editable`, or `source tree`; then, behind a
    comma, whether pip had a released wheel or built one.

    https://packaging.python.org/en/latest/specifications/recording-installed-packages/ says what
    lies in a .dist-info directory.
    """
    site = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    name = f"allocq-{version}.dist-info"
    info = os.path.join(site, name)
    installer = _read(f"{info}/INSTALLER").strip()
    if not os.path.isdir(info):
        return "editable" if _is_editable(site, name) else "source tree"
    if installer in PACKAGERS:
        return installer
    if os.path.exists(f"{sys.prefix}/pipx_metadata.json"):
        installer = "pipx"
    tags = [line for line in _read(f"{info}/WHEEL").splitlines() if line.startswith("Tag: ")]
    # A released wheel says which C library it is for; one that pip built, only which machine.
    built = "built here" if any("-linux_" in tag for tag in tags) else "wheel"
    return f"{installer or 'unknown installer'}, {built}"


def _is_editable(site: str, name: str) -> bool:
    """Does an installation on the path lead to this source tree?"""
    url = f'"file://{quote(site)}"'
    return any(url in _read(f"{place}/{name}/direct_url.json") for place in sys.path)


def _read(path: str) -> str:
    """The file's text; empty where it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
