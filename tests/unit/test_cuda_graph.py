"""Evaluations that are recorded and replayed: the same bits, whatever changes between them, and a line where not.

There is no GPU here. `pretended` stands for CUDA: it writes down the operations of an evaluation with their tensors,
and a replay runs them again on the same tensors, as a graph does; Python is not asked, and what was written before is
lost. The last test is for a real one.
"""

import logging
from dataclasses import replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from audiox_core import stages
from audiox_core.checkpoint import open_checkpoint
from audiox_core.cli import main
from audiox_core.memory import Budget, Machine, ModelFootprint, Workload, plan_memory
from audiox_core.models import cuda_graph as graphs
from audiox_core.models.cuda_graph import LIMIT, PATIENCE, RecordedNetwork
from audiox_core.models.network import AudioXNetwork
from audiox_core.pipeline import AudioX, Prompt
from audiox_core.sampling.presets import resolve_settings
from devtools.small_family import make_family_model

CPU = torch.device("cpu")


class PretendedGraph(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.launched = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        # A graph knows addresses, not parameters: whoever gives one other numbers elsewhere does not change it.
        args, kwargs = tree_map_only(torch.Tensor, torch.Tensor.detach, (args, kwargs or {}))
        self.launched.append((function, args, kwargs, out))
        return out

    def replay(self):
        for function, args, kwargs, out in self.launched:
            given = {x.untyped_storage().data_ptr() for x in tensors((args, kwargs))}
            for place, value in zip(tensors(out), tensors(function(*args, **kwargs)), strict=True):
                if place.untyped_storage().data_ptr() not in given:  # neither a view nor in place
                    place.copy_(value)


def tensors(tree):
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def pretended(evaluate, device):
    with PretendedGraph() as graph:
        out = evaluate()
    return graph, out


@pytest.fixture(autouse=True)
def inference():
    with torch.inference_mode():
        yield


@pytest.fixture
def cuda(monkeypatch):
    """As if the CPU had CUDA graphs."""
    monkeypatch.setattr(graphs, "capture", pretended)
    monkeypatch.setattr(stages, "can_record", lambda device, streams: True)


@pytest.fixture(scope="module", params=["base", "v1"])
def checkpoint(request, released_dir, tmp_path_factory):
    if request.param == "base":
        return open_checkpoint(released_dir, variant="base")
    return open_checkpoint(make_family_model(tmp_path_factory.mktemp("model") / "v1", "v1"))


@pytest.fixture
def network(checkpoint):
    return AudioX(checkpoint).load("network", AudioXNetwork, torch.float32)


def prepared_of(network, prompts=1, seed=0):
    shape = (prompts, network.sizes.context_tokens, network.sizes.transformer.context_width)
    return network.prepare(torch.randn(shape, generator=torch.Generator().manual_seed(seed)))


def given(number, sounds=1):
    """Latents and times of evaluation `number`."""
    x = torch.randn(sounds, 64, 236, generator=torch.Generator().manual_seed(number))
    return x, torch.full((sounds,), 1 / (1 + number))


def python_calls(network, monkeypatch):
    """Grows by one with each evaluation that Python runs."""
    calls, forward = [], network.transformer.forward
    monkeypatch.setattr(network.transformer, "forward", lambda *args: calls.append(args) or forward(*args))
    return calls


def test_replays_are_the_same_bits_and_stay(network, cuda, monkeypatch):
    """Two runs with two prompts; what came out is held, and compared only when all replays are over."""
    prompts = [prepared_of(network, seed=seed) for seed in (0, 1)]
    asked = [(*given(i), prompts[i // 12]) for i in range(24)]
    expected = [network(*each) for each in asked]
    calls, recorded = python_calls(network, monkeypatch), RecordedNetwork(network)
    recorded.begin()
    made = [recorded(*each) for each in asked]
    assert len(calls) == PATIENCE + 1  # before the recording, and for it
    assert all(torch.equal(*pair) for pair in zip(made, expected, strict=True))
    assert (expected[0] - expected[-1]).abs().max() > 1e-3


def test_one_prompt_serves_several_sounds(network, cuda):
    recorded, prepared = RecordedNetwork(network), prepared_of(network, prompts=2)
    recorded.begin()
    for i in range(PATIENCE + 3):
        asked = (*given(i, sounds=4), prepared)
        assert torch.equal(recorded(*asked), network(*asked))
    assert recorded._recording is not None


def test_weights_that_moved_are_not_read_where_they_were(network, cuda):
    recorded, asked = RecordedNetwork(network), (*given(0), prepared_of(network))

    def run():
        recorded.begin()
        return [recorded(*asked) for _ in range(PATIENCE + 2)][-1]

    before = run()
    kept = recorded._recording
    assert torch.equal(run(), before) and recorded._recording is kept
    weight = network.transformer.project_out.weight
    weight.data = 2 * weight.data
    after = run()
    assert torch.equal(after, network(*asked)) and not torch.equal(after, before)


def test_recordings_are_bounded(network, cuda, caplog):
    recorded, prepared = RecordedNetwork(network), prepared_of(network)
    recorded.begin()
    for turn in range(LIMIT + 2):
        x, t = given(0, sounds=1 + turn % 2)
        for _ in range(PATIENCE + 1):
            out = recorded(x, t, prepared)
        assert (recorded._recording is not None) == (turn < LIMIT)
    assert torch.equal(out, network(x, t, prepared))
    [line] = caplog.messages
    assert f"{LIMIT} recordings" in line


@pytest.mark.parametrize("error", [RuntimeError("operation not permitted\nmore of it"), torch.OutOfMemoryError("full")])
def test_what_cannot_be_recorded_runs_without_and_says_so_once(network, cuda, monkeypatch, caplog, error):
    tried = []

    def fail(evaluate, device):
        tried.append(1)
        raise error

    monkeypatch.setattr(graphs, "capture", fail)
    recorded, asked = RecordedNetwork(network), (*given(0), prepared_of(network))
    recorded.begin()
    for _ in range(PATIENCE + 3):
        assert torch.equal(recorded(*asked), network(*asked))
    [line] = caplog.messages
    assert str(error).splitlines()[0] in line and "\n" not in line
    assert len(tried) == 1


def test_a_recording_keeps_to_the_plan(network, cuda, caplog):
    asked = (*given(0), prepared_of(network))
    need = asked[2].nbytes
    for free_vram, fits in ((need, False), (3 * need + 10**8, True)):
        recorded = RecordedNetwork(network, free_vram)
        recorded.begin()
        for _ in range(PATIENCE + 1):
            recorded(*asked)
        assert (recorded._recording is not None) == fits
    [line] = caplog.messages
    assert "memory plan" in line


def test_the_plan_knows_the_free_memory(checkpoint):
    machine = Machine("cuda", 8 * 10**9, 8 * 10**9, 2**40, 2**40)
    found = plan_memory(ModelFootprint.of(checkpoint), Workload(), machine)
    assert found.free_vram + max(stage.vram for stage in found.stages) == found.budget.vram
    assert found.free_vram > 0


def test_a_sound_is_the_same(checkpoint, cuda, monkeypatch):
    """Guidance, windows of one prompt, a second run on what the first one recorded."""
    settings = resolve_settings(checkpoint.variant, steps=PATIENCE + 4)
    plain, model = AudioX(checkpoint), AudioX(checkpoint, cuda_graphs=True)
    network = model.load("network", AudioXNetwork, torch.float32)
    for seconds, seed in ((10.0, 0), (10.0, 1), (17.0, 2)):
        made = model.sample(Prompt(), settings, [seed], seconds=seconds)
        assert torch.equal(made, plain.sample(Prompt(), settings, [seed], seconds=seconds))
    calls = python_calls(network, monkeypatch)
    model.sample(Prompt(), settings, [3])
    assert not calls


def test_a_network_that_leaves_takes_its_recording_along(checkpoint, cuda):
    plan = plan_memory(ModelFootprint.of(checkpoint), Workload(), Machine("cpu", 0, 0, 2**40, 2**40))
    plan = replace(plan, budget=Budget(vram=2**40, ram=2**40))
    for resident in (frozenset({"network"}), frozenset()):
        model = AudioX(checkpoint, plan=replace(plan, resident=resident), cuda_graphs=True)
        model.sample(Prompt(), resolve_settings(checkpoint.variant, steps=2), [0])
        assert (model._recorded is not None) == bool(resident)


def test_a_device_without_graphs_gets_a_line(checkpoint, caplog):
    settings = resolve_settings(checkpoint.variant, steps=2)
    model = AudioX(checkpoint, cuda_graphs=True)  # on the CPU
    [line] = caplog.messages
    assert "cpu" in line
    assert torch.equal(model.sample(Prompt(), settings), AudioX(checkpoint).sample(Prompt(), settings))
    assert model._recorded is None


def test_what_is_recorded_where(caplog):
    assert graphs.can_record(torch.device("cuda:1"), streams=False)
    assert not caplog.messages
    assert not graphs.can_record(torch.device("cuda"), streams=True)
    assert not graphs.can_record(CPU, streams=False)
    assert ["stream" in line for line in caplog.messages] == [True, False]


def test_the_command_line_says_it_too(released_dir, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        model, out = released_dir / "audiox_turbo", tmp_path / "sound.wav"
        assert main(["generate", "--model", str(model), "--device", "cpu", "--out", str(out), "--cuda-graphs"]) == 0
    assert out.is_file()
    assert sum("CUDA graphs" in line for line in caplog.messages) == 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_real_graph_gives_the_same_bits(checkpoint, dtype):
    network = AudioX(checkpoint, dtype=dtype).load("network", AudioXNetwork, dtype).to("cuda")
    shape = (2, network.sizes.context_tokens, network.sizes.transformer.context_width)
    prompts = [network.prepare(torch.randn(shape, device="cuda", dtype=dtype)) for _ in range(2)]
    recorded = RecordedNetwork(network)
    recorded.begin()
    for i in range(2 * PATIENCE):
        x, t = (tensor.to("cuda") for tensor in given(i, sounds=4))
        asked = (x.to(dtype), t, prompts[i * 2 // (2 * PATIENCE)])
        assert torch.equal(recorded(*asked), network(*asked))
    assert recorded._recording is not None
