"""What the README and `docs/` say is there: files, links, workflows, nodes, commands, errors, and fresh pictures."""

import argparse
import ast
import importlib
import re

import pytest

from audiox_core.cli import COMMANDS
from devtools.paths import ROOT
from tools import make_locales, make_readme_pictures
from training.evaluation import cli as evaluation

README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
TEXTS = {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in PAGES}
TEXT = TEXTS["README.md"]
EVERYTHING = "\n".join(TEXTS.values())

LONGEST = 200
"""The README stays below this many lines."""


def section(title: str) -> str:
    return re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", TEXT, re.M | re.S).group(1)


def headings(text: str) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    titles = re.findall(r"^#+ (.*)$", text, re.M)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def sentences() -> str:
    """Every text in the code, a line each, with … for what is filled in."""
    found = []
    for path in (*(ROOT / "nodes").rglob("*.py"), *(ROOT / "audiox_core").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.JoinedStr):
                found.append("".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return "\n".join(text.replace("\n", " ") for text in found)


def test_the_readme_is_short():
    assert TEXT.count("\n") < LONGEST


# Errors

TROUBLES = section("Troubleshooting") + TEXTS["docs/troubleshooting.md"]
QUOTED = [" ".join(quote.split()) for quote in re.findall(r'\*\*"([^"]+)"\*\*', TROUBLES)]


@pytest.mark.parametrize("quote", QUOTED)
def test_a_quoted_error_is_one_that_the_code_gives(quote):
    pattern = ".*?".join(re.escape(part.strip()) for part in quote.split("…"))
    assert re.search(pattern, sentences())


def test_errors_are_quoted():
    assert len(QUOTED) > 8
    assert "There is no text encoder: …" in QUOTED


def test_the_readme_answers_five_questions():
    assert len(re.findall(r"^\*\*", section("Troubleshooting"), re.M)) == 5


# Files and links


@pytest.mark.parametrize("name", TEXTS)
def test_links_lead_somewhere(name):
    folder = (ROOT / name).parent
    for target in re.findall(r"\]\(([^)]+)\)", TEXTS[name]):
        path, _, heading = target.partition("#")
        if target.startswith("https://"):
            continue
        assert not path or (folder / path).exists(), target
        if heading:
            page = (folder / path).read_text("utf-8") if path else TEXTS[name]
            assert heading in headings(page), target


def test_every_page_can_be_reached_from_the_readme():
    linked = set(re.findall(r"\]\((docs/[\w.]+\.md)", TEXT))
    assert linked == set(TEXTS) - {"README.md"}


@pytest.mark.parametrize("name", TEXTS)
def test_files_that_are_named_exist(name):
    folders = "tools|benchmarks|training|docs|tests|workflows|devtools|audiox_core|nodes"
    named = set(re.findall(rf"(?<![\w/.])((?:{folders})/[\w/.]+\w)", TEXTS[name]))
    assert not [path for path in named if not (ROOT / path).exists()]


def test_files_of_the_core_that_the_guides_name_exist():
    guides = TEXTS["docs/adding_a_model.md"]
    named = set(re.findall(r"`((?:checkpoint|models|sampling|release|memory|media)/\w+\.py)`", guides))
    assert {"checkpoint/key_mapping.py", "models/network.py"} <= named
    assert not [path for path in named if not (ROOT / "audiox_core" / path).exists()]


# Workflows and nodes


def test_every_workflow_is_named():
    named = set(re.findall(r"`(\w+)`", section("Workflows"))) - {"core_nodes"}
    stored = {path.stem for path in (ROOT / "workflows").glob("*.json")}
    assert named <= stored
    assert not [name for name in stored - named if "core_nodes" not in name]


def test_every_node_stands_in_the_table():
    names = {said["display_name"] for said in make_locales.read(make_locales.ENGLISH).values()}
    assert set(re.findall(r"^\| ([\w ]*AudioX[\w ]*?) \|", section("Nodes"), re.M)) == names


# Commands


def options_of(add_arguments) -> set[str]:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return {option for action in parser._actions for option in action.option_strings}


USED = re.findall(r"(?:-m audiox_core|^audiox|`audiox) ([a-z]+)\b([^\n`]*)", EVERYTHING, re.M)


def test_commands_and_options_are_those_of_the_command_line():
    assert {name for name, _ in USED} == set(COMMANDS)
    for name, rest in USED:
        assert set(re.findall(r"(?<= )--[\w-]+", rest)) <= options_of(COMMANDS[name].add_arguments), name


def test_options_in_tables_and_sentences_exist():
    known = set().union(*(options_of(module.add_arguments) for module in COMMANDS.values()))
    pages = ("docs/command_line.md", "docs/memory.md", "docs/weights.md")
    comfy = {"--lowvram", "--novram", "--verbose", "--help"}
    for page in pages:
        for span in re.findall(r"`(--[^`]*)`", TEXTS[page]):
            assert {option.split("=")[0] for option in re.findall(r"--[\w-]+", span)} <= known | comfy, span


def test_options_of_evaluate_exist():
    used = re.findall(r"-m training evaluate([^\n`]*)", EVERYTHING)
    assert used
    for rest in used:
        assert set(re.findall(r"--[\w-]+", rest)) <= options_of(evaluation.add_arguments)


def test_modules_that_are_run_exist():
    for name in set(re.findall(r"python3? -m ((?:tools|training|benchmarks)[\w.]*)", EVERYTHING)):
        assert importlib.util.find_spec(name), name


# Pictures


@pytest.mark.parametrize("name", make_readme_pictures.PICTURES)
def test_a_picture_is_of_what_is_there_now(name):
    fresh = make_readme_pictures.stored_digests().get(name) == make_readme_pictures.digest(name)
    assert fresh, f"run python -m tools.make_readme_pictures {name}"


def test_pictures_are_shown_and_small():
    limits = {"docs/bouncing_ball.webp": 1_500_000, "docs/bouncing_ball.mp4": 1_500_000}
    for file in (f"docs/{file}" for files in make_readme_pictures.FILES.values() for file in files):
        assert (ROOT / file).stat().st_size < limits.get(file, 400_000), file
        assert file in TEXT or file.removeprefix("docs/") in EVERYTHING
