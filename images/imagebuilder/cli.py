"""`images/build` and `images/push`."""

import argparse
import os
import re
import shutil
import signal
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from localcluster import cachefolder, layout
from localcluster.errors import ClusterError
from localcluster.images import project_layout
from localcluster.locks import exclusive
from localcluster.paths import cache_dir
from localcluster.prerequisites import IMAGES, require
from localcluster.progress import say, step

from . import buildah, sources
from .catalog import IMAGES as ALL_IMAGES
from .catalog import PREFIX, Image, build_arguments, image_key, needed, reference

ROOT = Path(__file__).resolve().parent.parent.parent
REGISTRY_PROBE = "https://registry-1.docker.io/v2/"
KEY_FILES = "keys"


def build(argv: Sequence[str] | None = None) -> int:
    """`images/build [--list] [--bases auto|upstream|own] [NAME...]`; returns the exit code."""
    parser = argparse.ArgumentParser(prog="images/build", description="Builds the images into the cache.")
    parser.add_argument("--list", action="store_true", help="print which images are current; build nothing")
    parser.add_argument(
        "--bases",
        choices=("auto", "upstream", "own"),
        default=os.environ.get("MEMSYS_BASES", "auto"),
        help="base images: upstream, self-built, or upstream where their registry answers (default: %(default)s)",
    )
    parser.add_argument("names", metavar="NAME", nargs="*", help="e.g. memsys-api; default: all")
    return _guarded(lambda: _build(parser.parse_args(argv)))


def push(argv: Sequence[str] | None = None) -> int:
    """`images/push REGISTRY`; returns the exit code."""
    parser = argparse.ArgumentParser(prog="images/push", description="Pushes the built images to a registry.")
    parser.add_argument("registry", metavar="REGISTRY", help="host and path, e.g. registry.example.com/memsys")
    return _guarded(lambda: _push(parser.parse_args(argv).registry.rstrip("/")))


def project_version() -> str:
    """The version of the project, which is the images' tag."""
    source = ROOT / "api" / "src" / "memsys_api" / "__init__.py"
    found = re.search(r'^__version__ = "([^"]+)"$', source.read_text(), re.MULTILINE)
    if not found:
        raise ClusterError(f'{source}: expected a line __version__ = "X.Y.Z"')
    return found[1]


def _guarded(action: Callable[[], None]) -> int:
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        action()
    except ClusterError as error:
        say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        say("interrupted; the same command carries on from here")
        return 130
    return 0


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@dataclass(frozen=True)
class Plan:
    """What there is to do: all images concerned, bases first, with their keys, and those that must be built."""

    images: list[Image]
    keys: dict[str, str]
    due: list[Image]


def _plan(wanted: Sequence[Image], own_bases: bool) -> Plan:
    images = needed(wanted, own_bases)
    keys: dict[str, str] = {}
    for image in images:
        base_keys = {argument: keys[base] for argument, base in image.bases.items()} if own_bases else {}
        keys[image.name] = image_key(image, _input_files(image), base_keys)
    stale = [image for image in images if not _is_current(image, keys[image.name])]
    # A current image needs no base; a stale one needs its bases in the store.
    required = needed([image for image in stale if not image.is_base], own_bases)
    return Plan(images, keys, [image for image in stale if image in required])


def _build(arguments: argparse.Namespace) -> None:
    wanted = _select(arguments.names)
    own_bases = _own_bases(arguments.bases)
    plan = _plan(wanted, own_bases)
    if arguments.list:
        for image in plan.images:
            print(f"{image.name}\t{plan.keys[image.name]}\t{'due' if image in plan.due else 'current'}")
        return
    if not plan.due:
        return
    cachefolder.mark(cache_dir())
    require(IMAGES)
    with exclusive(cache_dir() / "images.lock", "the image store"), tempfile.TemporaryDirectory() as secrets_folder:
        # Another build may have done the work meanwhile, and the sources may have changed.
        plan = _plan(wanted, own_bases)
        if plan.due:
            say(f"  images on {'self-built' if own_bases else 'upstream'} bases")
            buildah.remove_leftovers()
            secrets = sources.write_secrets(Path(secrets_folder))
            for image in plan.due:
                _build_one(image, plan.keys, own_bases, secrets)
            buildah.remove_old([reference(image.name, plan.keys[image.name]) for image in plan.images])
            layout.retain(project_layout(), [_published(image) for image in ALL_IMAGES])


def _build_one(image: Image, keys: Mapping[str, str], own_bases: bool, secrets: Mapping[str, Path]) -> None:
    key = keys[image.name]
    name = reference(image.name, key)
    log = cache_dir() / "log" / f"image-{image.name}.log"
    context = Path(tempfile.mkdtemp(prefix=f".{image.name}-", dir=_images_dir())) if image.made else ROOT
    try:
        if image.made:
            sources.make(image.made, ROOT, context)
        with step(f"image {image.name}"):
            buildah.build(
                name,
                ROOT / image.containerfile,
                context,
                arguments=build_arguments(image, keys if own_bases else {}),
                secrets=secrets,
                ignore=ROOT / "images" / "containerignore",
                log=log,
            )
            if not image.is_base:
                buildah.export(name, project_layout(), _published(image))
    finally:
        if context != ROOT:
            shutil.rmtree(context)
    _remember(image, key)


def _push(registry: str) -> None:
    for image in ALL_IMAGES:
        key = _remembered(image)
        if not key or not buildah.exists(reference(image.name, key)):
            raise ClusterError(f"{image.name} is not built: run images/build first")
    for image in ALL_IMAGES:
        destination = f"{registry}/{image.name}:{project_version()}"
        with step(f"push {destination}"):
            buildah.push(reference(image.name, _remembered(image)), destination, cache_dir() / "log" / "image-push.log")
        print(destination)


def _select(names: Sequence[str]) -> list[Image]:
    known = {image.name: image for image in ALL_IMAGES}
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise ClusterError(f"no such image: {', '.join(unknown)}; there are {', '.join(known)}")
    return [known[name] for name in names] if names else list(ALL_IMAGES)


def _own_bases(choice: str) -> bool:
    if choice != "auto":
        return choice == "own"
    try:
        urllib.request.urlopen(REGISTRY_PROBE, timeout=5).close()
    except urllib.error.HTTPError:
        return False  # It answers, if only to ask who is there.
    except OSError:
        return True
    return False


def _input_files(image: Image) -> dict[str, bytes]:
    """Relative path -> content of all that the build reads from the checkout."""
    files = {image.containerfile: (ROOT / image.containerfile).read_bytes()}
    for entry in map(ROOT.joinpath, image.inputs):
        if not entry.exists():
            raise ClusterError(f"{image.name} needs {entry.relative_to(ROOT)}, which does not exist")
        paths = [entry] if entry.is_file() else sorted(entry.rglob("*"))
        for path in paths:
            if path.is_file() and "__pycache__" not in path.parts:
                mode = b"x" if os.access(path, os.X_OK) else b"-"
                files[str(path.relative_to(ROOT))] = mode + path.read_bytes()
    return files


def _published(image: Image) -> str:
    return f"{PREFIX}/{image.name}:{project_version()}"


def _images_dir() -> Path:
    folder = cache_dir() / "images"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _remembered(image: Image) -> str:
    path = _images_dir() / KEY_FILES / image.name
    return path.read_text() if path.exists() else ""


def _remember(image: Image, key: str) -> None:
    path = _images_dir() / KEY_FILES / image.name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(key)


def _is_current(image: Image, key: str) -> bool:
    """Built with this key and still there: final images in the layout, bases in the store."""
    if _remembered(image) != key:
        return False
    if image.is_base:
        return buildah.exists(reference(image.name, key))
    return _published(image) in layout.images(project_layout())
