"""A stand-in for the model hub: serves parquet datasets and models over HTTP on this computer, well or badly."""

import hashlib
import http.server
import json
import os
import threading
import time
import urllib.parse
from dataclasses import dataclass

COMMIT = "a" * 40


@dataclass(frozen=True)
class Repository:
    """A dataset or a model: `files` (path in it -> bytes), how it misbehaves, and the commit that `main` is.

    Faults: "missing" (404 for the repository), "slow" (data are never sent), "half" (data break off half-way).
    """

    files: dict[str, bytes]
    fault: str = ""
    commit: str = COMMIT

    def entries(self) -> list[dict]:
        """List files and folders as the hub does."""
        folders = {os.path.dirname(file) for file in self.files}
        folders |= {os.path.dirname(folder) for folder in folders} - {""}
        listed = [{"type": "directory", "path": folder, "oid": self.commit, "size": 0} for folder in sorted(folders)]
        for file, content in self.files.items():
            digest = hashlib.sha256(content).hexdigest()
            lfs = {"oid": digest, "size": len(content), "pointerSize": 130}
            listed.append({"type": "file", "path": file, "size": len(content), "oid": digest[:40], "lfs": lfs})
        return listed


class Hub(http.server.ThreadingHTTPServer):
    """Serve repositories by their names."""

    def __init__(self, repositories: dict[str, Repository]):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories = repositories
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = urllib.parse.unquote(self.path).split("?")[0].removeprefix("/api").removeprefix("/datasets").removeprefix("/models")
        name = "/".join(path.split("/")[1:3])
        self.repository = found = self.server.repositories.get(name, Repository({}, "missing"))
        for revision in ("refs/convert/parquet", "main"):
            path = path.replace(f"/{revision}", f"/{found.commit}", 1)
        file = path.partition(found.commit)[2].strip("/")
        if found.fault == "missing":
            self.answer(404, b"", {"X-Error-Code": "RepoNotFound"})
        elif "/resolve/" in path:
            self.send_file(found.files.get(file))
        elif "/tree/" in path:
            deep = "recursive=true" in self.path.lower()
            self.answer_json([entry for entry in found.entries() if _below(entry["path"], file, deep)])
        elif self.path.startswith("/api/"):
            siblings = [{"rfilename": file} for file in found.files]
            self.answer_json({"id": name, "sha": found.commit, "siblings": siblings, "tags": [], "private": False})
        else:
            self.answer(404, b"")

    do_HEAD = do_POST = do_GET

    def send_file(self, content: bytes | None) -> None:
        """Send a file or the range asked for."""
        commit = {"X-Repo-Commit": self.repository.commit}
        if content is None:
            return self.answer(404, b"", {"X-Error-Code": "EntryNotFound", **commit})
        etag = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "Accept-Ranges": "bytes", **commit}
        span = self.headers.get("Range")
        if self.command == "HEAD" or not span:
            return self.answer(200, content, etag)
        first, last = span.removeprefix("bytes=").split("-")
        start = int(first) if first else len(content) - int(last)
        stop = min(int(last) + 1 if first and last else len(content), len(content))
        etag["Content-Range"] = f"bytes {start}-{stop - 1}/{len(content)}"
        self.answer(206, content[start:stop], etag)

    def answer_json(self, value: object) -> None:
        self.answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        data, fault = status == 206, self.repository.fault
        if data and fault == "slow":
            time.sleep(2)
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            if data and fault == "half":
                body = body[: len(body) // 2]
                self.close_connection = True
            self.wfile.write(body)

    def log_message(self, *args) -> None:
        """Keep quiet."""


def _below(path: str, folder: str, deep: bool) -> bool:
    inside = path.startswith(f"{folder}/") if folder else True
    return inside and (deep or "/" not in path[len(folder) :].strip("/"))
