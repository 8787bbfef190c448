"""Nodes that take long show their progress, and read only what they need."""

from devtools.graphs import node, text_to_latent


def test_every_long_node_shows_where_it_is(each_comfy):
    prompt = text_to_latent(each_comfy_checkpoint(each_comfy), seed=4)
    prompt["load"]["inputs"]["variant"] = "turbo"  # not as any other test, whose loaded model would be cached
    prompt["decode"] = node("AudioXVAEDecode", vae=["load", 1], latent=["sample", 0], seconds=0.0, normalize=False)
    prompt["core"] = node("VAEDecodeAudio", vae=["load", 1], samples=["sample", 0])
    for sound in ("decode", "core"):
        prompt[f"saved {sound}"] = node("SaveAudio", audio=[sound, 0], filename_prefix="audio/progress")
    run = each_comfy.run(prompt)
    for name in ("load", "text", "sample", "decode", "core"):
        values = [value for key, value, _ in run.progress if key == name]
        most = {most for key, _, most in run.progress if key == name}
        assert len(most) == 1 and values == sorted(values), name
        assert values[0] == 0 and values[-1] == most.pop() > 0, name
    assert "Requested to load AudioXT5" in each_comfy.log()


def each_comfy_checkpoint(server) -> str:
    """A model that a server has."""
    return next(name for name in server.options("AudioXLoad", "checkpoint") if name.startswith("AudioX-Turbo"))
