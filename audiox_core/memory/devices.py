"""Which device to run on."""

from __future__ import annotations

import torch

from ..errors import AudioXError


def default_device() -> str:
    """A GPU where there is one, else the CPU."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def check_device(device: str) -> None:
    """AudioXError for a device that this machine cannot use."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch raises the second one for a build without that device
        raise AudioXError(
            f"--device is {device}, which this machine cannot use ({str(error).splitlines()[0]}); expected cpu, cuda "
            "or mps."
        ) from error
