"""OCI image layouts: folders of images that share their blobs, and the archives that containerd imports.

The index of a layout names each image by `org.opencontainers.image.ref.name`. Layers are kept uncompressed: they are
only ever read on this machine.
"""

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Container, Iterable, Mapping
from pathlib import Path
from typing import IO, Any

REF_NAME = "org.opencontainers.image.ref.name"
#: containerd takes an image's full name from this annotation.
CONTAINERD_NAME = "io.containerd.image.name"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
LAYOUT_MARK = b'{"imageLayoutVersion": "1.0.0"}'


def images(layout: Path) -> dict[str, str]:
    """Image name -> manifest digest (`sha256:...`); empty when there is no layout yet."""
    return {_name(item): item["digest"] for item in _index(layout)["manifests"]}


def config_digests(layout: Path) -> dict[str, str]:
    """Image name -> digest of its configuration, which is what a kubelet reports as `imageID`."""
    return {
        name: json.loads(_blob(layout, digest).read_bytes())["config"]["digest"]
        for name, digest in images(layout).items()
    }


def write_archive(layout: Path, name: str, out: IO[bytes], present: Container[str] = ()) -> None:
    """Writes one image as an OCI archive (tar) that `ctr images import` names `name`.

    Args:
        present: digests of blobs that the receiver has already; they are left out.

    Raises:
        KeyError: the layout has no such image.
    """
    entry = next((item for item in _index(layout)["manifests"] if _name(item) == name), None)
    if entry is None:
        raise KeyError(name)
    named = {**entry, "annotations": {REF_NAME: name, CONTAINERD_NAME: name}}
    with tarfile.open(fileobj=out, mode="w|") as archive:
        _add_bytes(archive, "oci-layout", LAYOUT_MARK)
        _add_bytes(archive, "index.json", json.dumps({"schemaVersion": 2, "manifests": [named]}).encode())
        for digest in _blobs_of(layout, entry["digest"]):
            if digest in present:
                continue
            archive.add(_blob(layout, digest), arcname=f"blobs/{digest.replace(':', '/')}")


def add_scratch_image(layout: Path, name: str, files: Mapping[str, Path], entrypoint: list[str]) -> None:
    """Adds an image of one layer that holds only `files` (path in the image -> static executable)."""
    layer_bytes = io.BytesIO()
    with tarfile.open(fileobj=layer_bytes, mode="w") as layer:
        for target, source in sorted(files.items()):
            _add_bytes(layer, target.lstrip("/"), source.read_bytes(), mode=0o755)
    layer_entry = _put(layout, LAYER_TYPE, layer_bytes.getvalue())
    config = {
        "architecture": _architecture(),
        "os": "linux",
        "config": {"Entrypoint": entrypoint, "Env": ["PATH=/"]},
        "rootfs": {"type": "layers", "diff_ids": [layer_entry["digest"]]},
    }
    config_entry = _put(layout, CONFIG_TYPE, json.dumps(config, sort_keys=True).encode())
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": config_entry, "layers": [layer_entry]}
    entry = _put(layout, MANIFEST_TYPE, json.dumps(manifest, sort_keys=True).encode())
    _enter(layout, name, entry)


def adopt(layout: Path, folder: Path, name: str) -> None:
    """Moves an image that `buildah push dir:` wrote into the layout, under the given name."""
    manifest_bytes = (folder / "manifest.json").read_bytes()
    manifest = json.loads(manifest_bytes)
    for part in [manifest["config"], *manifest["layers"]]:
        target = _blob(layout, part["digest"])
        target.parent.mkdir(parents=True, exist_ok=True)
        source = folder / target.name
        if source.exists():  # A layer may appear twice in a manifest.
            source.replace(target)
    _enter(layout, name, _put(layout, manifest["mediaType"], manifest_bytes))


def retain(layout: Path, names: Iterable[str]) -> None:
    """Drops all other images from the layout, and the blobs that no image needs any more."""
    wanted = set(names)
    kept = [item for item in _index(layout)["manifests"] if _name(item) in wanted]
    needed = {digest for item in kept for digest in _blobs_of(layout, item["digest"])}
    _write_index(layout, kept)
    for blob in (layout / "blobs" / "sha256").iterdir():
        if f"sha256:{blob.name}" not in needed:
            blob.unlink()


def _name(item: Mapping[str, Any]) -> str:
    name: str = item["annotations"][REF_NAME]
    return name


def _index(layout: Path) -> dict[str, Any]:
    try:
        index: dict[str, Any] = json.loads((layout / "index.json").read_bytes())
    except FileNotFoundError:
        return {"manifests": []}
    return index


def _enter(layout: Path, name: str, entry: Mapping[str, Any]) -> None:
    others = [item for item in _index(layout)["manifests"] if _name(item) != name]
    (layout / "oci-layout").write_bytes(LAYOUT_MARK)
    _write_index(layout, [*others, {**entry, "annotations": {REF_NAME: name}}])


def _write_index(layout: Path, manifests: list[dict[str, Any]]) -> None:
    fresh = layout / ".index.json"
    fresh.write_text(json.dumps({"schemaVersion": 2, "manifests": manifests}))
    fresh.replace(layout / "index.json")


def _blob(layout: Path, digest: str) -> Path:
    return layout / "blobs" / digest.replace(":", "/")


def _blobs_of(layout: Path, digest: str) -> list[str]:
    """The manifest, its config and its layers, each once."""
    manifest = json.loads(_blob(layout, digest).read_bytes())
    parts = [manifest["config"], *manifest["layers"]]
    return list(dict.fromkeys([digest, *(part["digest"] for part in parts)]))


def _put(layout: Path, media_type: str, content: bytes) -> dict[str, Any]:
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    path = _blob(layout, digest)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return {"mediaType": media_type, "digest": digest, "size": len(content)}


def _add_bytes(archive: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), mode
    archive.addfile(member, io.BytesIO(content))


def _architecture() -> str:
    """The machine's architecture in Go's words."""
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
