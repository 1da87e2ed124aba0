"""A web server with files of data sets, small archives among them."""

import contextlib
import hashlib
import http.server
import io
import os
import pickle
import socket
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

APT_GET = """#!/bin/sh
echo "$@" >> {log}
case "$*" in
  *Lists=*update) [ -d lists/partial ] ;;
  *Lists=*download*) touch dataset-fashion-mnist_1_all.deb ;;
  *) echo 'E: Unable to locate package dataset-fashion-mnist' >&2; exit 100 ;;
esac
"""
"""Delivers the package if package lists are fetched first."""
DPKG_DEB = """#!/bin/sh
[ "$1" = -x ] && [ -e "$2" ] && mkdir -p "$3{target}" && cp {packed}/* "$3{target}"
"""


class Mirror(http.server.ThreadingHTTPServer):
    """A web server on the loopback interface that serves `files` and records requests."""

    def __init__(self, files: dict[str, bytes | None]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.asked, self.url = files, list[str](), f"http://127.0.0.1:{self.server_port}/"

    @contextlib.contextmanager
    def serving(self) -> Iterator[str]:
        """Serve in a thread; the URL."""
        thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield self.url
        finally:
            self.shutdown()
            self.server_close()
            thread.join()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves the files of a Mirror."""

    server: Mirror

    def do_GET(self) -> None:
        self.server.asked.append(self.path[1:])
        body = self.server.files.get(self.path[1:])
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None:
        pass


def closed_port() -> str:
    """A URL that refuses connections."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{s.getsockname()[1]}/"


def small_cifar() -> tuple[bytes, dict[str, str]]:
    """CIFAR-10's archive with three training images and one for testing, and the MD5 of its files."""
    batches = {
        "data_batch_1": {"data": np.arange(3 * 3072, dtype=np.uint8).reshape(3, 3072), "labels": [3, 1, 2]},
        "test_batch": {"data": np.zeros((1, 3072), dtype=np.uint8), "labels": [9]},
        "batches.meta": {"label_names": list("abcdefghij")},
    }
    buffer, digests = io.BytesIO(), {}
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, batch in batches.items():
            content = pickle.dumps(batch)
            digests[name] = hashlib.md5(content).hexdigest()
            info = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue(), digests


def programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, **scripts: str) -> None:
    """Put shell scripts first on PATH."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for name, script in scripts.items():
        path = folder / name.replace("_", "-")
        path.write_text(script)
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.defpath}")
