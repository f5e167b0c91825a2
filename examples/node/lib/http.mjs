// The few things about node:http that the examples need twice.

/** What a request is refused with. */
export class HttpError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** The JSON object in a request's body, at most `bytesMax` long. */
export async function readJson(req, bytesMax) {
  const chunks = [];
  let bytes = 0;
  // What is too long is read to its end and dropped, so that the client hears why. The server's requestTimeout ends it.
  for await (const chunk of req) {
    bytes += chunk.length;
    if (bytes <= bytesMax) chunks.push(chunk);
    else chunks.length = 0;
  }
  if (bytes > bytesMax) throw new HttpError(413, `the body has more than ${bytesMax} bytes`);
  let value;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(chunks)));
  } catch {
    throw new HttpError(400, "the body is not JSON in UTF-8");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new HttpError(400, "the body must be a JSON object");
  }
  return value;
}

export function sendJson(res, status, value) {
  send(res, status, "application/json; charset=utf-8", JSON.stringify(value));
}

export function send(res, status, type, text, headers = {}) {
  if (res.destroyed || res.headersSent) return;
  const body = Buffer.from(text);
  res.writeHead(status, {
    "content-type": type,
    "content-length": body.length,
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    ...headers,
  });
  res.end(body);
}

/** Listens; port 0 takes a free one. Gives the address for a URL. */
export function listen(server, port, host = "127.0.0.1") {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => {
      server.off("error", reject);
      const { address, family, port: taken } = server.address();
      resolve(`http://${family === "IPv6" ? `[${address}]` : address}:${taken}`);
    });
  });
}
