"""A web server with files of data sets, small archives among them."""

import hashlib
import http.server
import io
import os
import pickle
import socket
import tarfile
import threading
from pathlib import Path

import numpy as np
import pytest
from torchvision.datasets import CIFAR10

from helpers.containers import add

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
    """A web server on the loopback interface that serves `files` in a thread and records requests."""

    def __init__(self, files: dict[str, bytes | None]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.asked, self.url = files, list[str](), f"http://127.0.0.1:{self.server_port}/"

    def __enter__(self) -> "Mirror":
        threading.Thread(target=self.serve_forever, args=[0.01]).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
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


def small_cifar(monkeypatch: pytest.MonkeyPatch, kind: type[CIFAR10], url: str, pixels: np.ndarray) -> bytes:
    """CIFAR's archive with these images (4, 3, 32, 32), which torchvision expects under the URL from now on."""
    batch = {"data": pixels.reshape(4, -1), "labels": [5, 0, 9, 2], "fine_labels": [5, 0, 9, 2]}
    meta = kind.meta["filename"]
    buffer, digests = io.BytesIO(), {}
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, values in (("batch", batch), (meta, {kind.meta["key"]: list("abcdefghij")})):
            content = pickle.dumps(values)
            digests[name] = hashlib.md5(content).hexdigest()
            add(tar, f"{kind.base_folder}/{name}", content)
    changes = {"url": url, "filename": url.rpartition("/")[2], "tgz_md5": hashlib.md5(buffer.getvalue()).hexdigest()}
    changes |= {key: [["batch", digests["batch"]]] for key in ("train_list", "test_list")}
    for name, value in (changes | {"meta": kind.meta | {"md5": digests[meta]}}).items():
        monkeypatch.setattr(kind, name, value)
    return buffer.getvalue()


def programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, **scripts: str) -> None:
    """Put shell scripts first on PATH."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for name, script in scripts.items():
        path = folder / name.replace("_", "-")
        path.write_text(script)
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.defpath}")
