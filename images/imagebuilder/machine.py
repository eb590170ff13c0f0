"""What this machine's own configuration says about package sources.

It reaches builds as secrets and stays in no layer.
"""

import configparser
import io
import re
import shlex
from collections.abc import Mapping

#: pip's options that make sense inside a build; paths of this machine do not.
PIP_OPTIONS = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "retries")
CA_IN_BUILD = "/run/secrets/ca-certificates"
APT_OPTION = re.compile(r'^(Acquire::(?:https?::.+|Check-Valid-Until|Check-Date|Retries)) "(.+)";$')


def pip_options(listing: str) -> dict[str, str]:
    """Reads `pip config list`: environment (`:env:.index-url='…'`) beats files (`global.index-url='…'`)."""
    options: dict[str, str] = {}
    ranked = sorted(listing.splitlines(), key=lambda line: line.startswith(":env:"))
    for line in ranked:
        name, _, value = line.partition("=")
        option = name.rpartition(".")[2]
        if option in PIP_OPTIONS:
            options[option] = " ".join(shlex.split(value))
    return options


def pip_conf(options: Mapping[str, str], own_ca: bool) -> str:
    """A pip.conf for the build; `own_ca` trusts this machine's certificates, mounted beside it."""
    parser = configparser.RawConfigParser()
    parser["global"] = {**options, "disable-pip-version-check": "1", "root-user-action": "ignore"}
    if own_ca:
        parser["global"]["cert"] = CA_IN_BUILD
    out = io.StringIO()
    parser.write(out)
    return out.getvalue()


def debian_mirrors(sources: str, codename: str) -> tuple[str, str]:
    """The archive and security mirrors among apt's sources, in either format; "" where none is named.

    Args:
        sources: the joined text of sources.list and sources.list.d.
        codename: the suite this machine runs, e.g. `bookworm`.
    """
    entries: list[tuple[str, list[str]]] = []
    for line in sources.splitlines():
        found = re.match(r"^deb\s+(?:\[[^]]*]\s+)?(\S+)\s+(\S+)", line)
        if found:
            entries.append((found[1], [found[2]]))
    for stanza in re.split(r"\n\s*\n", sources):
        fields = dict(re.findall(r"^(\w[\w-]*):[ \t]*(.*)$", stanza, re.MULTILINE))
        if "deb" in fields.get("Types", "").split():
            entries += [(uri, fields.get("Suites", "").split()) for uri in fields.get("URIs", "").split()]
    archive = next((uri for uri, suites in entries if codename in suites), "")
    security = next((uri for uri, suites in entries if f"{codename}-security" in suites), "")
    return archive, security


def apt_options(dump: str) -> dict[str, str]:
    """Proxy, certificate and date options out of `apt-config dump`."""
    return dict(found.groups() for line in dump.splitlines() if (found := APT_OPTION.match(line)))  # type: ignore[misc]


def apt_sources(archive: str, security: str, suite: str) -> str:
    """A deb822 sources file for the build."""
    stanzas = [_stanza(archive, f"{suite} {suite}-updates")]
    if security:
        stanzas.append(_stanza(security, f"{suite}-security"))
    return "\n".join(stanzas)


def apt_conf(options: Mapping[str, str], own_ca: bool) -> str:
    """An apt.conf for the build."""
    lines = dict(options)
    if own_ca:
        lines["Acquire::https::CaInfo"] = CA_IN_BUILD
    return "".join(f'{name} "{value}";\n' for name, value in sorted(lines.items()))


def _stanza(uri: str, suites: str) -> str:
    keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
    return f"Types: deb\nURIs: {uri}\nSuites: {suites}\nComponents: main\nSigned-By: {keyring}\n"
