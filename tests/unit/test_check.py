"""`audiox check`: broken installations are named rightly, and so is what works."""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from audiox_core.check import machine
from audiox_core.check.comfyui import NEWEST_COMFYUI, OLDEST_COMFYUI, Surroundings, check_surroundings
from audiox_core.check.facts import Facts, Package, gather, numbers_of
from audiox_core.check.files import check_files
from audiox_core.check.json_report import report_json
from audiox_core.check.privacy import Names
from audiox_core.check.result import Report, Section, State, ok, problem, skipped, stop, warning
from audiox_core.check.versions import OLDEST, can_run, check_versions
from audiox_core.cli import check as cli_check
from audiox_core.demo import FOLDER as DEMO
from audiox_core.demo import demo_path
from devtools.paths import ROOT
from tools.development import COMFYUI
from tools.development import OLDEST_COMFYUI as OLDEST_TESTED


def installed(**versions: str | None) -> Facts:
    """An installation in which everything fits, but for what is given: a version, or None for a missing package."""
    packages = {
        "torch": "2.11.0+cu130",
        "torchaudio": "2.11.0+cu130",
        "torchvision": "0.26.0+cu130",
        "numpy": "2.4.6",
        "av": "18.1.0",
        "transformers": "5.24.0",
        "tokenizers": "0.23.3",
        "psutil": "7.2.2",
        "safetensors": "0.8.0",
        "accelerate": "1.15.0",
        "huggingface_hub": "2.4.0",
        "pillow": "13.0.0",
        **versions,
    }
    return Facts("3.12.3", {name: Package(version) for name, version in packages.items() if version})


def named(results) -> dict:
    return {result.name: result for result in results}


def states(results) -> set[State]:
    return {result.state for result in results}


# Packages


def test_an_installation_that_fits_is_all_right():
    assert states(check_versions(installed())) == {State.OK}
    assert can_run(installed())


def test_what_is_installed_here_can_run():
    assert can_run(gather())


@pytest.mark.parametrize("name", ["torch", "numpy", "av", "transformers", "tokenizers", "psutil"])
def test_a_missing_package_stops_everything_and_is_named(name):
    result = named(check_versions(installed(**{name: None})))[name]
    assert result.state is State.STOP
    assert result.text == "is not installed"
    assert name in result.advice or "pytorch.org" in result.advice
    assert not can_run(installed(**{name: None}))


def test_a_torch_that_is_too_old_is_named_with_the_version_that_works():
    result = named(check_versions(installed(torch="2.3.1")))["torch"]
    assert (result.state, result.text) == (State.STOP, "2.3.1 is too old")
    assert "2.4 or newer" in result.advice


def test_a_torch_that_does_not_load_says_why():
    facts = installed()
    broken = Package("2.11.0", "libcudart.so.13: cannot open shared object file")
    facts = replace(facts, packages={**facts.packages, "torch": broken})
    result = named(check_versions(facts))["torch"]
    assert result.state is State.STOP
    assert result.text == "2.11.0 does not load (libcudart.so.13: cannot open shared object file)"


def test_a_torchaudio_of_another_torch_is_harmless_and_told_so():
    result = named(check_versions(installed(torchaudio="2.10.0")))["torchaudio"]
    assert result.state is State.WARNING
    assert "harmless here" in result.text
    assert result.advice.startswith("Install torchaudio 2.11 ")


def test_a_torchvision_of_another_torch_is_named():
    result = named(check_versions(installed(torchvision="0.21.0")))["torchvision"]
    assert result.state is State.WARNING
    assert result.advice.startswith("Install torchvision 0.26 ")


def test_packages_that_are_not_used_may_be_missing():
    assert states(check_versions(installed(torchaudio=None, torchvision=None, safetensors=None))) == {State.OK}


def test_a_package_of_one_feature_is_told_with_the_feature():
    result = named(check_versions(installed(huggingface_hub=None)))["huggingface_hub"]
    assert result.state is State.WARNING
    assert "audiox download" in result.text


def test_the_oldest_versions_are_those_that_pip_is_asked_for():
    toml = pytest.importorskip("tomllib" if sys.version_info >= (3, 11) else "tomli")
    project = toml.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    lines = project["optional-dependencies"]["headless"]
    assert {name: version for name, _, version in (line.partition(">=") for line in lines) if version} == OLDEST


@pytest.mark.parametrize(
    ("version", "numbers"), [("2.11.0+cu130", (2, 11, 0)), ("2.12.0a1", (2, 12, 0)), ("3.12.dev3", (3, 12))]
)
def test_versions_are_read_up_to_what_is_no_number(version, numbers):
    assert numbers_of(version) == numbers


@pytest.mark.parametrize("package", ["torch", "av", "transformers"])
def test_without_a_package_the_command_still_ends_in_a_verdict(package, tmp_path):
    code = (
        f"import sys; sys.modules[{package!r}] = None; from audiox_core.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code, "check", "--json", str(tmp_path / "check.json")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""},
    )
    assert answer.returncode == 2, answer.stdout + answer.stderr
    assert answer.stdout.splitlines()[-1].startswith(f"It cannot run: {package}: is not installed.")
    assert json.loads((tmp_path / "check.json").read_text("utf-8"))["exit_code"] == 2


# ComfyUI


def in_comfyui(folder: Path, version: str) -> Surroundings:
    (folder / "comfyui_version.py").write_text(f'# generated\n__version__ = "{version}"\n')
    return Surroundings(ROOT, folder)


def test_a_comfyui_that_is_too_old_stops(tmp_path):
    result = named(check_surroundings(in_comfyui(tmp_path, "0.3.75")))["ComfyUI"]
    assert (result.state, result.text) == (State.STOP, "0.3.75 is too old")
    assert OLDEST_COMFYUI in result.advice


def test_a_comfyui_that_is_newer_than_tested_is_a_warning(tmp_path):
    result = named(check_surroundings(in_comfyui(tmp_path, "0.199.0")))["ComfyUI"]
    assert result.state is State.WARNING
    assert "0.199.0 is newer" in result.text


def test_a_tested_comfyui_is_all_right(tmp_path):
    assert named(check_surroundings(in_comfyui(tmp_path, NEWEST_COMFYUI)))["ComfyUI"].state is State.OK


def test_the_tested_range_is_that_of_the_tests():
    assert (OLDEST_COMFYUI, NEWEST_COMFYUI) == (OLDEST_TESTED, COMFYUI)


# The machine


def test_a_device_that_does_not_exist_stops_and_the_others_are_listed():
    result = machine._chosen("cuda:7")
    assert result.state is State.STOP
    assert result.text.startswith("cuda:7 cannot be used here (")
    assert "cpu" in result.advice
    assert not machine.usable("cuda:7")
    assert machine.usable("cpu")


def test_a_full_disk_is_a_problem(monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=3 * 10**8))
    result = named(machine.check_folder(tmp_path, downloaded=True))["disk"]
    assert result.state is State.PROBLEM
    assert result.text.startswith("300 MB free")


def test_too_little_room_for_a_download_is_a_warning_until_it_is_there(monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=5 * 10**9))
    assert named(machine.check_folder(tmp_path, downloaded=False))["disk"].state is State.WARNING
    assert named(machine.check_folder(tmp_path, downloaded=True))["disk"].state is State.OK


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="no folder that nobody can write to")
def test_a_models_folder_that_cannot_be_written_to_is_a_problem():
    result = named(machine.check_folder(Path("/proc/audiox"), downloaded=True))["models folder"]
    assert result.state is State.PROBLEM
    assert "cannot be written to" in result.text


def test_a_models_folder_that_can_be_written_to_is_left_as_it_was(tmp_path):
    results = list(machine.check_folder(tmp_path / "models" / "audiox", downloaded=True))
    assert states(results) == {State.OK}
    assert not list(tmp_path.iterdir())


# Files


@pytest.fixture
def demo(tmp_path) -> Path:
    """A copy of the demo under another name, with its companions; its folder is the models' folder."""
    shutil.copytree(DEMO / "t5-base", tmp_path / "t5-base")
    for name in ("vae.safetensors", "synchformer.safetensors"):
        shutil.copyfile(DEMO / name, tmp_path / name)
    shutil.copyfile(demo_path(), tmp_path / "my_turbo.safetensors")
    return tmp_path / "my_turbo.safetensors"


def checked(model: Path, *, verify: bool = False) -> dict:
    return named(check_files(model, model.parent / "none", verify=verify))


def test_a_whole_model_is_all_right_to_its_last_number(demo):
    results = checked(demo, verify=True)
    assert results["model"].text.startswith("AudioX-Turbo (my_turbo.safetensors")
    smaller = {"diffusion model", "VAE", "CLIP vision tower", "Synchformer", "T5 text encoder"}  # than the released
    assert {name for name, result in results.items() if result.state is State.WARNING} == smaller
    assert states(results.values()) == {State.OK, State.WARNING}
    assert results["VAE, values"].text == "all finite"


def test_the_demo_is_not_blamed_for_its_sizes(tmp_path):
    assert states(check_files(None, tmp_path, verify=False)) == {State.OK}


def test_a_truncated_file_stops(demo):
    demo.write_bytes(demo.read_bytes()[:-1000])
    result = checked(demo)["model"]
    assert result.state is State.STOP
    assert "truncated" in result.text


def test_a_web_page_in_place_of_a_model_stops(demo):
    demo.write_text("<!DOCTYPE html><html><title>Sign in</title></html>")
    result = checked(demo)["model"]
    assert result.state is State.STOP
    assert "neither a safetensors file nor" in result.text


def test_a_missing_synchformer_costs_videos(demo):
    (demo.parent / "synchformer.safetensors").unlink()
    result = checked(demo)["Synchformer"]
    assert (result.state, result.text) == (State.PROBLEM, "is missing: no videos")
    assert "synchformer_state_dict.pth" in result.advice


def test_a_missing_t5_costs_texts(demo):
    shutil.rmtree(demo.parent / "t5-base")
    result = checked(demo)["T5 text encoder"]
    assert result.state is State.PROBLEM
    assert "t5-base" in result.advice


def test_a_number_that_is_not_finite_is_found_where_it_is(demo):
    from safetensors.torch import load_file, save_file

    tensors = load_file(demo.parent / "vae.safetensors")
    name = max(tensors, key=lambda name: tensors[name].numel())
    tensors[name].view(-1)[5] = float("nan")
    save_file(tensors, demo.parent / "vae.safetensors")
    assert checked(demo, verify=True)["VAE, values"].state is State.PROBLEM
    assert "VAE, values" not in checked(demo)


def test_every_model_in_the_folder_has_a_line(demo):
    (demo.parent / "broken").mkdir()
    (demo.parent / "broken" / "turbo.ckpt").write_bytes(b"PK\x03\x04 and no more")
    (demo.parent / "lora.safetensors").write_bytes(lora())
    results = named(check_files(None, demo.parent, verify=False))
    assert results["my_turbo.safetensors"].text == "AudioX-Turbo, 3 MB, complete"
    assert results["broken/turbo.ckpt"].state is State.PROBLEM
    assert results["lora.safetensors"].state is State.WARNING
    assert "not usable as a model" in results["lora.safetensors"].text


def test_a_model_behind_a_link_is_found(demo, tmp_path_factory):
    models = tmp_path_factory.mktemp("audiox")
    (models / "linked").symlink_to(demo.parent, target_is_directory=True)
    (demo.parent / "circle").symlink_to(models, target_is_directory=True)
    results = named(check_files(None, models, verify=False))
    assert results["linked/my_turbo.safetensors"].state is State.OK


def lora() -> bytes:
    from safetensors.torch import save

    return save({"diffusion_model.lora_up.weight": torch.zeros(2, 2)})


def test_a_download_is_compared_with_its_record(tmp_path):
    from audiox_core.check.checksums import _file
    from audiox_core.release.download import Remote, checksum
    from audiox_core.release.files import RELEASES

    path = tmp_path / "vae.ckpt"
    path.write_bytes(b"0123456789")
    sha = checksum(path, "sha256:", lambda *progress: None)
    known = Remote(RELEASES["turbo"].files[1], "main", 10, sha)
    assert _file(path, known, False).state is State.OK
    assert _file(path, known, True).state is State.OK
    path.write_bytes(b"0123456780")
    assert _file(path, known, True).state is State.PROBLEM
    path.write_bytes(b"012")
    assert _file(path, known, False).text == "3 bytes, expected 10: it is incomplete or another"


def test_a_record_is_found_from_a_file_in_a_folder_below(tmp_path):
    from audiox_core.check.checksums import recorded
    from audiox_core.release.download import Remote, write_record
    from audiox_core.release.files import RELEASES

    file = RELEASES["turbo"].files[1]  # pretransform/vae.ckpt
    write_record(tmp_path, [Remote(file, "main", 10, "sha256:0")])
    assert recorded(tmp_path / file.path).size == 10
    assert recorded(tmp_path / "elsewhere.ckpt") is None


# The report


REPORT = Report(
    (
        Section("One", (ok("a", "fine", number=float("nan"), big=1.23456789), warning("b", "odd", "Look."))),
        Section("Two", (problem("c", "broken", "Mend it."), skipped("d", "not looked at"))),
    )
)


def test_the_text_has_a_line_for_each_result_and_one_of_verdict(monkeypatch, capsys):
    found = [(section.title, result) for section in REPORT.sections for result in section.results]
    monkeypatch.setattr(cli_check, "check", lambda options: iter(found))
    parser = argparse.ArgumentParser()
    cli_check.add_arguments(parser)

    assert cli_check.run(parser.parse_args([])) == REPORT.exit_code
    assert capsys.readouterr().out.splitlines() == [
        "One",
        "  ok       a: fine",
        "  warning  b: odd",
        "           -> Look.",
        "",
        "Two",
        "  PROBLEM  c: broken",
        "           -> Mend it.",
        "  skipped  d: not looked at",
        "",
        "It runs, but not all of it: c: broken. Mend it.",
    ]


def test_the_json_is_strict_and_names_its_schema():
    report = json.loads(report_json(REPORT), parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert (report["schema"], report["exit_code"]) == ("audiox-check/1", 1)
    assert report["sections"][0]["results"][0]["values"] == {"number": "nan", "big": 1.23457}


@pytest.mark.parametrize(
    ("result", "code", "verdict"),
    [
        (ok("a", "fine"), 0, "It works."),
        (warning("a", "odd"), 0, "It works. 1 thing is worth a look above."),
        (problem("a", "bad", "Mend."), 1, "It runs, but not all of it: a: bad. Mend."),
        (stop("a", "gone.", "Mend."), 2, "It cannot run: a: gone. Mend."),
    ],
)
def test_the_worst_result_decides(result, code, verdict):
    report = Report((Section("One", (ok("z", "fine"), result)),))
    assert (report.exit_code, report.verdict) == (code, verdict)


def test_reports_hold_no_folders_of_the_user(tmp_path):
    models = tmp_path / "My Models" / "audiox"
    names = Names.of({"models/audiox": models})
    windows = "\\".join(("C:", "Users", "eve", "c.ckpt"))
    text = f"{models}/turbo/a.ckpt, '{Path.home()}/x.wav' and /mnt/big/deep/b.ckpt differ; {windows} too"
    assert names.without_folders(text) == "models/audiox/turbo/a.ckpt, '~/x.wav' and …/b.ckpt differ; …/c.ckpt too"
    result = names.clean(problem("a", "b", f"see {models}", path=models / "a", listed=[str(models)]))
    assert (result.advice, result.values) == (
        "see models/audiox",
        {"path": "models/audiox/a", "listed": ["models/audiox"]},
    )


@pytest.mark.parametrize("text", ["https://huggingface.co/a/b", "4.0 of 8.0 GB", "models/audiox/a.ckpt", "12 and/or 3"])
def test_what_is_no_path_stays(text):
    assert Names.of({}).without_folders(text) == text


def test_the_issue_form_asks_for_this_command():
    form = (ROOT / ".github" / "ISSUE_TEMPLATE" / "bug.yml").read_text("utf-8")
    assert re.search(r"python -m audiox_core check .*--json", form)
