"""Tar archives read with an eye on their end; no torch."""

import tarfile
from collections.abc import Iterator

from roadmap.errors import DataError


def regular(tar: tarfile.TarFile, name: str) -> Iterator[tarfile.TarInfo]:
    """The files of an archive that can be sought in, in its order.

    Raises:
        DataError: after the last whole one, where the archive breaks off: tarfile itself takes that for the end.
    """
    try:
        yield from (member for member in tar if member.isreg())
    except tarfile.TarError as error:
        raise DataError(f"{name}: cannot be read: {error}") from error
    assert tar.fileobj is not None
    tar.fileobj.seek(tar.offset)
    if tar.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise DataError(f"{name}: cannot be read: no end of archive after {tar.offset:,} bytes")
