"""A hub on loopback that serves just what `huggingface_hub` asks for, or fails as a real one."""

import hashlib
import json
import socket
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlparse

NAME = "owner/tiny-chat"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
OLDER = "89abcdef0123456789abcdef0123456789abcdef"


@dataclass
class Hub:
    """What the hub holds, and how it misbehaves.

    `trouble` is one of: "", "gated-401", "gated-403", "missing", "private", "revision", "slow",
    "error", "garbage"; `cut` ends every weight file early; `stated` holds sizes that the hub states
    and are not true; `trouble_after` is a file that the hub fails to send. A hub of kind `dataset`
    serves a data set, with files in folders.
    """

    name: str
    folder: Path
    trouble: str = ""
    cut: bool = False
    stated: dict[str, int] = field(default_factory=dict)
    trouble_after: str = ""
    kind: str = "model"
    asked: list[str] = field(default_factory=list)
    revisions: dict[str, str] = field(
        default_factory=lambda: {"main": COMMIT, "v1": OLDER, COMMIT: COMMIT, OLDER: OLDER}
    )

    def files(self) -> dict[str, bytes]:
        """Every file by its name."""
        return {
            path.relative_to(self.folder).as_posix(): path.read_bytes()
            for path in sorted(self.folder.rglob("*"))
            if path.is_file()
        }

    def __enter__(self) -> "Hub":
        hub = self

        class Handler(_Handler):
            served = hub

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    @property
    def address(self) -> str:
        """What HF_ENDPOINT should be."""
        return f"http://127.0.0.1:{self.server.server_address[1]}"


TROUBLES = {
    "gated-401": (401, "GatedRepo"),
    "gated-403": (403, "GatedRepo"),
    "missing": (404, "RepoNotFound"),
    "private": (401, "RepoNotFound"),
    "revision": (404, "RevisionNotFound"),
    "error": (500, ""),
}


class _Handler(BaseHTTPRequestHandler):
    served: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Nothing on the test's stderr."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        hub, path = self.served, unquote(urlparse(self.path).path)
        hub.asked.append(f"{self.command} {path}")
        if hub.trouble == "slow":
            time.sleep(30)
            self.close_connection = True
            return
        if hub.trouble == "garbage":
            self._send(200, b"<html>captive portal</html>")
            return
        if hub.trouble in TROUBLES:
            self._fail(*TROUBLES[hub.trouble])
            return
        api = f"/api/{hub.kind}s/{hub.name}"
        plain = f"/{'datasets/' if hub.kind == 'dataset' else ''}{hub.name}/resolve/"
        if path == api or path.startswith(f"{api}/revision/"):
            self._info(path.removeprefix(api).removeprefix("/revision/") or "main")
        elif path.startswith(f"{api}/tree/"):
            self._tree()
        elif path.startswith(plain):
            self._file(*path.removeprefix(plain).split("/", 1))
        else:
            self._fail(404, "RepoNotFound")

    def _info(self, revision: str) -> None:
        hub = self.served
        if revision not in hub.revisions:
            self._fail(404, "RevisionNotFound")
            return
        found = {
            "_id": "0",
            "id": hub.name,
            "modelId": hub.name,
            "sha": hub.revisions[revision],
            "private": False,
            "gated": False,
            "tags": [],
            "siblings": [
                {
                    "rfilename": name,
                    "size": hub.stated.get(name, len(data)),
                    "blobId": _digest(data)[:40],
                }
                for name, data in hub.files().items()
            ],
        }
        self._send(200, json.dumps(found).encode())

    def _tree(self) -> None:
        found = [
            {"type": "file", "oid": _digest(data)[:40], "size": len(data), "path": name}
            for name, data in self.served.files().items()
        ]
        self._send(200, json.dumps(found).encode())

    def _file(self, revision: str, name: str) -> None:
        data = self.served.files().get(name)
        if data is None or revision not in self.served.revisions:
            self._fail(404, "EntryNotFound")
            return
        if self.served.trouble_after == name:
            self._fail(500, "")
            return
        headers = {
            "ETag": f'"{_digest(data)}"',
            "X-Repo-Commit": self.served.revisions[revision],
            "Accept-Ranges": "none",
        }
        cut = self.served.cut and name.endswith(".safetensors")
        self._send(200, data, headers, cut=cut)

    def _fail(self, status: int, code: str) -> None:
        headers = {"X-Error-Code": code, "X-Error-Message": code} if code else {}
        self._send(status, json.dumps({"error": code or "broken"}).encode(), headers)

    def _send(
        self, status: int, data: bytes, headers: dict | None = None, *, cut: bool = False
    ) -> None:
        self.send_response(status)
        for name, value in ({"Content-Type": "application/json"} | (headers or {})).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data[: len(data) // 2] if cut else data)
        if cut:
            self.close_connection = True


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def nobody() -> str:
    """An address at which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"
