"""Float32 products by oneDNN: the same numbers to rounding, in their place only."""

import threading

import pytest
import torch
import torch.nn.functional as F
from torch.nn import Linear

from audiox_core.models import onednn as products

pytestmark = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this PyTorch has no oneDNN")


@pytest.fixture
def calls(monkeypatch):
    """The shapes that `products.linear` was given, on a machine where it is taken to be faster."""
    monkeypatch.setattr(products, "onednn_is_faster", lambda: True)
    seen, linear = [], products.linear
    monkeypatch.setattr(products, "linear", lambda x, *rest: seen.append(x.shape) or linear(x, *rest))
    return seen


@pytest.mark.parametrize("shape", [(5, 24), (2, 7, 24), (2, 3, 1, 24)])
@pytest.mark.parametrize("bias", [True, False])
def test_products_are_those_of_pytorch(shape, bias):
    layer = Linear(24, 40, bias=bias)
    x = torch.randn(shape)
    with torch.inference_mode():
        assert (products.linear(x, layer.weight, layer.bias) - layer(x)).abs().max() < 1e-5
        turned = x.transpose(0, -2)
        assert (products.linear(turned, layer.weight, layer.bias) - layer(turned)).abs().max() < 1e-5


@pytest.mark.parametrize("x", [torch.randn(24), torch.randn(0, 24), torch.randn(3, 24, dtype=torch.float64)])
def test_what_onednn_does_not_take_is_left_to_pytorch(x):
    weight = torch.randn(40, 24, dtype=x.dtype)
    with torch.inference_mode():
        assert torch.equal(products.linear(x, weight), F.linear(x, weight))


def test_gradients_are_left_to_pytorch():
    layer = Linear(4, 4)
    products.linear(torch.ones(2, 4), layer.weight, layer.bias).sum().backward()
    assert layer.weight.grad.abs().sum() > 0


def test_only_the_function_and_its_thread_are_changed(calls):
    layer, x = Linear(24, 40), torch.randn(3, 24)
    started, done = threading.Event(), threading.Event()

    def elsewhere():
        started.wait(10)
        layer(x)
        done.set()

    @products.with_onednn
    def run(x):
        started.set()
        assert done.wait(10)
        return layer(x)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    layer(x)
    run(x)
    thread.join()
    layer(x)
    assert calls == [(3, 24)]


def test_other_machines_keep_pytorch_s_choice(calls, monkeypatch):
    monkeypatch.setattr(products, "onednn_is_faster", lambda: False)
    layer = Linear(24, 40)
    products.with_onednn(layer.forward)(torch.randn(3, 24))
    assert not calls


@pytest.mark.parametrize("method", ["unflatten", "split"])
def test_torch_compile_traces_through_as_if_nothing_were_there(calls, method):
    layer, x = Linear(24, 40), torch.randn(3, 24)
    sizes = {"unflatten": (-1, (4, 10)), "split": (20, -1)}[method]

    @products.with_onednn
    def run(x):
        return getattr(layer(x), method)(*sizes)

    with torch.inference_mode():
        compiled = torch.compile(run, backend="eager", fullgraph=True)(x)
        assert not calls
        assert all((a - b).abs().max() < 1e-5 for a, b in zip(compiled, run(x), strict=True))
        assert calls == [(3, 24)]
