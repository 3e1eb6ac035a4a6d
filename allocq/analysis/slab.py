"""Memory that is counted twice: the pages that slab objects lie in, and the objects themselves."""

_FILE, _FUNCTION = "mm/slub.c", "alloc_slab_page"


def is_slab_page(file: str, function: str, module: str) -> bool:
    """Do these bytes back slab objects, which are counted at their own tags as well?

    alloc_slab_page() in mm/slub.c; a kernel built elsewhere than in its source has more in front.
    module: empty for built-in code.
    """
    return function == _FUNCTION and not module and (file == _FILE or file.endswith("/" + _FILE))
