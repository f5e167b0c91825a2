"""Stand-ins for what a backup talks to: the part of Qdrant that snapshots need, and a store of objects that checks signatures."""

import contextlib
import hashlib
import hmac
import http.server
import json
import re
import threading
import urllib.parse


def serve(handler) -> http.server.ThreadingHTTPServer:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status: int, body: bytes = b""):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))


@contextlib.contextmanager
def qdrant(key: str, collections: dict[str, bytes]):
    """Yields the address, and the snapshots that were not deleted."""
    left: dict[str, bytes] = {}

    class Fake(Handler):
        def handle_one(self):
            if self.headers.get("api-key") != key:
                return self.answer(401)
            if self.path == "/collections":
                names = [{"name": name} for name in [*collections, "other"]]
                return self.answer(200, json.dumps({"result": {"collections": names}}, separators=(",", ":")).encode())
            if self.command == "DELETE" and self.path.removeprefix("/collections/") in collections:
                del collections[self.path.removeprefix("/collections/")]
                return self.answer(200, b'{"result":true}')
            found = re.fullmatch(r"/collections/(rae_\w+)/snapshots(?:/(\S+)|\?wait=true)", self.path)
            if not found or found[1] not in collections:
                return self.answer(404)
            if self.command == "POST":
                left[f"{found[1]}-1.snapshot"] = collections[found[1]]
                result = {"name": f"{found[1]}-1.snapshot", "size": 9, "creation_time": "now"}
                return self.answer(200, json.dumps({"result": result, "status": "ok"}).encode())
            if self.command == "DELETE":
                left.pop(found[2])
                return self.answer(200, b'{"result":true}')
            return self.answer(200, left[found[2]])

        do_GET = do_POST = do_DELETE = handle_one

    server = serve(Fake)
    try:
        yield f"http://127.0.0.1:{server.server_port}", left
    finally:
        server.shutdown()
        server.server_close()


def signature(secret: str, date: str, region: str, text: str) -> str:
    key = f"AWS4{secret}".encode()
    for part in (date, region, "s3", "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


@contextlib.contextmanager
def s3(access: str, secret: str, region: str):
    """Yields the address, and the objects whose signature (AWS version 4) and checksum were right."""
    objects: dict[str, bytes] = {}

    class Fake(Handler):
        def do_PUT(self):
            data = self.body()
            shape = r"AWS4-HMAC-SHA256 Credential=(\S+?), ?SignedHeaders=(\S+?), ?Signature=(\w+)"
            found = re.fullmatch(shape, self.headers.get("Authorization", ""))
            if not found:
                return self.answer(403, b"not signed")
            credential, names, given = found.groups()
            who, date, *scope = credential.split("/")
            claimed = self.headers["x-amz-content-sha256"]
            if claimed != hashlib.sha256(data).hexdigest() or "x-amz-content-sha256" not in names.split(";"):
                return self.answer(400, b"another body was signed")
            headers = "".join(f"{name}:{self.headers[name].strip()}\n" for name in names.split(";"))
            path, _, query = self.path.partition("?")
            request = "\n".join(["PUT", urllib.parse.quote(path, safe="/-_.~"), query, headers, names, claimed])
            text = "\n".join(
                [
                    "AWS4-HMAC-SHA256",
                    self.headers["x-amz-date"],
                    "/".join([date, *scope]),
                    hashlib.sha256(request.encode()).hexdigest(),
                ]
            )
            if who != access or scope != [region, "s3", "aws4_request"]:
                return self.answer(403, b"of somebody else")
            if not hmac.compare_digest(given, signature(secret, date, region, text)):
                return self.answer(403, b"wrong signature")
            objects[path] = data
            return self.answer(200)

    server = serve(Fake)
    try:
        yield f"http://127.0.0.1:{server.server_port}", objects
    finally:
        server.shutdown()
        server.server_close()
