"""A stand-in for the part of the hub's HTTP interface that sharing policies uses, on this machine."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

WRITER, READER = "hf_writer", "hf_reader"
"""Tokens: one that may write to `me`, and one that may only read."""


class Hub:
    """Models in memory.

    Attributes:
        url: where it listens.
        models: name → {"private": ..., "commits": [files, ...]}, where files are name → bytes.
        asked: (method, path) of every request.
        lfs: names that are uploaded apart from their commit.
        broken: an HTTP status with which everything is answered; 0 for none.
    """

    def __init__(self) -> None:
        self.models: dict[str, dict[str, Any]] = {}
        self.asked: list[tuple[str, str]] = []
        self.lfs: set[str] = set()
        self.objects: dict[str, bytes] = {}
        self.broken = 0
        hub = self

        class Handler(_Handler):
            pass

        Handler.hub = hub
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def put(self, name: str, files: dict[str, bytes], private: bool = False) -> str:
        """A new commit; its hash."""
        model = self.models.setdefault(name, {"private": private, "commits": []})
        model["commits"].append(files)
        return self.commit(name)

    def commit(self, name: str, revision: str = "main") -> str | None:
        """The hash that a revision means; None where there is none such."""
        hashes = [hashlib.sha1(f"{name}/{i}".encode()).hexdigest() for i in range(len(self.models[name]["commits"]))]
        if revision == "main":
            return hashes[-1] if hashes else "0" * 40
        return revision if revision in hashes else None

    def files(self, name: str, revision: str = "main") -> dict[str, bytes]:
        commits = self.models[name]["commits"]
        wanted = self.commit(name, revision)
        return next((files for i, files in enumerate(commits) if self._hash(name, i) == wanted), {})

    def _hash(self, name: str, index: int) -> str:
        return hashlib.sha1(f"{name}/{index}".encode()).hexdigest()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: object) -> None:
        pass

    def _answer(self, status: int, body: object = None, **headers: str) -> None:
        data = body if isinstance(body, bytes) else json.dumps({} if body is None else body).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _refuse(self, status: int, code: str, message: str) -> None:
        self._answer(status, {"error": message}, X_Error_Code=code, X_Error_Message=message)

    def _do(self) -> None:
        hub = self.hub
        path, _, _ = self.path.partition("?")
        hub.asked.append((self.command, path))
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if hub.broken:
            self._refuse(hub.broken, "Broken", "something is wrong today")
        elif path == "/api/repos/create":
            self._create(json.loads(body), token)
        elif path == "/api/validate-yaml":
            self._answer(200, {"errors": [], "warnings": []})
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/preupload/main", path):
            files = json.loads(body)["files"]
            modes = [
                {"path": f["path"], "uploadMode": "lfs" if f["path"] in hub.lfs else "regular", "shouldIgnore": False}
                for f in files
            ]
            self._answer(200, {"files": modes})
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/main", path):
            self._commit(found[1], body, token)
        elif found := re.fullmatch(r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch", path):
            objects = [
                {**o, "actions": {"upload": {"href": f"{hub.url}/lfs/{o['oid']}"}}} for o in json.loads(body)["objects"]
            ]
            self._answer(200, {"transfer": "basic", "objects": objects})
        elif found := re.fullmatch(r"/lfs/(\w+)", path):
            hub.objects[found[1]] = body
            self._answer(200)
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+?)(?:/revision/([^/]+))?", path):
            self._tell(found[1], found[2] or "main", token)
        elif found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/([^/]+)", path):
            self._resolve(found[1], found[2], found[3], token)
        else:
            self._refuse(404, "", "no such page")

    do_GET = do_HEAD = do_POST = do_PUT = _do  # noqa: N815

    def _visible(self, name: str, token: str) -> bool:
        model = self.hub.models.get(name)
        if model is None or (model["private"] and token != WRITER):
            self._refuse(401, "RepoNotFound", "Repository not found")
            return False
        return True

    def _create(self, wanted: dict[str, Any], token: str) -> None:
        name = f"{wanted['organization']}/{wanted['name']}"
        if token not in (WRITER, READER):
            self._refuse(401, "", "Invalid credentials in Authorization header")
        elif token == READER or wanted["organization"] != "me":
            self._refuse(403, "", "You don't have the rights to create a model under this namespace")
        elif name in self.hub.models:
            self._answer(409, {"error": "You already created this model repo", "url": f"{self.hub.url}/{name}"})
        else:
            private = wanted.get("visibility") == "private" or bool(wanted.get("private"))
            self.hub.models[name] = {"private": private, "commits": []}
            self._answer(200, {"url": f"{self.hub.url}/{name}", "name": name, "id": name})

    def _tell(self, name: str, revision: str, token: str) -> None:
        if not self._visible(name, token):
            return
        commit = self.hub.commit(name, revision)
        if commit is None:
            self._refuse(404, "RevisionNotFound", "Invalid rev id")
            return
        siblings = [{"rfilename": f, "size": len(data)} for f, data in self.hub.files(name, revision).items()]
        private = self.hub.models[name]["private"]
        self._answer(200, {"id": name, "modelId": name, "sha": commit, "private": private, "siblings": siblings})

    def _commit(self, name: str, body: bytes, token: str) -> None:
        if token != WRITER:
            self._refuse(403, "", "Forbidden")
            return
        files = {}
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.hub.objects[value["oid"]]
        commit = self.hub.put(name, files)
        self._answer(200, {"commitUrl": f"{self.hub.url}/{name}/commit/{commit}", "commitOid": commit, "success": True})

    def _resolve(self, name: str, revision: str, file: str, token: str) -> None:
        if not self._visible(name, token):
            return
        commit = self.hub.commit(name, revision)
        if commit is None:
            self._refuse(404, "RevisionNotFound", "Invalid rev id")
            return
        data = self.hub.files(name, revision).get(file)
        if data is None:
            self._refuse(404, "EntryNotFound", "Entry not found")
            return
        etag = hashlib.sha256(data).hexdigest()
        self._answer(200, data, ETag=f'"{etag}"', X_Repo_Commit=commit, X_Linked_Size=str(len(data)))
