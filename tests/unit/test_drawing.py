"""Text in any script, without boxes; PNG files and the notes in them."""

import json
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageDraw

from audiox_core.errors import AudioXError
from audiox_core.media import fonts
from audiox_core.media.drawing import draw_text, line_height, text_width, wrap_text, write_png
from audiox_core.media.fonts import BUILT_IN, NO_CHARACTER, drawable, font_paths, has_glyph, load_font, runs


@pytest.fixture(autouse=True)
def fresh_choice():
    """What a test changes of the fonts does not outlive it."""
    yield
    fonts.path_for.cache_clear()


def only(monkeypatch, **characters: str) -> None:
    """Let the machine have Pillow's own font, and others that have the given characters and no more."""
    own = has_glyph

    def has(path: str, character: str) -> bool:
        return character in characters[path] if path else own(path, character)

    monkeypatch.setattr(fonts, "font_paths", lambda: (BUILT_IN, *characters))
    monkeypatch.setattr(fonts, "has_glyph", has)
    monkeypatch.setattr(fonts, "load_font", lambda path, size: load_font(BUILT_IN, size))
    fonts.path_for.cache_clear()


def picture_of(text: str, size: int = 24) -> np.ndarray:
    picture = Image.new("L", (400, line_height(size)))
    draw_text(ImageDraw.Draw(picture), 0, 0, text, 255, size)
    return np.asarray(picture)


def test_english_is_drawn_everywhere(monkeypatch):
    only(monkeypatch)
    letters = {picture_of(chr(code)).tobytes() for code in range(33, 127)}
    assert len(letters) == 127 - 33
    assert drawable("rain, “quoted”") == "rain, “quoted”"


def test_what_no_font_has_becomes_a_question_mark_and_never_a_box(monkeypatch):
    only(monkeypatch)
    assert drawable("Käse 雨 \U0001f600") == "Kase ? ?"
    assert drawable("a\u200d\ufe0f\u0301b") == "ab"
    assert drawable("a\x00\ud800b") == "a??b"
    assert (picture_of("雨") == picture_of("?")).all()


def test_the_machines_fonts_draw_what_pillows_lacks(monkeypatch):
    only(monkeypatch, latin="Käse", chinese="雨天rain")
    path = fonts.path_for
    assert (path("r"), path("ä"), path("雨"), path("Ж")) == (BUILT_IN, "latin", "chinese", None)
    assert drawable("雨 Ж") == "雨 ?"
    assert [stretch for _, stretch in runs("Käse", 20)] == ["Käse"]  # one font for the whole word
    assert [stretch for _, stretch in runs("rain 雨天", 20)] == ["rain 雨天"]
    assert [stretch for _, stretch in runs("wind 雨天", 20)] == ["wind ", "雨天"]  # no font has all


def test_every_font_of_this_machine_can_be_asked():
    for path in font_paths():
        assert not has_glyph(path, NO_CHARACTER)
        if has_glyph(path, "雨"):
            break
    for text in ("Käse", "дождь", "雨"):
        if drawable(text) == text:
            assert picture_of(text).any() and not (picture_of(text) == picture_of("?" * len(text))).all()


def test_a_damaged_font_is_passed_over(tmp_path, monkeypatch):
    (tmp_path / "fonts").mkdir()
    (tmp_path / "fonts" / "broken.ttf").write_bytes(b"no font")
    monkeypatch.setattr(fonts, "font_folders", lambda: [tmp_path])
    paths = fonts.font_paths.__wrapped__()
    assert [path.split("/")[-1].split("\\")[-1] for path in paths] == ["", "broken.ttf"]
    assert not has_glyph(paths[1], "a")


@pytest.mark.parametrize(("system", "folder"), [("win32", "Fonts"), ("darwin", "Fonts"), ("linux", "fonts")])
def test_every_system_has_its_folders(monkeypatch, system, folder):
    monkeypatch.setattr(fonts.sys, "platform", system)
    assert all(folder in path.name.replace(".", "") for path in fonts.font_folders())


def test_lines_break_between_words_and_between_chinese_characters(monkeypatch):
    only(monkeypatch, chinese="雨下得很大")
    width = text_width("one two", 20)
    assert wrap_text("one two three", width, 3, 20) == ["one two", "three"]
    [line] = wrap_text("one two three", width, 1, 20)
    assert line.startswith("one t") and line.endswith("…") and text_width(line, 20) <= width
    assert "".join(wrap_text("雨下得很大", text_width("雨下", 20), 5, 20)) == "雨下得很大"
    assert len(wrap_text("雨下得很大", text_width("雨下", 20), 5, 20)) == 3
    long = wrap_text("w" * 100, width, 3, 20)
    assert len(long) == 3 and all(text_width(line, 20) <= width for line in long)
    assert wrap_text("", width, 3, 20) == [""]


def test_a_png_comes_back_pixel_for_pixel_with_its_notes(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (37, 53, 3)).astype(np.uint8)
    notes = {"prompt": json.dumps({"1": {"text": "Käse"}}), "workflow": "{}"}
    write_png(tmp_path / "a.png", Image.fromarray(pixels), notes)
    with Image.open(tmp_path / "a.png") as picture:
        assert np.array_equal(np.asarray(picture), pixels)
    assert text_chunks((tmp_path / "a.png").read_bytes()) == notes
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    with pytest.raises(AudioXError, match="no folder"):
        write_png(tmp_path / "none" / "a.png", Image.fromarray(pixels))


def text_chunks(content: bytes) -> dict[str, str]:
    """The tEXt chunks of a PNG file, which is where ComfyUI's page looks for a workflow; sums checked."""
    found, position = {}, 8
    while position < len(content):
        size, name = struct.unpack(">I4s", content[position : position + 8])
        data = content[position + 8 : position + 8 + size]
        assert zlib.crc32(name + data) == struct.unpack(">I", content[position + 8 + size : position + 12 + size])[0]
        if name == b"tEXt":
            key, value = data.split(b"\0")
            found[key.decode("ascii")] = value.decode("ascii")
        position += 12 + size
    return found
