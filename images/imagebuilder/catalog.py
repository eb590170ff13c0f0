"""Which images there are, what goes into each, and the key that says when to build it again. Pure."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

PREFIX = "localhost/memsys"
#: Part of every key; raise it when the way of building changes what comes out.
RECIPE = 2


@dataclass(frozen=True)
class Image:
    """One image.

    Attributes:
        name: e.g. `memsys-api`, or `base-python` for a base.
        containerfile: path below the project's root.
        inputs: files and folders below the root that the build copies.
        bases: build argument -> the base image that stands in for the argument's upstream default.
        made: what is made beside the checkout and put into the build's context (`rootfs`, `neo4j`), or "".
    """

    name: str
    containerfile: str
    inputs: tuple[str, ...] = ()
    bases: Mapping[str, str] = field(default_factory=dict)
    made: str = ""

    @property
    def is_base(self) -> bool:
        return self.name.startswith("base-")


def _base(name: str, bases: Mapping[str, str], made: str = "", inputs: tuple[str, ...] = ()) -> Image:
    return Image(f"base-{name}", f"images/bases/{name}/Containerfile", inputs, bases, made)


BASES = (
    _base("debian", {}, made="rootfs"),
    _base("postgres", {"DEBIAN_BASE": "base-debian"}),
    _base("neo4j", {"DEBIAN_BASE": "base-debian"}, made="neo4j", inputs=("images/bases/neo4j",)),
    _base("python", {"DEBIAN_BASE": "base-debian"}),
    _base("python-build", {"PYTHON_BASE": "base-python"}),
)


def _python(room: str, *more: str) -> Image:
    inputs = (f"{room}/requirements.txt", f"{room}/src", "sdk/src", *more)
    bases = {"PYTHON_BASE": "base-python", "PYTHON_BUILD_BASE": "base-python-build"}
    return Image(f"memsys-{room}", f"images/{room}/Containerfile", inputs, bases)


def _database(name: str) -> Image:
    bases = {f"{name.upper()}_BASE": f"base-{name}"}
    return Image(f"memsys-{name}", f"images/{name}/Containerfile", (f"images/{name}",), bases)


IMAGES = (
    _database("postgres"),
    _database("neo4j"),
    _python("api", "api/requirements-model.txt"),
    _python("mcp"),
    _python("operator"),
)


def needed(wanted: Iterable[Image], own_bases: bool) -> list[Image]:
    """The images to build for `wanted`, bases first. On upstream bases that is `wanted` alone."""
    images = list(wanted)
    if not own_bases:
        return images
    by_name = {base.name: base for base in BASES}
    names = {name for image in images for name in image.bases.values()}
    while more := {name for base in names for name in by_name[base].bases.values()} - names:
        names |= more
    return [base for base in BASES if base.name in names] + images


def image_key(image: Image, files: Mapping[str, bytes], base_keys: Mapping[str, str]) -> str:
    """12 hex digits over everything that a build of the image depends on.

    Args:
        files: relative path -> content of the Containerfile and all inputs.
        base_keys: build argument -> key of the self-built base; empty on upstream bases.
    """
    digest = hashlib.sha256(json.dumps([RECIPE, image.name, image.made, dict(base_keys)], sort_keys=True).encode())
    for path in sorted(files):
        digest.update(f"\0{path}\0{len(files[path])}\0".encode())
        digest.update(files[path])
    return digest.hexdigest()[:12]


def build_arguments(image: Image, keys: Mapping[str, str]) -> list[str]:
    """`--build-arg` flags that name the self-built bases; none where `keys` is empty."""
    if not keys:
        return []
    return [f"--build-arg={argument}={reference(base, keys[base])}" for argument, base in sorted(image.bases.items())]


def reference(name: str, tag: str) -> str:
    """The full name of a local image."""
    return f"{PREFIX}/{name}:{tag}"
