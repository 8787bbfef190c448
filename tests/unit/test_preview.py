"""The picture of a latent, and its way through ComfyUI while a sound is sampled."""

import io

import av
import pytest
import torch

from audiox_core.media.latent_picture import colour_table, latent_picture
from devtools.graphs import BASE, node, text_to_latent


def random_latent(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_the_first_of_a_batch_becomes_a_picture():
    latent = random_latent(3, 64, 236)
    picture = latent_picture(latent)
    assert picture.shape == (1, 3, 64, 236)
    assert picture.min() >= -1 and picture.max() <= 1
    assert torch.equal(picture, latent_picture(latent[:1]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("scale", [0.01, 1.0, 50.0])
def test_the_scale_of_a_latent_does_not_matter(dtype, scale):
    latent = random_latent(1, 64, 236)
    different = latent_picture(latent) - latent_picture((latent * scale).to(dtype))
    assert different.abs().mean() < 0.01


def test_lighter_is_farther_from_the_mean():
    latent = random_latent(1, 64, 236).flatten()
    latent = latent - latent.mean()
    latent = latent[latent.abs().sort().indices].view(1, 64, 236)
    light = latent_picture(latent).sum(1).flatten()
    assert (light.diff() >= 0).all() and light[-1] - light[0] > 4
    assert torch.allclose(colour_table()[[0, -1]] * 127.5 + 127.5, torch.tensor([[4.0, 4, 18], [252, 255, 200]]))


def test_an_empty_latent_is_one_colour():
    picture = latent_picture(torch.zeros(1, 64, 236))
    assert picture.isfinite().all() and (picture == picture[..., :1, :1]).all()


def previews(server, prompt: dict, method: str) -> list[bytes]:
    """Pictures that come while a prompt runs."""
    before = len(server.previews)
    body = {"prompt": prompt, "client_id": server.client_id, "extra_data": {"preview_method": method}}
    server.wait(server.post("/prompt", body)["prompt_id"])
    return server.previews[before:]


def test_every_step_is_shown_where_the_user_wants_it(each_comfy):
    shown = previews(each_comfy, text_to_latent(seed=21, steps=4), "auto")
    assert len(shown) == 4 and len(set(shown)) == 4
    for picture in shown:
        with av.open(io.BytesIO(picture)) as file:
            assert next(file.decode(video=0)).width == 512  # ComfyUI's --preview-size
    assert not previews(each_comfy, text_to_latent(seed=22, steps=4), "none")


def test_core_samplers_show_it_too(lab):
    prompt = text_to_latent(BASE, seed=23)
    links = {"model": ["load", 0], "positive": ["text", 0], "negative": ["nothing", 0], "latent_image": ["latent", 0]}
    prompt["nothing"] = node("ConditioningZeroOut", conditioning=["text", 0])
    prompt["sample"] = node(
        "KSampler", **links, seed=23, steps=3, cfg=6.0, denoise=1.0, sampler_name="euler", scheduler="simple"
    )
    assert len(previews(lab, prompt, "latent2rgb")) == 3
