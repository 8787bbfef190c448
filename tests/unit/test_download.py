"""The download command against a hub on this machine that serves, cuts, corrupts and refuses."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from audiox_core.release import files
from audiox_core.release.files import RELEASES, default_folder, how_to_get, release_of
from audiox_core.release.variants import VARIANTS
from devtools.hub_server import COMMIT, HubServer, git_blob
from devtools.paths import ROOT

MEBIBYTE = 1 << 20
MODEL = "audiox_turbo/audiox_turbo.ckpt"

SMALL_T5 = """
import json, os, sys
from dataclasses import replace
from audiox_core import cli
from audiox_core.release.files import KNOWN_CONTENT, RELEASES
if "KNOWN_SYNC" in os.environ:
    KNOWN_CONTENT["synchformer_state_dict.pth"] = tuple(json.loads(os.environ["KNOWN_SYNC"]))
known = json.loads(os.environ["KNOWN"])
for name, release in RELEASES.items():
    files = [replace(file, **{"sha256": None, **known.get(file.source, {})}) for file in release.files]
    RELEASES[name] = replace(release, files=tuple(files))
sys.exit(cli.main(sys.argv[1:]))
"""
"""The command for a hub whose T5 is not the real one: only the checksums in KNOWN are known."""


def content(size: int, seed: int = 0) -> bytes:
    return np.random.default_rng(seed).bytes(size)


@pytest.fixture
def hub():
    with HubServer() as server:
        for key, release in RELEASES.items():
            for number, file in enumerate(release.files):
                server.add(file.repository.name, file.source, content(3000 + number, seed=len(key)))
        server.small |= {"config.json", "tokenizer.json"}
        yield server


def download(hub, *arguments, command=("-c", SMALL_T5), **environment) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *command, "download", *map(str, arguments)],
        cwd=ROOT,
        env={**hub.environment, "KNOWN": "{}", **environment},
        capture_output=True,
        text=True,
        timeout=240,
    )


def sentence(result: subprocess.CompletedProcess) -> str:
    """What a failed command says, which is one line on stderr besides what huggingface_hub warns of."""
    assert result.returncode == 2, result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    [line] = [line for line in result.stderr.splitlines() if line.startswith("audiox download:")]
    return line


def tree(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def expected(hub, key: str) -> dict[str, bytes]:
    return {file.path: hub.files[file.repository.name, file.source] for file in RELEASES[key].files}


@pytest.mark.parametrize("key", ["turbo", "audiox", "maf-mmdit"])
def test_a_model_comes_whole_and_with_its_record(hub, tmp_path, key):
    result = download(hub, key, "--to", tmp_path)
    assert result.returncode == 0, result.stderr
    folder, wanted = tmp_path / RELEASES[key].folder, expected(hub, key)
    assert tree(folder) == {*wanted, "download.json"}
    record = json.loads((folder / "download.json").read_text())["files"]
    for path, data in wanted.items():
        assert (folder / path).read_bytes() == data
        assert record[path]["revision"] == COMMIT
        assert record[path]["bytes"] == len(data)
        kind, digest = record[path]["checksum"].split(":")
        assert digest == (hashlib.sha256(data).hexdigest() if kind == "sha256" else git_blob(data))
    said = result.stdout
    assert f"{RELEASES[key].model.repository.name} at {COMMIT}" in said
    assert "CC-BY-NC 4.0" in said
    assert RELEASES[key].checkpoint in said


def test_the_pinned_revision_is_asked_for_once_and_another_on_request(hub, tmp_path):
    turbo = RELEASES["turbo"].model.repository
    download(hub, "turbo", "--to", tmp_path)
    listed = [path for path, _ in hub.requests if path.startswith("/api/")]
    assert sorted(listed) == sorted(
        f"/api/models/{file.repository.name}/revision/{file.repository.revision}"
        for file in (RELEASES["turbo"].files[0], RELEASES["turbo"].files[-1])
    )
    assert all(f"/resolve/{COMMIT}/" in path for path, _ in hub.requests if "/resolve/" in path)
    hub.requests.clear()
    download(hub, "turbo", "--to", tmp_path, "--revision", "main")
    assert f"/api/models/{turbo.name}/revision/main" in [path for path, _ in hub.requests]


def test_a_second_run_fetches_nothing(hub, tmp_path):
    download(hub, "turbo", "--to", tmp_path)
    hub.requests.clear()
    again = download(hub, "turbo", "--to", tmp_path)
    assert again.returncode == 0
    assert again.stdout.count("was there") == len(RELEASES["turbo"].files)
    assert not [path for path, _ in hub.requests if "/resolve/" in path]


def test_the_teacher_shares_the_companions(hub, tmp_path):
    for key in ("turbo", "base"):
        assert download(hub, key, "--to", tmp_path).returncode == 0
    assert len(hub.fetched("vae.ckpt")) == 1
    assert tree(tmp_path / "AudioX-Turbo") == {*expected(hub, "turbo"), *expected(hub, "base"), "download.json"}


def test_a_cut_connection_goes_on_where_it_broke(hub, tmp_path):
    data = content(24 * MEBIBYTE)
    hub.add("HKUSTAudio/AudioX-Turbo", MODEL, data)
    hub.cut[MODEL] = [15 * MEBIBYTE]
    assert download(hub, "turbo", "--to", tmp_path).returncode == 0
    first, second = hub.fetched("audiox_turbo.ckpt")
    assert first is None
    assert second.startswith("bytes=")
    assert int(second[6:-1]) >= 8 * MEBIBYTE
    assert (tmp_path / "AudioX-Turbo" / MODEL).read_bytes() == data


def test_a_stopped_download_goes_on_in_the_next_run(hub, tmp_path):
    data = content(24 * MEBIBYTE)
    hub.add("HKUSTAudio/AudioX-Turbo", MODEL, data)
    hub.cut[MODEL] = [15 * MEBIBYTE]
    folder = tmp_path / "AudioX-Turbo" / "audiox_turbo"
    folder.mkdir(parents=True)
    part = folder / f"audiox_turbo.ckpt.{hashlib.sha256(data).hexdigest()[:12]}.part"
    part.write_bytes(data[: 5 * MEBIBYTE])
    hub.refuse[MODEL] = 500
    assert "500" in sentence(download(hub, "turbo", "--to", tmp_path))
    assert tree(folder) == {part.name}
    del hub.refuse[MODEL], hub.cut[MODEL]
    hub.requests.clear()
    assert download(hub, "turbo", "--to", tmp_path).returncode == 0
    assert hub.fetched("audiox_turbo.ckpt") == [f"bytes={5 * MEBIBYTE}-"]
    assert tree(folder) == {"audiox_turbo.ckpt"}
    assert (folder / "audiox_turbo.ckpt").read_bytes() == data


def test_a_hub_without_ranges_starts_anew(hub, tmp_path):
    data = content(24 * MEBIBYTE)
    hub.add("HKUSTAudio/AudioX-Turbo", MODEL, data)
    hub.cut[MODEL] = [15 * MEBIBYTE]
    hub.ignore_range = True
    assert download(hub, "turbo", "--to", tmp_path).returncode == 0
    assert (tmp_path / "AudioX-Turbo" / MODEL).read_bytes() == data


def test_wrong_bytes_are_thrown_away(hub, tmp_path):
    hub.corrupt.add(MODEL)
    said = sentence(download(hub, "turbo", "--to", tmp_path))
    assert MODEL in said
    assert "run this again" in said
    assert not tree(tmp_path)
    hub.corrupt.clear()
    assert download(hub, "turbo", "--to", tmp_path).returncode == 0


def test_wrong_bytes_of_a_small_file_too(hub, tmp_path):
    hub.corrupt.add("config.json")
    assert "config.json" in sentence(download(hub, "maf", "--to", tmp_path))
    assert not (tmp_path / "AudioX-MAF" / "config.json").exists()


REFUSALS = [(401, "HF_TOKEN"), (403, "conditions"), (404, "--revision"), (500, "later")]


@pytest.mark.parametrize(("status", "word"), REFUSALS)
def test_a_refusal_is_one_sentence(hub, tmp_path, status, word):
    hub.refuse["*"] = status
    said = sentence(download(hub, "turbo", "--to", tmp_path))
    assert str(status) in said
    assert hub.endpoint in said
    assert word in said
    assert not tree(tmp_path)


def test_a_hub_that_is_not_there(tmp_path):
    with HubServer() as gone:
        pass
    said = sentence(download(gone, "turbo", "--to", tmp_path))
    assert "cannot be reached" in said
    assert not tree(tmp_path)


def test_a_file_that_the_revision_has_not(hub, tmp_path):
    del hub.files["HKUSTAudio/AudioX-Turbo", MODEL]
    assert MODEL in sentence(download(hub, "turbo", "--to", tmp_path))


SYNC = "synchformer/synchformer_state_dict.pth"


def test_what_the_pinned_revision_lacks_comes_from_main(hub, tmp_path):
    hub.only_in_main.add(SYNC)
    result = download(hub, "turbo", "--to", tmp_path)
    assert result.returncode == 0, result.stderr
    assert tree(tmp_path / "AudioX-Turbo") == {*expected(hub, "turbo"), "download.json"}
    listed = [path for path, _ in hub.requests if path.startswith("/api/") and path.endswith("/main")]
    assert listed == ["/api/models/HKUSTAudio/AudioX-Turbo/revision/main"]


def test_what_the_hub_lacks_is_named_at_the_end(hub, tmp_path):
    every = {*expected(hub, "turbo"), "download.json"}
    del hub.files["HKUSTAudio/AudioX-Turbo", SYNC]
    result = download(hub, "turbo", "--to", tmp_path)
    assert result.returncode == 1
    [said] = [line for line in result.stderr.splitlines() if line.startswith("audiox download:")]
    assert SYNC in said and "for videos" in said and said.endswith(".")
    assert tree(tmp_path / "AudioX-Turbo") == every - {SYNC}


def test_a_page_of_a_captive_portal_does_not_poison_the_rest(hub, tmp_path):
    hub.page[MODEL] = b"<html>sign in</html>"
    assert "broke off" in sentence(download(hub, "turbo", "--to", tmp_path))
    assert not list(tmp_path.rglob("audiox_turbo.ckpt*"))
    del hub.page[MODEL]
    assert download(hub, "turbo", "--to", tmp_path).returncode == 0
    data = content(24 * MEBIBYTE)
    hub.add("HKUSTAudio/AudioX-Turbo", MODEL, data)
    part = tmp_path / "again" / "AudioX-Turbo" / f"{MODEL}.{hashlib.sha256(data).hexdigest()[:12]}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(data[: 5 * MEBIBYTE])
    hub.page[MODEL] = b"<html>sign in</html>"
    sentence(download(hub, "turbo", "--to", tmp_path / "again"))
    assert not part.exists() or part.read_bytes() == data[: part.stat().st_size]


@pytest.mark.parametrize(
    "listing",
    [
        b"null",
        b"[]",
        b"5",
        b"{}",
        b'{"id": "a/b", "sha": "x", "siblings": []}',
        b'{"id": "a/b", "siblings": 7}',
        b"<html>",
    ],
)
def test_odd_listings_are_one_sentence(hub, tmp_path, listing):
    hub.listings = listing
    assert hub.endpoint in sentence(download(hub, "turbo", "--to", tmp_path))
    assert not tree(tmp_path)


@pytest.mark.parametrize(
    "change",
    [{"sha256": "../../x"}, {"sha256": None}, {"sha256": "0" * 63}, {"size": 0}, {"size": -1}, {"size": "9"}],
    ids=str,
)
def test_odd_entries_are_one_sentence(hub, tmp_path, change):
    hub.lfs[MODEL] = change
    assert MODEL in sentence(download(hub, "turbo", "--to", tmp_path))
    assert not tree(tmp_path)


def test_what_another_pack_has_is_not_downloaded_again(hub, tmp_path):
    data = content(2 * MEBIBYTE, seed=3)
    hub.add("HKUSTAudio/AudioX-Turbo", SYNC, data)
    models = tmp_path / "models"
    theirs = models / "mmaudio" / "ext_weights" / "synchformer_state_dict.pth"
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(data)
    (models / "other.pth").write_bytes(content(2 * MEBIBYTE, seed=4))  # of the same size
    cache = tmp_path / "cache"
    t5 = content(3 * MEBIBYTE, seed=5)
    hub.add("google-t5/t5-base", "model.safetensors", t5)
    blob = cache / "models--google-t5--t5-base" / "blobs" / hashlib.sha256(t5).hexdigest()
    blob.parent.mkdir(parents=True)
    blob.write_bytes(t5)
    result = download(hub, "turbo", "--to", models / "audiox", HF_HUB_CACHE=str(cache))
    assert result.returncode == 0, result.stderr
    assert f"taken from {theirs}" in result.stdout and f"taken from {blob}" in result.stdout
    assert not hub.fetched("synchformer_state_dict.pth") and not hub.fetched("model.safetensors")
    folder = models / "audiox" / "AudioX-Turbo"
    assert (folder / SYNC).read_bytes() == data
    assert (folder / "t5-base" / "model.safetensors").read_bytes() == t5
    assert theirs.read_bytes() == data
    assert tree(folder) == {*expected(hub, "turbo"), "download.json"}


def test_the_synchformer_of_other_packs_is_known_where_the_hub_has_none(hub, tmp_path):
    data = content(2 * MEBIBYTE, seed=3)
    del hub.files["HKUSTAudio/AudioX-Turbo", SYNC]
    theirs = tmp_path / "models" / "selva" / "synchformer_state_dict.pth"
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(data)
    known = json.dumps([len(data), f"sha256:{hashlib.sha256(data).hexdigest()}"])
    result = download(hub, "turbo", "--to", tmp_path / "models" / "audiox", KNOWN_SYNC=known)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "models" / "audiox" / "AudioX-Turbo" / SYNC).read_bytes() == data


def test_offline_asks_nobody(hub, tmp_path):
    said = sentence(download(hub, "turbo", "--to", tmp_path, HF_HUB_OFFLINE="1"))
    assert "HF_HUB_OFFLINE" in said
    assert MODEL in said
    assert not hub.requests
    download(hub, "turbo", "--to", tmp_path)
    hub.requests.clear()
    there = download(hub, "turbo", "--to", tmp_path, HF_HUB_OFFLINE="1")
    assert there.returncode == 0
    assert "complete" in there.stdout
    (tmp_path / "AudioX-Turbo" / MODEL).unlink()
    assert MODEL in sentence(download(hub, "turbo", "--to", tmp_path, HF_HUB_OFFLINE="1"))
    assert not hub.requests


def test_another_file_in_the_place_is_left_alone(hub, tmp_path):
    place = tmp_path / "AudioX-Turbo" / MODEL
    place.parent.mkdir(parents=True)
    place.write_bytes(b"half of a model")
    assert str(place) in sentence(download(hub, "turbo", "--to", tmp_path))
    assert place.read_bytes() == b"half of a model"


def test_a_mirror_cannot_change_what_is_known(hub, tmp_path):
    said = sentence(download(hub, "turbo", "--to", tmp_path, command=("-m", "audiox_core")))
    assert "model.safetensors" in said
    assert RELEASES["turbo"].files[-2].sha256 in said
    assert not tree(tmp_path)


def test_a_known_checksum_goes_before_what_the_hub_says(hub, tmp_path):
    data = hub.files["google-t5/t5-base", "tokenizer.json"]
    known = {"tokenizer.json": {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}}
    assert download(hub, "audiox", "--to", tmp_path / "right", KNOWN=json.dumps(known)).returncode == 0
    record = json.loads((tmp_path / "right" / "AudioX" / "download.json").read_text())["files"]
    assert record["t5-base/tokenizer.json"]["checksum"] == f"sha256:{hashlib.sha256(data).hexdigest()}"
    known["tokenizer.json"]["sha256"] = "0" * 64
    said = sentence(download(hub, "audiox", "--to", tmp_path / "wrong", KNOWN=json.dumps(known)))
    assert "tokenizer.json" in said
    assert not (tmp_path / "wrong" / "AudioX" / "t5-base" / "tokenizer.json").exists()


def serve_folder(hub, folder: Path) -> None:
    """The files of AudioX-Turbo from a small model."""
    for file in RELEASES["turbo"].files:
        hub.add(file.repository.name, file.source, (folder / file.path).read_bytes())


def test_converted_and_the_original_dropped(hub, tmp_path, released_dir):
    from audiox_core.checkpoint import open_checkpoint

    serve_folder(hub, released_dir)
    result = download(hub, "turbo", "--to", tmp_path, "--convert", "--remove-original")
    assert result.returncode == 0, result.stderr
    made = tmp_path / "audiox-turbo-bf16.safetensors"
    opened = open_checkpoint(made)
    assert opened.variant == "turbo"
    assert {"network", "vae", "synchformer", "t5", "tokenizer"} <= set(opened.parts)
    assert not (tmp_path / "AudioX-Turbo" / MODEL).exists()
    assert (tmp_path / "AudioX-Turbo" / "pretransform" / "vae.ckpt").exists()
    assert made.name in result.stdout
    hub.requests.clear()
    assert str(made) in sentence(download(hub, "turbo", "--to", tmp_path, "--convert"))
    assert not hub.requests


def test_what_cannot_be_converted_is_kept(hub, tmp_path):
    sentence(download(hub, "turbo", "--to", tmp_path, "--convert", "--remove-original"))
    assert tree(tmp_path / "AudioX-Turbo") == {*expected(hub, "turbo"), "download.json"}
    assert not list(tmp_path.glob("*.safetensors"))


def test_no_original_is_dropped_without_a_converted_file(hub, tmp_path):
    assert "--convert" in sentence(download(hub, "turbo", "--to", tmp_path, "--remove-original"))
    assert not hub.requests


# The table


def test_every_variant_has_a_release_with_its_own_model():
    assert {release.variant for release in RELEASES.values()} == set(VARIANTS)
    assert len({release.checkpoint for release in RELEASES.values()}) == len(RELEASES)
    for release in RELEASES.values():
        assert len({file.path for file in release.files}) == len(release.files)
        assert all(len(file.repository.revision) == 40 for file in release.files)


def test_a_checkpoint_tells_its_release():
    assert {release_of(release.checkpoint): release for release in RELEASES.values()} == RELEASES
    told = {
        "AudioX/AudioX-MAF/model.ckpt": "maf",
        "audiox-maf-mmdit-bf16.safetensors": "maf-mmdit",
        "AudioX.ckpt": "audiox",
        "audiox-base-bf16.safetensors": "base",
        "nothing.ckpt": "turbo",
    }
    assert {name: release_of(name) for name in told} == told


@pytest.mark.parametrize("key", RELEASES)
def test_what_is_missing_is_told_whole(key):
    release = RELEASES[key]
    said = how_to_get(release.checkpoint, "`get {}`", ["demo.safetensors"])
    for part in (
        repr(release.checkpoint),
        f"`get {key}`",
        release.licence,
        f"models/audiox/{release.folder}",
        "demo.safetensors",
        *(file.source for file in release.files),
        *(file.repository.page for file in release.files),
    ):
        assert part in said


def test_the_default_folder_is_that_of_the_comfyui_around_the_pack(monkeypatch, tmp_path):
    inside = tmp_path / "ComfyUI" / "custom_nodes" / "audiox-native" / "audiox_core" / "release" / "files.py"
    monkeypatch.setattr(files, "__file__", str(inside))
    assert default_folder() == tmp_path / "ComfyUI" / "models" / "audiox"
    monkeypatch.setattr(files, "__file__", str(tmp_path / "src" / "audiox_core" / "release" / "files.py"))
    assert default_folder() == Path("models/audiox")
