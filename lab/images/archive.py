#!/usr/bin/env python3
"""archive.py OUT.tar NAME:TAG ENTRYPOINT FILE=PATH_IN_IMAGE...: a docker-archive of one layer, the same for the same files."""
import hashlib
import io
import json
import os
import sys
import tarfile

out, name, entrypoint, *files = sys.argv[1:]


def directories(paths):
    """Every parent, once, shallow first."""
    found = {"tmp", "etc", "run", "var"}
    for path in paths:
        while path := os.path.dirname(path):
            found.add(path)
    return sorted(found)


def layer(pairs):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path in directories(p for _, p in pairs):
            info = tarfile.TarInfo(path)
            info.type, info.mode = tarfile.DIRTYPE, 0o1777 if path == "tmp" else 0o755
            tar.addfile(info)
        for source, path in pairs:
            info = tarfile.TarInfo(path)
            info.mode, info.size = 0o755, os.path.getsize(source)
            with open(source, "rb") as file:
                tar.addfile(info, file)
    return buffer.getvalue()


def main():
    pairs = [(source, path.lstrip("/")) for source, path in (f.split("=", 1) for f in files)]
    blob = layer(pairs)
    digest = hashlib.sha256(blob).hexdigest()
    config = json.dumps({
        "architecture": "amd64", "os": "linux",
        "config": {"Entrypoint": [entrypoint] if entrypoint else None,
                   "Env": ["PATH=/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin"]},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + digest]}, "history": [],
    }, sort_keys=True).encode()
    config_name = hashlib.sha256(config).hexdigest() + ".json"
    manifest = json.dumps([{"Config": config_name, "RepoTags": [name], "Layers": [digest + "/layer.tar"]}]).encode()
    with tarfile.open(out, "w") as tar:
        for path, data in ((config_name, config), (digest + "/layer.tar", blob), ("manifest.json", manifest)):
            info = tarfile.TarInfo(path)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


main()
