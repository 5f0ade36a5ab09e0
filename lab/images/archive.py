#!/usr/bin/env python3
"""archive.py OUT.tar NAME:TAG[,NAME:TAG...] ENTRYPOINT [user=UID] [cmd=PROGRAM] FILE=PATH_IN_IMAGE...: a docker-archive of one
layer, the same for the same files. A FILE may be a directory: all below it, with its own modes and links."""
import hashlib
import io
import json
import os
import sys
import tarfile

out, names, entrypoint, *files = sys.argv[1:]


def directories(paths):
    """Every parent, once, shallow first."""
    found = {"tmp", "etc", "run", "var"}
    for path in paths:
        while path := os.path.dirname(path):
            found.add(path)
    return sorted(found)


def spread(source, path):
    """(source, path) of a file, or of all that a directory holds."""
    if not os.path.isdir(source) or os.path.islink(source):
        yield source, path
        return
    for at, below, here in os.walk(source):
        below.sort()
        for name in sorted(here + below):
            full = os.path.join(at, name)
            kept = os.path.islink(full) or os.path.isfile(full) or (os.path.isdir(full) and not os.listdir(full))
            if kept:
                yield full, os.path.join(path, os.path.relpath(full, source)).lstrip("/")


def entry(source, path, of_tree):
    """A file that is named by itself stands for what its link leads to."""
    info = tarfile.TarInfo(path)
    if of_tree and os.path.islink(source):
        info.type, info.linkname = tarfile.SYMTYPE, os.readlink(source)
    elif os.path.isdir(source):
        info.type, info.mode = tarfile.DIRTYPE, 0o755
    else:
        info.mode = os.stat(source).st_mode & 0o7777 if of_tree else 0o755
        info.size = os.path.getsize(source)
    return info


def layer(given, target):
    entries = {path: (file, os.path.isdir(source)) for source, to in given for file, path in spread(source, to)}
    with tarfile.open(fileobj=target, mode="w") as tar:
        for path in directories(entries):
            if path not in entries:    # it may be a link: /bin -> usr/bin
                info = tarfile.TarInfo(path)
                info.type, info.mode = tarfile.DIRTYPE, 0o1777 if path == "tmp" else 0o755
                tar.addfile(info)
        for path, (source, of_tree) in entries.items():
            info = entry(source, path, of_tree)
            if info.isreg():
                with open(source, "rb") as file:
                    tar.addfile(info, file)
            else:
                tar.addfile(info)
    return target.getvalue()


def main():
    config = {"Entrypoint": [entrypoint] if entrypoint else None,
              "Env": ["PATH=/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin"]}
    for word, key in (("user=", "User"), ("cmd=", "Cmd")):
        for given in [f for f in files if f.startswith(word)]:
            files.remove(given)
            value = given.removeprefix(word)
            config[key] = value if key == "User" else [value]
    given = [(source, path.lstrip("/")) for source, path in (f.split("=", 1) for f in files)]
    blob = layer(given, io.BytesIO())
    digest = hashlib.sha256(blob).hexdigest()
    image = json.dumps({
        "architecture": "amd64", "os": "linux", "config": config,
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + digest]}, "history": [],
    }, sort_keys=True).encode()
    image_name = hashlib.sha256(image).hexdigest() + ".json"
    manifest = json.dumps([{"Config": image_name, "RepoTags": names.split(","), "Layers": [digest + "/layer.tar"]}]).encode()
    with tarfile.open(out, "w") as tar:
        for path, data in ((image_name, image), (digest + "/layer.tar", blob), ("manifest.json", manifest)):
            info = tarfile.TarInfo(path)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


main()
