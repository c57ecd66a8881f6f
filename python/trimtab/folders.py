"""Where files of the user's go. Light: every load of an artefact asks."""

from __future__ import annotations

import os

__all__ = ["user_cache_folder"]


def user_cache_folder() -> str:
    """Give the folder of what is fetched and of packed weights; it need not exist.

    ``TRIMTAB_CACHE``, else ``$XDG_CACHE_HOME/trimtab``, else ``~/.cache/trimtab``.

    Examples
    --------
    >>> os.path.isabs(user_cache_folder()) or "TRIMTAB_CACHE" in os.environ
    True
    """
    own = os.environ.get("TRIMTAB_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return own or os.path.join(base, "trimtab")
