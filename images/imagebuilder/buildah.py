"""buildah with a store of its own in the cache, so that the user's images are neither seen nor touched."""

import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from localcluster import layout
from localcluster.commands import run, run_logged, succeeds
from localcluster.paths import RUN_DIR, cache_dir

POLICY = Path(__file__).resolve().parent / "policy.json"


def _command() -> list[str]:
    store = cache_dir() / "images" / "storage"
    return ["buildah", "--root", str(store), "--runroot", str(RUN_DIR / "buildah"), "--storage-driver", _driver()]


def _driver() -> str:
    """overlay where the kernel has it (root only), else plain copies."""
    return "overlay" if os.geteuid() == 0 and "overlay" in Path("/proc/filesystems").read_text() else "vfs"


def _pip_cache() -> Path:
    folder = cache_dir() / "pip"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def exists(reference: str) -> bool:
    """Whether the store has the image."""
    return succeeds([*_command(), "inspect", "--type=image", reference])


def build(
    reference: str,
    containerfile: Path,
    context: Path,
    *,
    arguments: Sequence[str],
    secrets: Mapping[str, Path],
    ignore: Path,
    log: Path,
) -> None:
    """Builds one image, reusing the layers of earlier builds.

    Raises:
        ClusterError: the build failed; carries the end of its log.
    """
    flags = ["--layers", "--isolation=chroot", "--format=oci", f"--signature-policy={POLICY}", f"--ignorefile={ignore}"]
    flags += [f"--secret=id={name},src={path}" for name, path in sorted(secrets.items())]
    flags.append(f"--volume={_pip_cache()}:/root/.cache/pip")
    run_logged([*_command(), "build", *flags, *arguments, "-t", reference, "-f", containerfile, context], log)


def export(reference: str, layout_folder: Path, name: str) -> None:
    """Puts an image of the store into an OCI layout under the given name."""
    layout_folder.mkdir(parents=True, exist_ok=True)
    # buildah compresses what it writes to an `oci:` layout; to a `dir:` it does not, which is several times faster.
    with tempfile.TemporaryDirectory(dir=layout_folder.parent, prefix=".export-") as folder:
        run([*_command(), "push", "--quiet", f"--signature-policy={POLICY}", reference, f"dir:{folder}"])
        layout.adopt(layout_folder, Path(folder), name)


def push(reference: str, destination: str, log: Path) -> None:
    """Pushes an image of the store to a registry, with the credentials of `buildah login`."""
    flags = [f"--signature-policy={POLICY}", *(["--tls-verify=false"] if is_loopback(destination) else [])]
    run_logged([*_command(), "push", *flags, reference, f"docker://{destination}"], log)


def is_loopback(destination: str) -> bool:
    """Whether a registry is on this machine; such a one may speak plain HTTP, as Docker has it too."""
    host = destination.split("/", 1)[0]
    return re.fullmatch(r"(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?", host) is not None


def remove_leftovers() -> None:
    """Removes the working containers that an interrupted build left; only for the holder of the store's lock."""
    run([*_command(), "rm", "--all"])


def remove_old(keep: Sequence[str]) -> None:
    """Drops all other tags of the images in `keep`; layers that a later build may reuse stay."""
    names = {reference.rpartition(":")[0] for reference in keep}
    listed = run([*_command(), "images", "--noheading", "--format", "{{.Name}}:{{.Tag}}"]).split()
    for reference in listed:
        if reference.rpartition(":")[0] in names and reference not in keep:
            run([*_command(), "rmi", reference])
