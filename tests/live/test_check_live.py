"""The check of an installation: as a command, and as ComfyUI's page asks for it, by POST /audiox/check."""

import json
import os
import subprocess
import sys
import threading
import urllib.error
import urllib.request

import pytest

from devtools.comfy_server import PromptError
from devtools.graphs import text_to_latent
from devtools.paths import ROOT
from tools.development import COMFYUI

PATIENCE = 400
"""Seconds for a check, also on a machine that does other things."""

DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def post_check(comfy, headers=None) -> tuple[int, dict]:
    """Status and JSON of POST /audiox/check."""
    request = urllib.request.Request(f"http://{comfy.address}/audiox/check", data=b"", headers=headers or {})
    try:
        with DIRECT.open(request, timeout=PATIENCE) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        text = error.read().decode()
        return error.code, json.loads(text) if text.startswith("{") else {"error": text}


def results_of(report: dict) -> dict[str, dict]:
    return {result["name"]: result for section in report["sections"] for result in section["results"]}


def test_the_command_finds_nothing_wrong_here(tmp_path):
    command = [sys.executable, "-m", "audiox_core", "check", "--device", "cpu", "--verify"]
    answer = subprocess.run(
        [*command, "--json", str(tmp_path / "check.json"), "--models", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
    )
    report = json.loads((tmp_path / "check.json").read_text("utf-8"))
    assert answer.returncode == report["exit_code"] == 0, answer.stdout + answer.stderr
    assert answer.stdout.rstrip().endswith(report["verdict"])
    found = results_of(report)
    assert found["fp32"]["state"] == found["fp16"]["state"] == "ok"
    assert found["fingerprint"]["text"].endswith("as expected")
    assert found["prompts"]["values"]["right"] >= 7
    assert 0 < found["decode"]["values"]["ram_planned"] < 2**30
    assert str(tmp_path) not in json.dumps(report)


def test_the_server_checks_itself_once_at_a_time(comfy):
    answers = []
    first = threading.Thread(target=lambda: answers.append(post_check(comfy)))
    first.start()
    refusal = post_check(comfy)
    first.join()
    [(status, answer)] = answers
    assert sorted((status, refusal[0])) == [200, 409]
    answer, refused = (answer, refusal[1]) if status == 200 else (refusal[1], answer)
    assert refused["error"] == "A check is running already."
    report = answer["report"]
    assert report["schema"] == "audiox-check/1"
    assert answer["text"].rstrip().endswith(report["verdict"])
    found = results_of(report)
    assert found["ComfyUI"]["values"]["version"] == COMFYUI
    assert found["fp32"]["state"] == "ok"
    assert found["AudioX-Turbo/audiox_turbo/audiox_turbo.ckpt"]["values"]["variant"] == "turbo"
    assert str(comfy.base) not in json.dumps(answer)


def test_a_check_is_refused_while_a_prompt_runs(comfy):
    prompt = comfy.queue(text_to_latent("demo_base.safetensors", seed=11, steps=500))
    comfy.wait_for_event(prompt, "progress", node="sample")
    status, answer = post_check(comfy)
    comfy.interrupt()
    assert status == 409
    assert answer["error"].startswith("Wait until the queue is empty")
    with pytest.raises(PromptError):
        comfy.wait(prompt)


def test_another_web_site_cannot_ask_for_a_check(comfy):
    assert post_check(comfy, {"Origin": "http://elsewhere.example"})[0] == 403
