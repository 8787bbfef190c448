"""The words of the nodes in other languages: nothing missing, nothing left over, and ComfyUI serves them."""

import re

import make_locales
import pytest
from dev import COMFYUI

CHINESE = make_locales.FOLDER / "zh" / "nodeDefs.json"
LANGUAGES = [make_locales.ENGLISH, *make_locales.translations()]


def language(path) -> str:
    return path.parent.name


def test_english_is_what_the_schemas_say(comfy):
    version = comfy.get("/system_stats")["system"]["comfyui_version"]
    if version != COMFYUI:
        pytest.skip(f"the file is written with ComfyUI {COMFYUI}, not {version}")
    words = make_locales.english(comfy.object_info())
    assert words, "the server knows no node of ours"
    stale = make_locales.differences(words, make_locales.read(make_locales.ENGLISH))
    assert not stale, "run tools/make_locales.py"
    assert make_locales.ENGLISH.read_text("utf-8") == make_locales.as_text(words), "run tools/make_locales.py"


@pytest.mark.parametrize("path", make_locales.translations(), ids=language)
def test_a_translation_says_all_that_english_says(path):
    """A new input needs its words here: `tools/make_locales.py` lists them too."""
    source, found = make_locales.read(make_locales.ENGLISH), make_locales.read(path)
    assert not make_locales.differences(source, found)
    assert path.read_text("utf-8") == make_locales.as_text(make_locales.ordered(source, found)), "run make_locales.py"


def test_chinese_is_chinese():
    assert CHINESE in LANGUAGES
    sentences = [(path, text) for path, text in make_locales.entries(make_locales.read(CHINESE)) if path[-1] != "name"]
    foreign = [".".join(path) for path, text in sentences if not re.search(r"[\u4e00-\u9fff]", text)]
    assert not foreign


@pytest.mark.parametrize("path", LANGUAGES, ids=language)
def test_no_word_is_syntax_to_the_editor(path):
    """vue-i18n, which the editor shows them with, reads braces, @ and | as its own."""
    words = dict(make_locales.entries(make_locales.read(path)))
    assert not {".".join(key): text for key, text in words.items() if re.search(r"[{}@|]", text)}
    assert not [key for key in words if any("." in name for name in key)]


@pytest.mark.parametrize("server", ["comfy", "comfy_0163"])
def test_comfyui_serves_the_words(server, request):
    served = request.getfixturevalue(server).get("/i18n")
    for path in LANGUAGES:
        assert served[language(path)]["nodeDefs"] == make_locales.read(path)


def test_differences_name_what_is_missing_and_what_is_stale():
    source = {"A": {"display_name": "a", "inputs": {"x": {"name": "x", "tooltip": "An x."}}}}
    found = {"A": {"display_name": "\u7532", "inputs": {"y": {"name": "y"}}}}
    assert make_locales.differences(source, found) == [
        "missing A.inputs.x.name: x", "missing A.inputs.x.tooltip: An x.", "stale A.inputs.y.name",
    ]  # fmt: skip
    assert make_locales.ordered(source, found) == {"A": {"display_name": "\u7532", "inputs": {}}}
