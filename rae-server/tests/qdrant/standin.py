"""A small HTTP server that speaks Qdrant's REST interface over the vendor's own local mode, for tests.

standin.py --port N --folder DIR [--key KEY]

Stricter than local mode, as the real server or good sense is: bodies may hold no unknown field, filters need a payload index
for each field they name, searches, counts and deletions by filter must name the tenant, a write without `wait` is applied
later, and there may be a key. What was written is in the folder when it is answered: it may be killed and started again.

POST /__test {"faults": [...]} replaces the list of faults; each is used `count` times for requests whose path holds `path`:
{"kind": "status", "status": 503}, {"kind": "stall", "seconds": 2}, {"kind": "drop"} (applied, but the line is cut),
{"kind": "truncate"} (applied, half an answer). GET /__test gives how often each path was asked.
"""

import argparse
import json
import queue
import socket
import threading
import time
import warnings
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

from pydantic import ValidationError
from qdrant_client.http import models
from qdrant_client.local.qdrant_local import QdrantLocal

VERSION = "1.15.0"
LATER = 0.2  # seconds until a write that nobody waits for is applied


class Refused(Exception):
    """An answer with an error status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Store:
    """Local mode, one call at a time, with what it does not check."""

    def __init__(self, folder: Path) -> None:
        warnings.simplefilter("ignore")
        self.lock = threading.RLock()
        self.local = QdrantLocal(str(folder), force_disable_check_same_thread=True)
        self.index_file = folder / "indexes.json"
        text = self.index_file.read_text() if self.index_file.exists() else "{}"
        self.indexes: dict[str, dict[str, dict]] = json.loads(text)
        self.later: queue.SimpleQueue = queue.SimpleQueue()
        threading.Thread(target=self.apply_later, daemon=True).start()

    def apply_later(self) -> None:
        """Does what nobody waited for, in its order."""
        while True:
            due, work = self.later.get()
            time.sleep(max(0.0, due - time.monotonic()))
            with self.lock:
                work()

    def collection(self, name: str):
        """The collection, or 404."""
        if name not in self.local.collections:
            raise Refused(404, f"Not found: Collection `{name}` doesn't exist!")
        return self.local.collections[name]

    def check_filter(self, name: str, found: models.Filter | None, has_to_name_tenant: bool = True) -> None:
        """Equality and ids alone, on fields with an index, the partition key among them."""
        indexed = self.indexes.get(name, {})
        tenants = {field for field, schema in indexed.items() if schema.get("is_tenant")}
        named = set()
        if found is not None:
            if found.should or found.must_not or found.min_should:
                raise Refused(400, "only `must` is expected here")
            for condition in found.must or []:
                if isinstance(condition, models.HasIdCondition):
                    continue
                if not isinstance(condition, models.FieldCondition) or not isinstance(
                    condition.match, models.MatchValue
                ):
                    raise Refused(400, "only equality and ids are expected here")
                if condition.key not in indexed:
                    raise Refused(400, f'Index required but not found for "{condition.key}"')
                named.add(condition.key)
        if has_to_name_tenant and not named & tenants:
            raise Refused(400, "the filter names no tenant")

    def check_points(self, name: str, points: list[models.PointStruct]) -> None:
        """Dimensions, and the partition key in every point."""
        size = self.collection(name).config.vectors.size
        tenants = [field for field, schema in self.indexes.get(name, {}).items() if schema.get("is_tenant")]
        for point in points:
            if len(point.vector) != size:
                raise Refused(400, f"Wrong input: Vector dimension error: expected dim: {size}")
            if not tenants or any(field not in (point.payload or {}) for field in tenants):
                raise Refused(400, "a point without a tenant")

    def operation(self, name: str, operation: dict):
        """A checked operation, as a function that does it."""
        if "upsert" in operation:
            points = models.PointsList(**operation["upsert"]).points
            self.check_points(name, points)
            return lambda: self.local.upsert(name, points)
        if "points" in operation["delete"]:
            ids = models.PointIdsList(**operation["delete"])
            return lambda: self.local.delete(name, ids)
        chosen = models.FilterSelector(**operation["delete"])
        self.check_filter(name, chosen.filter)
        return lambda: self.local.delete(name, chosen)

    def update(self, name: str, operations: list[dict], wait: bool) -> list[dict]:
        """All are checked before the first is done."""
        self.collection(name)
        checked = [self.operation(name, operation) for operation in operations]
        for work in checked:
            if wait:
                work()
            else:
                self.later.put((time.monotonic() + LATER, work))
        return [{"operation_id": 0, "status": "completed" if wait else "acknowledged"} for _ in checked]

    def create(self, name: str, body: dict) -> bool:
        """A new collection; 409 where there is one."""
        if name in self.local.collections:
            raise Refused(409, f"Wrong input: Collection `{name}` already exists!")
        config = models.CreateCollection(**body)
        self.local.create_collection(name, vectors_config=config.vectors)
        # Killed is enough to survive: nobody pulls a plug here.
        self.local.collections[name].storage.storage.execute("PRAGMA synchronous = OFF")
        return True

    def info(self, name: str) -> dict:
        """What the real server says of a collection, as far as anyone reads it."""
        vectors = self.collection(name).config.vectors
        schema = {f: {"data_type": s["type"], "params": s, "points": 0} for f, s in self.indexes.get(name, {}).items()}
        return {
            "status": "green",
            "optimizer_status": "ok",
            "points_count": self.local.count(name).count,
            "segments_count": 1,
            "config": {"params": {"vectors": {"size": vectors.size, "distance": vectors.distance.value}}},
            "payload_schema": schema,
        }

    def index(self, name: str, body: dict) -> dict:
        """Notes an index."""
        self.collection(name)
        wanted = models.CreateFieldIndex(**body)
        self.indexes.setdefault(name, {})[wanted.field_name] = body["field_schema"]
        self.index_file.write_text(json.dumps(self.indexes))
        return {"operation_id": 0, "status": "completed"}

    def query(self, name: str, body: dict) -> dict:
        """The nearest."""
        asked = models.QueryRequest(**body)
        self.collection(name)
        self.check_filter(name, asked.filter)
        found = self.local.query_points(
            name,
            query=asked.query,
            query_filter=asked.filter,
            limit=asked.limit or 10,
            with_payload=asked.with_payload or False,
            with_vectors=asked.with_vector or False,
        )
        return {"points": [point.model_dump(mode="json", exclude_none=True) for point in found.points]}

    def scroll(self, name: str, body: dict) -> dict:
        """A page of everything."""
        asked = models.ScrollRequest(**body)
        self.collection(name)
        self.check_filter(name, asked.filter, has_to_name_tenant=False)
        points, after = self.local.scroll(
            name, asked.filter, limit=asked.limit or 10, offset=asked.offset, with_payload=True, with_vectors=True
        )
        return {"points": [p.model_dump(mode="json", exclude_none=True) for p in points], "next_page_offset": after}

    def retrieve(self, name: str, body: dict) -> list[dict]:
        """Points by id."""
        asked = models.PointRequest(**body)
        self.collection(name)
        found = self.local.retrieve(name, asked.ids, with_payload=asked.with_payload, with_vectors=asked.with_vector)
        return [point.model_dump(mode="json", exclude_none=True) for point in found]

    def count(self, name: str, body: dict) -> dict:
        """How many match."""
        asked = models.CountRequest(**body)
        self.collection(name)
        self.check_filter(name, asked.filter)
        return {"count": self.local.count(name, asked.filter).count}

    def answer(self, method: str, parts: list[str], arguments: dict, body: dict):
        """One request of the real interface."""
        wait = arguments.get("wait", ["false"])[0] == "true"
        if arguments.get("ordering", ["weak"])[0] not in ("weak", "medium", "strong"):
            raise Refused(400, "no such ordering")
        match method, parts:
            case "GET", ["collections"]:
                return {"collections": [{"name": name} for name in self.local.collections]}
            case "GET", ["collections", name]:
                return self.info(name)
            case "PUT", ["collections", name]:
                return self.create(name, body)
            case "DELETE", ["collections", name]:
                self.indexes.pop(name, None)
                return self.local.delete_collection(name)
            case "PUT", ["collections", name, "index"]:
                return self.index(name, body)
            case "POST", ["collections", name, "points", "batch"]:
                models.UpdateOperations(**body)
                return self.update(name, body["operations"], wait)
            case "PUT", ["collections", name, "points"]:
                return self.update(name, [{"upsert": body}], wait)[0]
            case "POST", ["collections", name, "points", "delete"]:
                return self.update(name, [{"delete": body}], wait)[0]
            case "POST", ["collections", name, "points", "query"]:
                return self.query(name, body)
            case "POST", ["collections", name, "points", "count"]:
                return self.count(name, body)
            case "POST", ["collections", name, "points", "scroll"]:
                return self.scroll(name, body)
            case "POST", ["collections", name, "points"]:
                return self.retrieve(name, body)
        raise Refused(404, "no such endpoint")


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16
    store: Store
    key: str | None = None
    faults: ClassVar[list[dict]] = []
    asked: ClassVar[Counter] = Counter()
    fault_lock = threading.Lock()

    def log_message(self, *_: object) -> None:
        """Says nothing."""

    def fault(self, path: str) -> dict:
        """The fault that is due for a path, if any."""
        with self.fault_lock:
            for fault in self.faults:
                if fault["count"] > 0 and fault.get("path", "") in path:
                    fault["count"] -= 1
                    return fault
        return {"kind": "none"}

    def send(self, status: int, value: object, truncate: bool = False) -> None:
        """A JSON answer."""
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if truncate else body)
        self.wfile.flush()
        self.close_connection |= truncate

    def serve(self) -> None:
        """One request."""
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length) or b"{}")
        url = urlsplit(self.path)
        if url.path == "/__test":
            if self.command == "POST":
                with self.fault_lock:
                    Handler.faults = body["faults"]
            return self.send(200, self.asked)
        parts = [part for part in url.path.split("/") if part]
        self.asked[f"{self.command} {'/'.join(parts[:1] + parts[2:])}"] += 1
        if self.key and self.headers.get("api-key") != self.key:
            return self.send(401, {"status": {"error": "Must provide an API key"}, "time": 0.0})
        if not parts:
            return self.send(200, {"title": "qdrant - vector search engine", "version": VERSION})
        fault = self.fault(url.path)
        if fault["kind"] == "stall":
            time.sleep(fault["seconds"])
        if fault["kind"] == "status":
            return self.send(fault["status"], {"status": {"error": "as ordered"}, "time": 0.0})
        try:
            with self.store.lock:
                result = self.store.answer(self.command, parts, parse_qs(url.query), body)
        except Refused as error:
            return self.send(error.status, {"status": {"error": str(error)}, "time": 0.0})
        except (ValidationError, ValueError, KeyError, TypeError) as error:
            return self.send(400, {"status": {"error": f"Format error in JSON body: {error}"}, "time": 0.0})
        if fault["kind"] == "drop":
            self.close_connection = True
            return self.connection.shutdown(socket.SHUT_RDWR)
        return self.send(200, {"result": result, "status": "ok", "time": 0.0}, fault["kind"] == "truncate")

    do_GET = do_PUT = do_POST = do_DELETE = serve


class Server(ThreadingHTTPServer):
    """Many connections at once."""

    daemon_threads = True
    request_queue_size = 256
    allow_reuse_address = True


def main() -> None:
    """Serves until it is killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--key")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    Handler.store, Handler.key = Store(args.folder), args.key
    Server(("127.0.0.1", args.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
