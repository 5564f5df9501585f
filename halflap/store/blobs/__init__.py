"""Large payloads, kept beside the store: in a directory, or in S3 and what is like it.

What is larger than a threshold is written here, durably, before the row that refers to it; the row
keeps a reference. Engine and gateway do not know: each journal has a `payloads.Payloads`.
"""

from __future__ import annotations

from pathlib import Path

from halflap.errors import StoreError
from halflap.store.blobs.blob import BlobStore
from halflap.store.blobs.directory import Directory
from halflap.store.blobs.nowhere import Nowhere

__all__ = ["BlobStore", "Directory", "Nowhere", "at"]

SCHEMES = ("s3://", "gs://", "az://")


def at(place: str | Path) -> BlobStore:
    """The blob store at a path, or at a URL such as `s3://bucket/prefix`."""
    if not str(place).startswith(SCHEMES):
        return Directory(Path(place))
    try:
        from halflap.store.blobs.objects import Objects
    except ImportError as error:
        raise StoreError(
            f"blobs in S3 and what is like it need obstore ({error}); "
            "install it with: pip install 'halflap[s3]'"
        ) from error
    return Objects(str(place))
