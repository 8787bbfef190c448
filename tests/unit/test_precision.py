"""The table of number types: `python -m benchmarks precision`."""

import pytest
import torch

from benchmarks import precision
from devtools.parity.golden_file import Golden
from devtools.paths import GOLDEN


@pytest.fixture(scope="module")
def found():
    """Distances of the prompt fusion, the smallest of the cases, in every type."""
    file, compute, _ = precision.CASES["prompt fusion"]
    golden = Golden.read(GOLDEN / f"{file}.safetensors")
    with torch.inference_mode():
        return {
            name: max(precision.distance(golden, *each) for each in compute(golden, kind))
            for name, kind in precision.TYPES.items()
        }


def test_types_are_as_far_from_float32_as_their_digits(found):
    assert found["fp32"] < 1e-5 < found["fp16"] < 2e-3 < found["bf16"] < 2e-2 < found["fp8"] < 0.2


def test_what_a_model_keeps_in_float32_stays():
    model = precision.cast(precision.models.maf(1), precision.TYPES["fp8"])
    assert model.experts.weight.dtype == torch.float32
    weight = model.layers[0].linear1.weight
    assert weight.dtype == torch.bfloat16
    assert torch.equal(weight, weight.to(torch.float8_e4m3fn).to(torch.bfloat16))


def test_every_case_has_its_golden_file():
    assert all((GOLDEN / f"{file}.safetensors").is_file() for file, _, _ in precision.CASES.values())
