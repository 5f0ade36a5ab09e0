#!/usr/bin/env python3
"""oci.py DOCKER.tar OCI.tar NAME: the docker-archive of archive.py as an OCI archive, whose image is called NAME@sha256:DIGEST, as one
that was pulled by its digest is. Prints that name."""
import hashlib
import io
import json
import sys
import tarfile

docker, oci, name = sys.argv[1:]


def described(kind, data):
    return {"mediaType": f"application/vnd.oci.image.{kind}", "size": len(data), "digest": "sha256:" + hashlib.sha256(data).hexdigest()}


with tarfile.open(docker) as tar:
    listed = json.load(tar.extractfile("manifest.json"))[0]
    config, layer = (tar.extractfile(path).read() for path in (listed["Config"], listed["Layers"][0]))
manifest = json.dumps({
    "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": described("config.v1+json", config),
    "layers": [described("layer.v1.tar", layer)],
}, sort_keys=True).encode()
entry = described("manifest.v1+json", manifest)
whole = f"{name}@{entry['digest']}"
entry["annotations"] = {"io.containerd.image.name": whole, "org.opencontainers.image.ref.name": name + ":1"}
index = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
files = [("oci-layout", b'{"imageLayoutVersion":"1.0.0"}'), ("index.json", index)]
files += [("blobs/sha256/" + hashlib.sha256(data).hexdigest(), data) for data in (config, layer, manifest)]
with tarfile.open(oci, "w") as tar:
    for path, data in files:
        info = tarfile.TarInfo(path)
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
print(whole)
