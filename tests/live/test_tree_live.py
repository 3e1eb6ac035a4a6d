"""`allocq tree` on real kernels: growth and removal show up."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from command import allocq

if TYPE_CHECKING:
    from conftest import Modprobe


def tree(*words: str) -> dict[str, Any]:
    done = allocq("tree", "-o", "json", *words)
    assert done.status in (0, 1) and done.err == ""
    document: dict[str, Any] = json.loads(done.out)
    return document


def below(node: dict[str, Any], *names: str) -> dict[str, Any] | None:
    for name in names:
        found = [child for child in node["children"] if child["name"] == name]
        if not found:
            return None
        node = found[0]
    return node


@pytest.mark.parametrize("interface", ["auto", "ioctl", "text"])
def test_groups_are_the_sums_of_their_tags(interface: str) -> None:
    document = tree("--interface", interface)
    stack = [document["tree"]]
    tags = 0
    while stack:
        node = stack.pop()
        if node["children"]:
            for name in ("bytes", "calls", "tags", "slab_bytes"):
                assert node[name] == sum(child[name] for child in node["children"])
        else:
            assert node["kind"] == "line"
            tags += node["tags"]
        stack += node["children"]
    text = Path("/proc/allocinfo").read_bytes()
    assert tags == document["total"]["tags"] == len(text.splitlines()) - 2
    pages = [line.split() for line in text.splitlines() if b"func:alloc_slab_page" in line]
    assert document["total"]["slab_bytes"] == pytest.approx(
        sum(int(words[0]) for words in pages), rel=0.2
    )


def test_a_module_is_shown_and_shown_gone(modprobe: Modprobe) -> None:
    modprobe("xfs")
    xfs = below(tree()["tree"], "fs", "xfs")
    assert xfs is not None and xfs["tags"] > 100 and xfs["bytes"] > 0
    modprobe.remove("xfs")
    assert below(tree()["tree"], "fs", "xfs") is None


def test_what_grows_is_seen_to_grow() -> None:
    def pipes() -> int:
        found = below(tree("-F", "alloc_pipe_info")["tree"], "fs", "pipe.c", "alloc_pipe_info")
        assert found is not None
        return int(found["calls"])

    before = pipes()
    ends = [end for _ in range(200) for end in os.pipe()]
    during = pipes()
    for end in ends:
        os.close(end)
    assert during >= before + 200
    assert pipes() <= during - 200


@pytest.mark.guest(kernel="old")
def test_from_the_text_alone() -> None:
    document = tree()
    assert document["source"]["interface"] == "text"
    assert document["total"]["slab_bytes"] > 0
