"""The SPDX 2.3 bill of materials of a release, and its sums."""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from pathlib import Path

from .machines import Machine, Machinery
from .packages import download, iso, license_of, metadata_of, newest_changes

SUMS = "SHA256SUMS"
MUSL = {
    "name": "musl",
    "SPDXID": "SPDXRef-musl",
    "downloadLocation": "https://musl.libc.org/",
    "filesAnalyzed": False,
    "licenseConcluded": "MIT",
    "licenseDeclared": "MIT",
    "copyrightText": "NOASSERTION",
    "comment": "The C library that is linked into every program allocq, as ziglang has it.",
}


def write_sums(output: Path) -> None:
    """SHA256SUMS of every other file, for `sha256sum -c`."""
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(output.iterdir())
        if path.name != SUMS
    ]
    (output / SUMS).write_text("".join(lines))


def write_bill(machinery: Machinery, machines: list[Machine], output: Path) -> Path:
    """What each released file is, and what is in it."""
    version, _ = newest_changes()
    released = sorted(path for path in output.iterdir() if path.name != SUMS)
    files = [_file(path) for path in released]
    needed = {wheel.name: wheel for machine in machines for wheel in download(machinery, machine)}
    bundled = [_package(wheel) for _, wheel in sorted(needed.items())]
    allocq = {
        "name": "allocq",
        "SPDXID": "SPDXRef-allocq",
        "versionInfo": version,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "licenseConcluded": "MIT",
        "licenseDeclared": "MIT",
        "copyrightText": "Copyright (c) 2026 the allocq authors",
        "externalRefs": [_purl("allocq", version)],
    }
    relations = [("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-allocq")]
    for path, entry in zip(released, files, strict=True):
        relations.append((str(entry["SPDXID"]), "GENERATED_FROM", "SPDXRef-allocq"))
        if path.suffix != ".gz":
            relations.append((str(entry["SPDXID"]), "STATIC_LINK", "SPDXRef-musl"))
        if path.suffix in (".deb", ".rpm"):
            (machine,) = [each for each in machines if _is_for(path, each)]
            inside = {wheel.name for wheel in download(machinery, machine)}
            relations += [
                (str(entry["SPDXID"]), "CONTAINS", str(package["SPDXID"]))
                for package in bundled
                if package["packageFileName"] in inside
            ]
    seed = "".join(str(entry["checksums"]) for entry in files)
    document = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"allocq-{version}",
        "documentNamespace": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, seed)}",
        "creationInfo": {
            "created": iso(machinery.epoch),
            "creators": ["Organization: the allocq authors", "Tool: tests/build-release"],
        },
        "packages": [allocq, MUSL, *bundled],
        "files": files,
        "relationships": [
            {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other}
            for one, kind, other in relations
        ],
    }
    path = output / f"allocq-{version}.spdx.json"
    path.write_text(json.dumps(document, indent=1) + "\n")
    return path


def _is_for(path: Path, machine: Machine) -> bool:
    return path.name.endswith((f"_{machine.deb}.deb", f".{machine.rpm}.rpm"))


def _sums(path: Path) -> list[dict[str, str]]:
    data = path.read_bytes()
    return [
        {"algorithm": name, "checksumValue": hashlib.new(name, data).hexdigest()}
        for name in ("SHA1", "SHA256")
    ]


def _file(path: Path) -> dict[str, object]:
    return {
        "fileName": f"./{path.name}",
        "SPDXID": f"SPDXRef-{_identifier(path.name)}",
        "checksums": _sums(path),
        "licenseConcluded": "NOASSERTION",
        "copyrightText": "NOASSERTION",
    }


def _identifier(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]", "-", name)


def _purl(name: str, version: str) -> dict[str, str]:
    return {
        "referenceCategory": "PACKAGE-MANAGER",
        "referenceType": "purl",
        "referenceLocator": f"pkg:pypi/{name}@{version}",
    }


def _package(wheel: Path) -> dict[str, object]:
    """One that deb and rpm bring along, from the wheel's own metadata."""
    metadata = metadata_of(wheel)
    return {
        "name": metadata["Name"],
        "SPDXID": f"SPDXRef-{_identifier(wheel.name)}",
        "versionInfo": metadata["Version"],
        "packageFileName": wheel.name,
        "checksums": _sums(wheel),
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": license_of(wheel) or "NOASSERTION",
        "copyrightText": "NOASSERTION",
        "externalRefs": [_purl(metadata["Name"].lower(), metadata["Version"])],
    }
