"""Makes what goes into the self-built bases: Debian's root file system and Neo4j's jars."""

import hashlib
import platform
import shutil
from pathlib import Path

from localcluster.commands import run, run_logged
from localcluster.errors import ClusterError
from localcluster.paths import cache_dir
from localcluster.prerequisites import require
from localcluster.progress import step

from . import machine

SUITE = "trixie"
CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
#: Not needed in a container; copyright notices stay.
LEFT_OUT = ("/usr/share/man/*", "/usr/share/locale/*", "/usr/share/doc/*", "/usr/share/info/*")


def write_secrets(folder: Path) -> dict[str, Path]:
    """Writes this machine's pip and apt settings as files; returns secret id -> file."""
    own_ca = CA_BUNDLE.exists()
    pip = machine.pip_options(_output(["python3", "-m", "pip", "config", "list"]))
    texts = {
        "pip-conf": machine.pip_conf(pip, own_ca),
        "apt-sources": _apt_sources(),
        "apt-conf": machine.apt_conf(machine.apt_options(_output(["apt-config", "dump"])), own_ca),
    }
    secrets = {}
    for name, text in texts.items():
        secrets[name] = folder / name
        secrets[name].write_text(text)
    if own_ca:
        secrets["ca-certificates"] = CA_BUNDLE
    return secrets


def make(what: str, root: Path, folder: Path) -> None:
    """Makes `rootfs` or `neo4j` in `folder`, the context of the base's build."""
    {"rootfs": _make_rootfs, "neo4j": _make_neo4j}[what](root, folder)


def _make_rootfs(root: Path, folder: Path) -> None:
    require(["mmdebstrap"])
    command = ["mmdebstrap", "--variant=minbase"]
    command += [f"--dpkgopt=path-exclude={path}" for path in LEFT_OUT]
    command += ["--dpkgopt=path-include=/usr/share/doc/*/copyright"]
    options = machine.apt_options(_output(["apt-config", "dump"]))
    command += [f'--aptopt={name} "{value}"' for name, value in sorted(options.items())]
    # The mirror and the options are this machine's affair: they do not stay in the image.
    command.append('--customize-hook=rm -f "$1/etc/apt/apt.conf.d/99mmdebstrap"')
    command += [SUITE, str(folder / "rootfs.tar")]
    sources = _apt_sources()
    if sources:
        command.insert(-2, '--customize-hook=rm -f "$1"/etc/apt/sources.list "$1"/etc/apt/sources.list.d/*')
        listing = folder / "mirror.sources"
        listing.write_text(sources)
        command.append(str(listing))
    with step(f"Debian {SUITE} root file system (mmdebstrap)"):
        run_logged(command, cache_dir() / "log" / "mmdebstrap.log")


def _make_neo4j(root: Path, folder: Path) -> None:
    require(["mvn"])
    recipe = root / "images" / "bases" / "neo4j"
    with step("Neo4j and APOC jars (Maven)"):
        options = [f"-Dmaven.repo.local={cache_dir() / 'maven'}", f"-DoutputDirectory={folder}"]
        log = cache_dir() / "log" / "maven.log"
        run_logged(["mvn", "-q", "-B", "-f", recipe / "pom.xml", *options, "package"], log)
    _check_jars(folder, (recipe / "jars.sha256").read_text())


def jar_sums(folder: Path) -> str:
    """`sha256sum` lines of all jars below `folder`, sorted by path."""
    jars = sorted(folder.glob("*/*.jar"))
    return "".join(f"{hashlib.sha256(jar.read_bytes()).hexdigest()}  {jar.relative_to(folder)}\n" for jar in jars)


def _check_jars(folder: Path, expected: str) -> None:
    found = set(jar_sums(folder).splitlines())
    wrong = sorted(line.split()[1] for line in found ^ set(expected.splitlines()))
    if wrong:
        raise ClusterError(
            f"fetched jars differ from images/bases/neo4j/jars.sha256: {', '.join(dict.fromkeys(wrong))}; "
            "if the pom was changed on purpose, write the file anew (images/README.md)"
        )


def _apt_sources() -> str:
    """deb822 sources of this machine's mirrors for the images' suite; "" where it is no Debian."""
    files = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    text = "\n\n".join(path.read_text() for path in files if path.suffix in (".list", ".sources") and path.exists())
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return ""
    archive, security = machine.debian_mirrors(text, release.get("VERSION_CODENAME", ""))
    return machine.apt_sources(archive, security, SUITE) if archive and release["ID"] == "debian" else ""


def _output(argv: list[str]) -> str:
    """stdout of a program that need not exist here."""
    return run(argv) if shutil.which(argv[0]) else ""
