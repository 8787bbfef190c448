"""Write `locales/en/nodeDefs.json` from the nodes' schemas, and list what the other languages lack.

Run it after changing a text of a node: `python -m tools.make_locales`. That English file comes from a live ComfyUI;
the other English files, with the texts of the scripts in `web/js`, and all translations are written by hand. The tool
puts a translation's entries in the order of the English file, drops stale ones, and lists what is to be translated.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from devtools.paths import ROOT

FOLDER = ROOT / "locales"
ENGLISH = FOLDER / "en" / "nodeDefs.json"

PACK = "custom_nodes.audiox-native"


def english(infos: dict) -> dict:
    """The texts of our nodes from /object_info, in the format of ComfyUI's nodeDefs.json."""
    return {name: node_words(info) for name, info in infos.items() if info["python_module"] == PACK}


def node_words(info: dict) -> dict:
    """display_name, description, inputs by name and outputs by number of one node."""
    inputs = {}
    for name, definition in {**info["input"].get("required", {}), **info["input"].get("optional", {})}.items():
        options = definition[1] if len(definition) > 1 else {}
        inputs[name] = {"name": options.get("display_name") or name, "tooltip": options.get("tooltip", "")}
    outputs = {}
    for slot, (type_, name) in enumerate(zip(info["output"], info["output_name"], strict=True)):
        tooltips = info.get("output_tooltips") or []
        outputs[str(slot)] = {"tooltip": tooltips[slot] if slot < len(tooltips) else ""}
        if name != type_:  # the editor translates an output named after its type by itself
            outputs[str(slot)] = {"name": name, **outputs[str(slot)]}
    words = {"display_name": info["display_name"], "description": info["description"], "inputs": inputs}
    return {**words, "outputs": outputs} if outputs else words


def entries(words: dict, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """(path, text) of every text, as in (("AudioXLoad", "inputs", "variant", "tooltip"), "...")."""
    for key, value in words.items():
        if isinstance(value, dict):
            yield from entries(value, (*path, key))
        else:
            yield (*path, key), value


def differences(source: dict, translation: dict) -> list[str]:
    """What a translation lacks, with the text to translate, and what it has of removed nodes or inputs."""
    expected, translated = dict(entries(source)), dict(entries(translation))
    missing = [
        f"missing {'.'.join(path)}: {text}" for path, text in expected.items() if text and not translated.get(path)
    ]
    return missing + [f"stale {'.'.join(path)}" for path in translated if path not in expected]


def ordered(source: dict, translation: dict) -> dict:
    """The entries of a translation that the source has too, in its order."""
    kept = {}
    for key, value in source.items():
        if key in translation:
            kept[key] = ordered(value, translation[key]) if isinstance(value, dict) else translation[key]
    return kept


def as_text(words: dict) -> str:
    return json.dumps(words, indent=2, ensure_ascii=False) + "\n"


def english_of(path: Path) -> Path:
    """The English file that a file of any language translates."""
    return FOLDER / "en" / path.name


def translations() -> list[Path]:
    """The files that every other language has or should have."""
    languages = {path.parent for path in FOLDER.glob("*/nodeDefs.json")} - {ENGLISH.parent}
    return sorted(language / path.name for language in languages for path in ENGLISH.parent.glob("*.json"))


def read(path: Path) -> dict:
    return json.loads(path.read_text("utf-8"))


def main() -> int:
    from devtools.comfy_server import ComfyServer
    from tools.development import COMFYUI, comfyui_tree

    with ComfyServer(comfyui_tree(COMFYUI), pack=ROOT) as comfy:
        words = english(comfy.object_info())
    ENGLISH.parent.mkdir(parents=True, exist_ok=True)
    ENGLISH.write_text(as_text(words), "utf-8")
    left = []
    for path in translations():
        source = read(english_of(path))
        kept = ordered(source, read(path))
        path.write_text(as_text(kept), "utf-8")
        left += [f"{path.relative_to(ROOT)}: {line}" for line in differences(source, kept)]
    print("\n".join([str(ENGLISH.relative_to(ROOT)), *left]))
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
