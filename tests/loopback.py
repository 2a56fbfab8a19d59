"""A web server on this machine that does what other servers do wrong."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server:
    """Serves ``files``; what it does wrong is set by its attributes, and the requests that came are kept."""

    def __init__(self):
        self.files: dict[str, bytes] = {}
        self.ranges, self.version, self.cut, self.length = True, '"1"', None, True
        self.headers: dict[str, str] = {}
        self.requests: list[tuple[str, str | None]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_HEAD(self):
                outer.requests.append(("HEAD", None))
                self.send_error(403)

            def do_GET(self):
                asked = self.headers.get("Range")
                outer.requests.append((self.path.strip("/"), asked))
                content = outer.files.get(self.path.strip("/"))
                if content is None:
                    self.send_error(404)
                    return
                start = 0
                same = self.headers.get("If-Range") in (None, outer.version)
                if asked and outer.ranges and same:
                    start = int(asked.removeprefix("bytes=").removesuffix("-"))
                    self.send_response(206 if start < len(content) else 416)
                    there = f"{start}-{len(content) - 1}" if start < len(content) else "*"
                    self.send_header("Content-Range", f"bytes {there}/{len(content)}")
                else:
                    self.send_response(200)
                body = content[start:]
                if outer.length:
                    self.send_header("Content-Length", f"{len(body)}")
                else:
                    self.send_header("Connection", "close")
                    self.close_connection = True
                if outer.version:
                    self.send_header("ETag", outer.version)
                for name, value in outer.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                if outer.cut is not None and len(body) > outer.cut:
                    body, self.close_connection = body[: outer.cut], True
                self.wfile.write(body)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.handle_error = lambda *_: None  # clients that hang up are what is tested
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()

    def url(self, name):
        return f"http://127.0.0.1:{self.server.server_port}/{name}"
