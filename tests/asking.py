"""Generated questions: filters of `query` as hypothesis draws them."""

from __future__ import annotations

import functools

from hypothesis import strategies as st
from oracle import Asked, Tag


def where_of(tag: Tag) -> str:
    """As tables show it."""
    module = "" if tag.module is None else f" [{tag.module}]"
    return f"{tag.file}:{tag.line}{module}"


@functools.cache
def questions(tags: tuple[Tag, ...]) -> st.SearchStrategy[Asked]:
    """Filters that have something to find in these tags."""
    files = sorted({tag.file for tag in tags})
    file = st.sampled_from(files)
    functions = st.sampled_from(sorted({tag.function for tag in tags}))
    modules = sorted({tag.module for tag in tags if tag.module}) or ["xfs"]
    lines = st.sampled_from(sorted({tag.line for tag in tags}))
    some = st.sampled_from(sorted({tag.bytes for tag in tags})) | st.integers(-1, 1 << 26)
    calls = st.sampled_from(sorted({tag.calls for tag in tags})) | st.integers(-1, 1 << 16)
    patterns = st.one_of(
        file,
        file.map(lambda name: name.rpartition("/")[2]),
        file.map(lambda name: "/".join(name.split("/")[-2:])),
        file.map(lambda name: name.split("/")[0] + "/*"),
        file.map(lambda name: name.split("/")[0] or name),
        file.map(lambda name: "/".join(name.split("/")[:2]) + "/"),
        file.map(lambda name: "./" + name),
        file.map(lambda name: (name.split("/")[-2] or name) if "/" in name else name),
        st.sampled_from([f"{tag.file}:{tag.line}" for tag in tags]),
        st.sampled_from([f"{tag.file}:{tag.line}:" for tag in tags]),
        st.sampled_from([where_of(tag) for tag in tags]),
        st.sampled_from([f"{where_of(tag)} func:{tag.function} " for tag in tags]),
        st.sampled_from(
            [f"{tag.file.rpartition('/')[2]}:{tag.line}-{tag.line + 200}" for tag in tags]
        ),
        file.map(lambda name: "*/" + name.rpartition("/")[2]),
        file.map(lambda name: name[:-1] + "?"),
        st.sampled_from(
            ["*.h", "*.c", "mm/*", "fs/*", "*", "[a-k]*", "*[!c]", "nothing.c", "c", ".c"]
        ),
    )
    regexps = st.one_of(
        st.sampled_from(["slab", "^mm/", r"func:\w+_init\b", "ALLOC", ":1[0-9]{2} ", "$"]),
        st.sampled_from([r"\[xfs\]", "k.?alloc|page"]),
        functions,
    )
    ranges = st.tuples(lines, st.integers(0, 500)).map(
        lambda pair: (pair[0], min(sum(pair), (1 << 64) - 1))
    )

    def few(strategy: st.SearchStrategy[str]) -> st.SearchStrategy[list[str]]:
        return st.just([]) | st.lists(strategy, min_size=1, max_size=3)

    def make(**asked: object) -> Asked:
        made = Asked(**asked)  # type: ignore[arg-type]
        for low, high in (("min_size", "max_size"), ("min_calls", "max_calls")):
            least, most = getattr(made, low), getattr(made, high)
            if least is not None and most is not None and least > most:
                made = made._replace(**{low: most, high: least})
        if made.builtin:
            made = made._replace(modules=())
        if not made.regexps:
            made = made._replace(invert=False)
        return made

    maybe = st.sampled_from([False, False, False, True])
    return st.builds(
        make,
        files=few(patterns),
        functions=few(
            functions
            | functions.map(lambda name: f"func:{name}")
            | functions.map(lambda name: f"{name}()")
            | functions.map(lambda name: f"{name}.isra.0+0x1c/0x80")
            | st.sampled_from(["*alloc*", "__*", "kmem_*", "?", "nothing"])
        ),
        modules=few(
            st.sampled_from(
                [
                    *modules,
                    "*",
                    "x*",
                    "nothing",
                    f"[{modules[0]}]",
                    f"{modules[-1]}.ko",
                    f"kernel/drivers/{modules[0]}.ko.xz",
                ]
            )
        ),
        builtin=maybe,
        lines=st.just([]) | st.lists(ranges | lines.map(lambda n: (n, n)), max_size=3),
        min_size=st.none() | some,
        max_size=st.none() | some,
        min_calls=st.none() | calls,
        max_calls=st.none() | calls,
        accurate=st.sampled_from([None, None, None, True, False]),
        regexps=few(regexps),
        ignore_case=maybe,
        invert=maybe,
        excludes=few(patterns),
        underflowed=st.sampled_from([False] * 7 + [True]),
    )


def only(asked: Asked, names: set[str]) -> Asked:
    """`asked` with only these fields, so that something is left to be found."""
    kept = asked._replace(**{n: d for n, d in Asked._field_defaults.items() if n not in names})
    return kept if kept.regexps else kept._replace(invert=False)
