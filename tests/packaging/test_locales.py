"""The words of nodes and page in other languages: nothing missing, nothing left over, and ComfyUI serves them."""

import re

import pytest

from tools import make_locales
from tools.development import COMFYUI

CHINESE = sorted((make_locales.FOLDER / "zh").glob("*.json"))
FILES = sorted(make_locales.FOLDER.glob("*/*.json"))


def name(path) -> str:
    return f"{path.parent.name}-{path.stem}"


def test_english_is_what_the_schemas_say(comfy):
    version = comfy.get("/system_stats")["system"]["comfyui_version"]
    if version != COMFYUI:
        pytest.skip(f"the file is written with ComfyUI {COMFYUI}, not {version}")
    words = make_locales.english(comfy.object_info())
    assert words, "the server knows no node of ours"
    stale = make_locales.differences(words, make_locales.read(make_locales.ENGLISH))
    assert not stale, "run python -m tools.make_locales"
    assert make_locales.ENGLISH.read_text("utf-8") == make_locales.as_text(words), "run python -m tools.make_locales"


@pytest.mark.parametrize("path", make_locales.translations(), ids=name)
def test_a_translation_says_all_that_english_says(path):
    """A new input needs its words here: `python -m tools.make_locales` lists them too."""
    source, found = make_locales.read(make_locales.english_of(path)), make_locales.read(path)
    assert not make_locales.differences(source, found)
    assert path.read_text("utf-8") == make_locales.as_text(make_locales.ordered(source, found)), "run make_locales.py"


@pytest.mark.parametrize("file", CHINESE, ids=name)
def test_chinese_is_chinese(file):
    """Apart from names of inputs and outputs."""
    sentences = [
        (path, text)
        for path, text in make_locales.entries(make_locales.read(file))
        if not {"inputs", "outputs"} & set(path) or path[-1] != "name"
    ]
    assert sentences
    assert not [".".join(path) for path, text in sentences if not re.search(r"[\u4e00-\u9fff]", text)]


@pytest.mark.parametrize("path", FILES, ids=name)
def test_no_word_is_syntax_to_the_editor(path):
    """vue-i18n, which the editor shows them with, reads braces, @ and | as its own."""
    words = dict(make_locales.entries(make_locales.read(path)))
    assert not {".".join(key): text for key, text in words.items() if re.search(r"[{}@|]", text)}
    assert not [key for key in words if any("." in name for name in key)]


def test_comfyui_serves_the_words(each_comfy):
    served = each_comfy.get("/i18n")
    for path in FILES:
        words = make_locales.read(path)
        wanted = words if path.stem == "main" else {path.stem: words}
        assert wanted.items() <= served[path.parent.name].items()


def test_commands_and_settings_are_in_chinese(each_comfy):
    scripts = "".join(path.read_text("utf-8") for path in (make_locales.ROOT / "web" / "js").glob("*.js"))
    ids = {name.replace(".", "_") for name in re.findall(r'"(AudioX\.\w+)"', scripts)}
    ids -= {name.replace(".", "_") for name in re.findall(r'name: "(AudioX\.\w+)"', scripts)}  # of the extensions
    served = each_comfy.get("/i18n")["zh"]
    assert set(served["commands"]) | set(served["settings"]) == ids
    for kind in ("commands", "settings", "main"):
        words = make_locales.read(make_locales.FOLDER / "zh" / f"{kind}.json")
        assert words == (served[kind] if kind != "main" else {key: served[key] for key in words})
        assert all(re.search(r"[\u4e00-\u9fff]", text) for _, text in make_locales.entries(words))


def test_differences_name_what_is_missing_and_what_is_stale():
    source = {"A": {"display_name": "a", "inputs": {"x": {"name": "x", "tooltip": "An x."}}}}
    found = {"A": {"display_name": "\u7532", "inputs": {"y": {"name": "y"}}}}
    assert make_locales.differences(source, found) == [
        "missing A.inputs.x.name: x",
        "missing A.inputs.x.tooltip: An x.",
        "stale A.inputs.y.name",
    ]
    assert make_locales.ordered(source, found) == {"A": {"display_name": "\u7532", "inputs": {}}}
