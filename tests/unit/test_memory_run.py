"""Plans carried out: the same numbers wherever the weights are, and nothing left behind.

There is no GPU here: the device that weights stream to is the CPU, on which every copy is a real one, and a pretended
CUDA device, on which tensors have a place and no contents.
"""

from dataclasses import replace

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from audiox_core.checkpoint import open_checkpoint
from audiox_core.memory import BlockStreaming, Decoding, Machine, ModelFootprint, Workload, plan_memory
from audiox_core.memory.streaming import StreamedNetwork, evenly
from audiox_core.models.network import AudioXNetwork
from audiox_core.pipeline import AudioX, Prompt
from audiox_core.sampling.presets import resolve_settings
from devtools.memory_tracker import Tracker
from devtools.small_family import make_family_model

ROOMY = Machine("cpu", 0, 0, 2**40, 2**40)


@pytest.fixture(scope="module", params=["turbo", "base", "maf", "v1"])
def checkpoint(request, released_dir, tmp_path_factory):
    if request.param in ("turbo", "base"):
        return open_checkpoint(released_dir, variant=request.param)
    return open_checkpoint(make_family_model(tmp_path_factory.mktemp("model") / request.param, request.param))


def planned(checkpoint, **changes):
    return replace(plan_memory(ModelFootprint.of(checkpoint), Workload(sounds=2), ROOMY), **changes)


def latent_of(model, sounds=2):
    settings = resolve_settings(model.variant, steps=2)
    prompt = Prompt(text=model.encode_text("rain on a car")[0])
    return model.sample(prompt, settings, list(range(sounds)))


@pytest.mark.parametrize("streamed", [0, 2])
def test_streaming_changes_no_bit(checkpoint, streamed):
    blocks = ModelFootprint.of(checkpoint).network.blocks
    streaming = BlockStreaming(blocks, streamed, prompt_layers=True)
    whole = AudioX(checkpoint)
    parts = AudioX(checkpoint, plan=planned(checkpoint, streaming=streaming, resident=frozenset()))
    expected = latent_of(whole)
    assert torch.equal(latent_of(parts), expected)
    assert torch.equal(latent_of(parts), expected)  # the second run finds everything as the first did
    assert torch.equal(parts.decode(expected), whole.decode(expected))


def test_dropped_components_are_read_again(checkpoint):
    dropped = frozenset({"network", "t5", "vae"})
    model = AudioX(checkpoint, plan=planned(checkpoint, dropped=dropped, resident=frozenset()))
    latent = latent_of(model)
    model.decode(latent)
    assert model._parts == {}
    assert torch.equal(latent_of(model), latent)


def test_tiles_and_batches_change_little(checkpoint):
    latent = torch.randn(2, 64, 236, generator=torch.Generator().manual_seed(0))
    whole = AudioX(checkpoint).decode(latent)
    tiled = AudioX(checkpoint, plan=planned(checkpoint, decoding=Decoding(2**14, batch=1))).decode(latent)
    assert torch.allclose(whole, tiled, atol=1e-5)


def network_of(checkpoint) -> AudioXNetwork:
    return AudioX(checkpoint).load("network", AudioXNetwork, torch.float32)


def tensors_of(network) -> dict[str, int]:
    return {name: value.data_ptr() for name, value in network.named_parameters()}


def test_an_error_leaves_no_half_moved_model(checkpoint):
    network = network_of(checkpoint)
    before = tensors_of(network)
    stream = StreamedNetwork(network, 2, torch.device("cpu"), pin=False)
    context = torch.zeros(1, network.sizes.context_tokens, network.sizes.transformer.context_width)

    def fail(*arguments):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), stream, torch.inference_mode():
        network(torch.zeros(1, 64, 236), torch.zeros(1), network.prepare(context), fail)
    assert tensors_of(network) == before
    assert not any(hasattr(module, "_hf_hook") for module in network.modules())


def test_two_slots_are_all_that_blocks_take(released_dir):
    checkpoint = open_checkpoint(released_dir, variant="turbo")
    network = network_of(checkpoint)
    numbers = ModelFootprint.of(checkpoint).network
    stream = StreamedNetwork(network, 2, torch.device("cpu"), pin=False)
    with Tracker() as tracker, stream:
        assert tracker.live == 4 * (2 * numbers.block + numbers.rest)
    with torch.inference_mode(), Tracker() as tracker, stream:
        network.prepare(network.null_context(1, torch.zeros(1)))
    assert tracker.peak < 4 * (2 * numbers.block + 2 * numbers.largest_prompt_layer) + 10e6


def test_streamed_blocks_are_spread():
    assert evenly(24, 24) == list(range(24))
    assert evenly(24, 6) == [0, 4, 8, 12, 16, 20]
    assert evenly(24, 1) == [0]


def test_every_operator_finds_its_tensors_on_the_device(checkpoint):
    """On a pretended CUDA device: an operator that met tensors of two devices would raise."""
    sizes = checkpoint.sizes["network"]
    with FakeTensorMode():
        network = AudioXNetwork(sizes, device="cpu").requires_grad_(False)
        cuda = torch.device("cuda", 0)
        stream = StreamedNetwork(network, 2, torch.device("cpu"), pin=False)
        stream.device = stream.slots.device = cuda  # CUDA's streams and events need a real one
        transformer = sizes.transformer
        with stream, torch.inference_mode():
            text = torch.zeros(1, 128, transformer.context_width, device=cuda)
            clip = torch.zeros(1, 2500, transformer.context_width, device=cuda)
            sync = torch.zeros(1, 240, transformer.context_width, device=cuda) if sizes.video.sync_rows else None
            for video in ((None, None), (clip, sync)):
                prepared = network.prepare(network.context(text, *video))
                out = network(torch.zeros(2, 64, 236, device=cuda), torch.zeros(2, device=cuda), prepared)
            assert prepared.device == out.device == cuda
            assert {slot.module._parameters[slot.name].device for slot in stream.residents} == {cuda}
        assert {value.device.type for value in network.parameters()} == {"cpu"}
