"""A stand-in for the model hub: serves one parquet dataset, or one model, over HTTP on this computer, well or badly."""

import hashlib
import http.server
import json
import os
import threading
import time
import urllib.parse

COMMIT = "a" * 40


class Hub(http.server.ThreadingHTTPServer):
    """Serve `files` (path in the repository -> bytes) as the dataset or model of every name; `fault` says how to misbehave.

    `others` are repositories, by name, that hold other files, or (None) are not there; `commit` is what is named main.

    Faults: "missing" (404 for the repository), "slow" (data are never sent), "half" (data break off half-way).
    """

    def __init__(self, files: dict[str, bytes], fault: str = "", others: dict[str, dict[str, bytes] | None] | None = None, commit: str = COMMIT):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files, self.fault, self.others, self.commit, self.sent = files, fault, others or {}, commit, 0
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = urllib.parse.unquote(self.path).split("?")[0].replace("refs/convert/parquet", self.server.commit)
        name = path.replace("/resolve/main/", f"/resolve/{self.server.commit}/").partition(self.server.commit)[2].strip("/")
        repository = path.removeprefix("/api/models").partition("/resolve/")[0].strip("/")
        files = self.server.others.get(repository, self.server.files)
        if self.server.fault == "missing" or files is None:
            self.answer(404, b"", {"X-Error-Code": "RepoNotFound"})
        elif "/resolve/" in path:
            self.send_file(files.get(name))
        elif "/tree/" in path:
            deep = "recursive=true" in self.path.lower()
            self.answer_json([entry for entry in self.entries() if _below(entry["path"], name, deep)])
        elif path.startswith(("/api/datasets/", "/api/models/")):
            siblings = [{"rfilename": file} for file in self.server.files]
            self.answer_json({"id": "some/set", "sha": self.server.commit, "siblings": siblings, "tags": [], "private": False})
        else:
            self.answer(404, b"")

    do_HEAD = do_POST = do_GET

    def entries(self) -> list[dict]:
        """List the repository's files and folders as the hub does."""
        folders = {os.path.dirname(file) for file in self.server.files}
        folders |= {os.path.dirname(folder) for folder in folders} - {""}
        listed = [{"type": "directory", "path": folder, "oid": self.server.commit, "size": 0} for folder in sorted(folders)]
        for file, content in self.server.files.items():
            digest = hashlib.sha256(content).hexdigest()
            lfs = {"oid": digest, "size": len(content), "pointerSize": 130}
            listed.append({"type": "file", "path": file, "size": len(content), "oid": digest[:40], "lfs": lfs})
        return listed

    def send_file(self, content: bytes | None) -> None:
        """Send a file or the range asked for."""
        if content is None:
            return self.answer(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": self.server.commit})
        etag = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": self.server.commit, "Accept-Ranges": "bytes"}
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
        data = status == 206
        if data and self.server.fault == "slow":
            time.sleep(2)
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            if data and self.server.fault == "half":
                body = body[: len(body) // 2]
                self.close_connection = True
            self.server.sent += len(body)
            self.wfile.write(body)

    def log_message(self, *args) -> None:
        """Keep quiet."""


def _below(path: str, folder: str, deep: bool) -> bool:
    inside = path.startswith(f"{folder}/") if folder else True
    return inside and (deep or "/" not in path[len(folder) :].strip("/"))
