"""What the README says is there: files, links, workflows, nodes, commands, and the errors under Troubleshooting."""

import argparse
import ast
import re

import pytest

from audiox_core.cli import COMMANDS
from devtools.paths import ROOT
from tools import make_locales

TEXT = (ROOT / "README.md").read_text("utf-8")


def section(title: str) -> str:
    return re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", TEXT, re.M | re.S).group(1)


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


QUOTED = [" ".join(quote.split()) for quote in re.findall(r'\*\*"([^"]+)"\*\*', section("Troubleshooting"))]


@pytest.mark.parametrize("quote", QUOTED)
def test_an_error_under_troubleshooting_is_one_that_the_code_gives(quote):
    pattern = ".*?".join(re.escape(part.strip()) for part in quote.split("…"))
    assert re.search(pattern, sentences())


def test_errors_are_quoted():
    assert len(QUOTED) > 8
    assert "There is no text encoder: …" in QUOTED


def test_links_lead_somewhere():
    targets = re.findall(r"\]\(([^)]+)\)", TEXT)
    titles = re.findall(r"^#+ (.*)$", TEXT, re.M)
    headings = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
    for target in targets:
        path, _, heading = target.partition("#")
        if target.startswith("#"):
            assert heading in headings, target
        elif not target.startswith("https://"):
            assert (ROOT / path).exists(), target


def test_files_that_are_named_exist():
    named = set(re.findall(r"\b((?:tools|benchmarks|training|docs|tests|workflows)/[\w/.]+\w)", TEXT))
    assert {"tools/dev.py", "tools/client_example.py"} <= named
    assert not [name for name in named if not (ROOT / name).exists()]


def test_every_workflow_stands_in_the_table():
    named = set(re.findall(r"`(\w+)`", section("Workflows"))) - {"workflows"}
    stored = {path.stem for path in (ROOT / "workflows").glob("*.json")}
    assert named <= stored
    assert not [name for name in stored - named if "core_nodes" not in name]


def test_every_node_stands_in_the_table():
    names = {said["display_name"] for said in make_locales.read(make_locales.ENGLISH).values()}
    assert set(re.findall(r"^\| ([\w ]*AudioX[\w ]*?) \|", section("Nodes"), re.M)) == names


def test_commands_and_options_are_those_of_the_command_line():
    used = re.findall(r"-m audiox_core (\w+)(.*)", TEXT)
    assert {"generate", "download", "convert", "batch"} <= {name for name, _ in used} <= set(COMMANDS)
    for name, rest in used:
        parser = argparse.ArgumentParser()
        COMMANDS[name].add_arguments(parser)
        known = {option for action in parser._actions for option in action.option_strings}
        assert set(re.findall(r"(?<= )--[\w-]+", rest.split("#")[0])) <= known
