"""Addresses of folders: `stepwell:runs`, `stepwell:/data/runs`, `stepwell:///data/runs`."""

from __future__ import annotations

import os
from urllib.parse import quote, unquote

SCHEME = "stepwell:"


def uri(path: str | os.PathLike[str]) -> str:
    """The address of a folder, whatever folder the process is in later."""
    text = os.fspath(path)
    if text.startswith(SCHEME):
        text = folder(text)
    return f"{SCHEME}//{quote(os.path.abspath(text))}"


def folder(address: str) -> str:
    """The folder of an address."""
    if not address.startswith(SCHEME):
        raise ValueError(f"not an address of a Stepwell folder, which begins with {SCHEME!r}: {address!r}")
    path = unquote(address.removeprefix(SCHEME))
    if path.startswith("//"):
        path = path[2:]
        if not path.startswith("/"):
            raise ValueError(
                f"{address!r} names a machine; a folder is stepwell:PATH or stepwell:///PATH, and a server is reached "
                "by http://"
            )
    if not path:
        raise ValueError(f"{address!r} names no folder: stepwell:PATH")
    return os.path.abspath(path)
