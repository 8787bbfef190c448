"""Where the components of a model are during a run: what each needs, a plan within the machine's memory, its execution.

machine = detect("cuda")
plan = plan_memory(ModelFootprint.of(checkpoint), Workload(rows=2), machine, Limits(max_vram=8 * GB), dtypes)
model = AudioX(checkpoint, "cuda", dtypes.network, plan=plan)
"""

from .machine import GB, Limits, Machine, detect
from .needs import Dtypes, ModelFootprint, NetworkParameters, Workload
from .plan import BlockStreaming, Budget, Decoding, MemoryPlan, StageMemory, largest_need, plan_memory

__all__ = [
    "GB",
    "BlockStreaming",
    "Budget",
    "Decoding",
    "Dtypes",
    "Limits",
    "Machine",
    "MemoryPlan",
    "ModelFootprint",
    "NetworkParameters",
    "StageMemory",
    "Workload",
    "detect",
    "largest_need",
    "plan_memory",
]
