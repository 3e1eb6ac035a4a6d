"""Recognizes slab pages, whose memory is counted twice: as pages and as objects."""

_FILE, _FUNCTION = "mm/slub.c", "alloc_slab_page"


def is_slab_page(file: str, function: str, module: str) -> bool:
    """Is this the tag of slab pages, whose objects are also counted at their own tags?

    It is alloc_slab_page() in mm/slub.c; out-of-tree builds prefix the path. module: empty for
    built-in code.
    """
    return function == _FUNCTION and not module and (file == _FILE or file.endswith("/" + _FILE))
