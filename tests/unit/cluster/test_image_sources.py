from pathlib import Path

import pytest
from imagebuilder import machine, sources
from localcluster.errors import ClusterError

DEB822 = """\
Types: deb
# a comment
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main

Types: deb
URIs: http://mirror.example/security
Suites: bookworm-security
Components: main

Types: deb-src
URIs: http://sources.example/debian
Suites: bookworm
"""
ONE_LINE = """\
# deb http://old.example/debian bookworm main
deb [signed-by=/k.gpg arch=amd64] http://tools.example/apt tools-bookworm main
deb http://mirror.example/debian bookworm main contrib
deb http://mirror.example/security bookworm-security main
"""


@pytest.mark.parametrize("text", [DEB822, ONE_LINE], ids=["deb822", "one-line"])
def test_mirrors_are_found_in_both_formats_and_strangers_are_passed_over(text: str) -> None:
    expected = ("http://mirror.example/debian", "http://mirror.example/security")
    assert machine.debian_mirrors(text, "bookworm") == expected


def test_no_mirror_is_an_empty_answer() -> None:
    assert machine.debian_mirrors("deb http://x.example/ubuntu noble main", "bookworm") == ("", "")


def test_the_builds_sources_name_the_images_suite() -> None:
    text = machine.apt_sources("http://m.example/debian", "http://m.example/security", "trixie")
    assert "Suites: trixie trixie-updates\n" in text
    assert "URIs: http://m.example/security\nSuites: trixie-security\n" in text
    assert "security" not in machine.apt_sources("http://m.example/debian", "", "trixie")


def test_pips_environment_beats_its_files_and_paths_of_this_machine_stay_here() -> None:
    listing = (
        ":env:.index-url='https://env.example/simple'\n"
        ":env:.find-links='/opt/wheels'\n"
        "global.cert='/etc/ssl/own.crt'\n"
        "global.index-url='https://file.example/simple'\n"
        "global.timeout='60'\n"
    )
    assert machine.pip_options(listing) == {"index-url": "https://env.example/simple", "timeout": "60"}


def test_the_builds_pip_conf_trusts_the_mounted_certificates_only_when_there_are_any() -> None:
    assert f"cert = {machine.CA_IN_BUILD}" in machine.pip_conf({}, own_ca=True)
    assert "cert" not in machine.pip_conf({}, own_ca=False)


def test_apts_proxy_reaches_the_build_and_the_rest_does_not() -> None:
    dump = 'Acquire "";\nAcquire::http::Proxy "http://p:3128";\nAPT::Periodic "1";\nAcquire::Check-Date "false";\n'
    options = machine.apt_options(dump)
    assert options == {"Acquire::http::Proxy": "http://p:3128", "Acquire::Check-Date": "false"}
    assert machine.apt_conf(options, own_ca=False) == (
        'Acquire::Check-Date "false";\nAcquire::http::Proxy "http://p:3128";\n'
    )


def test_a_jar_with_other_content_is_named(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "a.jar").write_bytes(b"good")
    expected = sources.jar_sums(tmp_path)
    sources._check_jars(tmp_path, expected)
    (tmp_path / "lib" / "a.jar").write_bytes(b"evil")
    with pytest.raises(ClusterError, match=r"lib/a\.jar"):
        sources._check_jars(tmp_path, expected)
