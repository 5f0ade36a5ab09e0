"""registry.py ARCHIVE REPOSITORY USER PASSWORD_FILE PORT: gives one docker-archive out as a registry does, with REPOSITORY:1 as its name, and
to this user alone. Prints each request's path."""
import base64, hashlib, http.server, json, sys, tarfile

archive, repository, user, password_file, port = sys.argv[1:]
password = open(password_file).read()
blobs = {}


def blob(kind, data):
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    blobs[digest] = (kind, data)
    return {"mediaType": kind, "digest": digest, "size": len(data)}


with tarfile.open(archive) as tar:
    read = lambda name: tar.extractfile(name).read()
    listed = json.loads(read("manifest.json"))[0]
    oci = "application/vnd.oci.image."
    manifest = {
        "schemaVersion": 2,
        "mediaType": oci + "manifest.v1+json",
        "config": blob(oci + "config.v1+json", read(listed["Config"])),
        "layers": [blob(oci + "layer.v1.tar", read(layer)) for layer in listed["Layers"]],
    }
top = blob(manifest["mediaType"], json.dumps(manifest).encode())
login = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class Registry(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        last = self.path.split("?")[0].rsplit("/", 1)[-1]
        kind, data = blobs.get(top["digest"] if last == "1" else last, (None, b""))
        known = kind and self.path.startswith(f"/v2/{repository}/")
        status = 401 if self.headers["Authorization"] != login else 200 if known else 404
        self.send_response(status)
        if status == 401:
            self.send_header("WWW-Authenticate", 'Basic realm="lab"')
        body = data if status == 200 else b""
        if body:
            self.send_header("Content-Type", kind)
            self.send_header("Docker-Content-Digest", "sha256:" + hashlib.sha256(body).hexdigest())
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)
        print(status, self.path, flush=True)

    do_HEAD = do_GET

    def log_message(self, *words):
        pass


print("listens", flush=True)
http.server.ThreadingHTTPServer(("", int(port)), Registry).serve_forever()
