"""Where the parts of a model sit during a run: measured needs, a plan within the machine's memory, its execution.

machine = detect("cuda")
found = plan(Model.of(checkpoint), Job(rows=2), machine, Limits(max_vram=8 * GB), dtypes)
model = AudioX(checkpoint, "cuda", dtypes.network, plan=found)
"""

from .machine import GB, Limits, Machine, detect
from .needs import Dtypes, Job, Model, NetworkNumbers
from .plan import Plan, Stage, largest_need, plan

__all__ = [
    "GB",
    "Dtypes",
    "Job",
    "Limits",
    "Machine",
    "Model",
    "NetworkNumbers",
    "Plan",
    "Stage",
    "detect",
    "largest_need",
    "plan",
]
