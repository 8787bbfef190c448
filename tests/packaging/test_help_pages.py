"""The help pages of the nodes: their pictures, and the Chinese ones beside the English ones.

ComfyUI's page asks for `docs/NODE/LANGUAGE.md` and then for `docs/NODE.md`; pictures stand under `docs/` for both.
"""

import re
import urllib.request
from pathlib import Path

import pytest

from devtools.paths import ROOT
from tools import make_help_pictures, make_locales

FOLDER = ROOT / "web" / "docs"
ENGLISH = {path.stem: path for path in FOLDER.glob("*.md")}
CHINESE = {path.parent.name: path for path in FOLDER.glob("*/zh.md")}
PAGES = [*ENGLISH.values(), *CHINESE.values()]

PICTURE = re.compile(r"^!\[[^]]+\]\((\S+)\)$", re.M)


def page_name(path: Path) -> str:
    return str(path.relative_to(FOLDER))


def words(language: str) -> dict:
    """Node -> its display name, inputs and outputs in a language."""
    return make_locales.read(make_locales.FOLDER / language / "nodeDefs.json")


def slot_names(language: str, node: str) -> dict[str, str]:
    """Place of an input or output, as in "inputs.seconds" -> how it is called."""
    found = dict(make_locales.entries(words(language)[node]))
    return {".".join(key[:2]): text for key, text in found.items() if key[-1] == "name"}


def bold(text: str) -> set[str]:
    return {name.rstrip(".") for name in re.findall(r"\*\*([^*]+)\*\*", text)}


def unchanged(text: str) -> set[str]:
    """What no language translates: code, and the values of inputs, which stand in italics."""
    italic = re.findall(r"(?<!\*)\*([a-z][^*]*)\*(?!\*)", text)
    return {*re.findall(r"`([^`]+)`", text), *italic}


# Pictures


@pytest.mark.parametrize("path", PAGES, ids=page_name)
def test_a_page_shows_its_node(path):
    language, node = (path.stem, path.parent.name) if path in CHINESE.values() else ("en", path.stem)
    picture = make_help_pictures.picture_path(language, node)
    assert PICTURE.findall(path.read_text("utf-8")) == [str(picture.relative_to(FOLDER).as_posix())]
    content = picture.read_bytes()
    assert content.startswith(b"\xff\xd8")
    assert 5_000 < len(content) < 60_000


def test_every_picture_is_shown_and_can_be_made_again():
    assert set(make_help_pictures.SHOWN_IN) == set(ENGLISH)
    stored = {str(path.relative_to(FOLDER).as_posix()) for path in FOLDER.rglob("*.jpg")}
    assert stored == {name for path in PAGES for name in PICTURE.findall(path.read_text("utf-8"))}


def test_comfyui_serves_pages_and_pictures(each_comfy):
    address = each_comfy.address
    for path in [*CHINESE.values(), *FOLDER.rglob("*.jpg")]:
        with urllib.request.urlopen(f"http://{address}/extensions/audiox-native/docs/{page_name(path)}") as answer:
            assert answer.read() == path.read_bytes()
            if path.suffix == ".jpg":
                assert answer.headers["Content-Type"] == "image/jpeg"


# Chinese


def test_every_node_has_a_chinese_page_under_its_chinese_name():
    titles = {node: path.read_text("utf-8").splitlines()[0] for node, path in CHINESE.items()}
    assert titles == {node: f"# {said['display_name']}" for node, said in words("zh").items()}


@pytest.mark.parametrize("node", ENGLISH)
def test_a_chinese_page_names_the_same_inputs_values_and_files(node):
    english, chinese = ENGLISH[node].read_text("utf-8"), CHINESE[node].read_text("utf-8")
    ours, theirs = slot_names("en", node), slot_names("zh", node)
    named = {theirs[place] for place, name in ours.items() if name in bold(english)}
    assert bold(chinese) & {*theirs.values()} == named
    assert unchanged(chinese) == unchanged(english)
    assert re.search(r"[\u4e00-\u9fff]", chinese)
