"""registry.py PORT ARCHIVE REPOSITORY USER PASSWORD_FILE: gives one docker-archive out as a registry does, with REPOSITORY:1 as its name,
and to this user alone. registry.py PORT DIRECTORY: every archive in it, by its own name without the host, and to everybody. Prints each
request's path."""
import base64, glob, hashlib, http.server, json, sys, tarfile

port, source, *private = sys.argv[1:]
given = {"/v2/": ("application/json", b"{}", "")}
login = None


def give(path, kind, data, also=None):
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    for name in filter(None, (digest, also)):
        given[f"{path}/{name}"] = (kind, data, digest)
    return {"mediaType": kind, "digest": digest, "size": len(data)}


def give_image(archive, name=None):
    with tarfile.open(archive) as tar:
        read = lambda name: tar.extractfile(name).read()
        listed = json.loads(read("manifest.json"))[0]
        repository, tag = (name or listed["RepoTags"][0].split("/", 1)[1]).rsplit(":", 1)
        oci, blobs = "application/vnd.oci.image.", f"/v2/{repository}/blobs"
        manifest = {
            "schemaVersion": 2,
            "mediaType": oci + "manifest.v1+json",
            "config": give(blobs, oci + "config.v1+json", read(listed["Config"])),
            "layers": [give(blobs, oci + "layer.v1.tar", read(layer)) for layer in listed["Layers"]],
        }
    give(f"/v2/{repository}/manifests", manifest["mediaType"], json.dumps(manifest).encode(), tag)


if private:
    repository, user, password_file = private
    give_image(source, repository + ":1")
    login = "Basic " + base64.b64encode(f"{user}:{open(password_file).read()}".encode()).decode()
else:
    for archive in glob.glob(source + "/*.tar"):
        give_image(archive)


class Registry(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        kind, body, digest = given.get(self.path.split("?")[0], (None, b"", ""))
        status = 401 if login and self.headers["Authorization"] != login else 200 if kind else 404
        self.send_response(status)
        if status == 401:
            self.send_header("WWW-Authenticate", 'Basic realm="lab"')
        if status == 200:
            self.send_header("Content-Type", kind)
            self.send_header("Docker-Content-Digest", digest)
        else:
            body = b""
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)
        print(f"{status} {self.path}\n", end="", flush=True)    # one write: requests come side by side

    do_HEAD = do_GET

    def log_message(self, *words):
        pass


print("listens", flush=True)
http.server.ThreadingHTTPServer(("", int(port)), Registry).serve_forever()
