from hashlib import sha256

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from memsys_mcp import projects
from memsys_mcp.projects import Ask, Isolation, ProjectError

names = st.from_regex(projects.NAME, fullmatch=True)
MODES = st.sampled_from(list(Isolation))


@pytest.mark.parametrize("name", ["a", "shop", "github.com.acme.shop", "a-b_c.d", "0", "x" * 100])
def test_good_names(name: str):
    assert projects.validate(name, "field") == name


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../etc", "a/b", "A", "a b", "-a", "a-", "x" * 101, "a\n", "a\x00", "ä", "*", "a,b", "a%2fb"],
)
def test_bad_names_are_refused_with_field_and_rule(name: str):
    with pytest.raises(ProjectError, match=r"^header X: .*use 1 to 100 of a-z"):
        projects.validate(name, "header X")


@given(names)
def test_auto_follows_the_connection_and_else_asks_for_the_workspace(name: str):
    assert projects.choose(Isolation.AUTO, None, path=name) == name
    assert projects.choose(Isolation.AUTO, None, header=name) == name
    assert projects.choose(Isolation.AUTO, None, path=name, header=name) == name
    assert projects.choose(Isolation.AUTO, None) is Ask.WORKSPACE


def test_path_and_header_that_disagree_are_refused():
    with pytest.raises(ProjectError, match="'a' and the header X-Memsys-Project names 'b'"):
        projects.choose(Isolation.AUTO, None, path="a", header="b")


@pytest.mark.parametrize("mode", [Isolation.MANUAL, Isolation.GLOBAL])
def test_a_fixed_server_serves_its_project_and_refuses_every_other(mode: Isolation):
    assert projects.choose(mode, "shop") == "shop"
    assert projects.choose(mode, "shop", path="shop") == "shop"
    with pytest.raises(ProjectError, match="this server serves the project 'shop'"):
        projects.choose(mode, "shop", header="bank")


def test_manual_without_a_fixed_project_wants_each_connection_to_name_its_own():
    assert projects.choose(Isolation.MANUAL, None, path="shop") == "shop"
    with pytest.raises(ProjectError, match="connect to /p/<project>/mcp"):
        projects.choose(Isolation.MANUAL, None)


def test_global_without_a_project_means_the_default_of_the_key():
    assert projects.choose(Isolation.GLOBAL, None) is None
    with pytest.raises(ProjectError, match="one project shared by all"):
        projects.choose(Isolation.GLOBAL, None, path="shop")


@given(MODES, st.none() | names, st.none() | st.text(), st.none() | st.text())
def test_whatever_is_asked_for_the_answer_is_a_valid_project_the_default_or_a_question(
    mode: Isolation, fixed: str | None, path: str | None, header: str | None
):
    fixed = None if mode is Isolation.AUTO else fixed
    try:
        choice = projects.choose(mode, fixed, path=path, header=header)
    except ProjectError:
        return
    if isinstance(choice, str):
        assert projects.NAME.fullmatch(choice)
        assert choice in (fixed, path, header)
    if fixed is not None:
        assert choice == fixed, "nothing a caller sends moves a fixed server"


@pytest.mark.parametrize(
    ("remote", "project"),
    [
        ("git@github.com:Acme/Shop.git", "github.com.acme.shop"),
        ("https://github.com/acme/shop", "github.com.acme.shop"),
        ("https://github.com/acme/shop.git/", "github.com.acme.shop"),
        ("https://me:ghp_secret@github.com/acme/shop.git", "github.com.acme.shop"),
        ("ssh://git@github.com:22/acme/shop.git", "github.com.acme.shop"),
        ("git://github.com/acme/shop", "github.com.acme.shop"),
        ("github.com:acme/shop", "github.com.acme.shop"),
        ("git@gitlab.example.org:group/sub/shop.git", "gitlab.example.org.group.sub.shop-81e5544e4b"),
        ("https://github.com/acme/acme.github.io", "github.com.acme.acme.github.io-6a85698a22"),
        ("git@git.example.org:shop.git", "git.example.org.shop-eaee0e754b"),
        ("/srv/git/shop.git", None),
        ("file:///srv/git/shop.git", None),
        ("../shop", None),
        ("C:/git/shop", None),
        ("", None),
    ],
)
def test_a_repository_has_one_project_however_its_remote_is_written(remote: str, project: str | None):
    assert projects.from_remote(remote) == project


@given(st.from_regex(r"[A-Za-z0-9~ _.äöü/-]{1,150}", fullmatch=True))
def test_any_remote_gives_a_valid_name_and_the_same_one_each_time(path: str):
    first = projects.from_remote(f"https://example.org/{path}")
    assert first is None or projects.NAME.fullmatch(first)
    assert projects.from_remote(f"git@example.org:{path.lstrip('/')}") in (first, None)


labels = st.text("ab-.", min_size=1, max_size=3).filter(lambda label: label.strip(".") == label)
remotes = st.tuples(labels, st.lists(labels, min_size=1, max_size=4).map("/".join)).filter(
    lambda remote: not remote[1].endswith(".git")
)


@given(remotes, remotes)
@example(("gitlab.com", "acme/shop/api"), ("gitlab.com", "acme/shop.api"))
@example(("gitlab.com", "acme/shop/api"), ("gitlab.com", "acme.shop/api"))
@example(("gitlab.com", "acme/shop"), ("gitlab.com.acme", "shop"))
@example(("gitlab.com", "acme/shop/api"), ("gitlab.com.acme", "shop/api"))
@example(("github.com", "acme/x~y"), ("github.com", f"acme/x-y-{sha256(b'github.com/acme/x~y').hexdigest()[:10]}"))
def test_remotes_of_different_repositories_have_different_projects(left: tuple[str, str], right: tuple[str, str]):
    of_left, of_right = (projects.from_remote(f"ssh://git@{host}/{path}.git") for host, path in (left, right))
    assert (of_left == of_right) == (left == right)


@given(st.text(min_size=1, max_size=200), st.text(min_size=1, max_size=200))
def test_different_directories_have_different_projects(left: str, right: str):
    def repository(text: str) -> str:
        return "".join(c for c in text.casefold() if c not in "/.:@?#[]%\\").strip()

    a, b = repository(left), repository(right)
    if a and b and a.strip("._-") and b.strip("._-"):
        of_a, of_b = projects.from_directory(a), projects.from_directory(b)
        assert (of_a == of_b) == (a == b)


@pytest.mark.parametrize(
    ("uri", "project"),
    [
        ("file:///home/me/shop", "shop"),
        ("file:///home/me/shop/", "shop"),
        ("file:///C:/src/Shop", "shop"),
        ("file:///tmp/shop-0123456789", "shop-0123456789"),
        ("file:///", None),
        ("vscode-remote://ssh/srv/shop", "shop"),
    ],
)
def test_a_root_known_by_its_uri_alone_is_named_after_its_directory(uri: str, project: str | None):
    assert projects.from_root_uri(uri) == project


def test_a_root_with_characters_no_project_has_keeps_apart_from_its_like():
    first, second = projects.from_root_uri("file:///home/me/my%20shop"), projects.from_root_uri("file:///x/my-shop")
    assert first is not None
    assert first.startswith("my-shop-")
    assert second == "my-shop"


def test_one_workspace_decides_none_or_several_do_not():
    assert projects.from_workspace(["shop", "shop"]) == "shop"
    with pytest.raises(ProjectError, match=r"several workspaces are open \(bank, shop\)"):
        projects.from_workspace(["shop", "bank"])
    with pytest.raises(ProjectError, match="the server does not guess: connect to /p/<project>/mcp"):
        projects.from_workspace([])
