"""Does this installation work, and as it should? What `audiox check` finds out, one `Result` after another.

- `result`: a finding, its state and what to do; the report of all of them.
- `facts`, `versions`, `comfyui`, `machine`: what is installed, around what, and on which machine.
- `files`: the model's files against the released ones.
- `parity`, `cases`, `inputs`, `golden`: each module of the demo against stored numbers, in each type.
- `trial`, `fingerprint`, `answers`: four steps of sampling, what the sound is like, and whether it answers prompts.
- `timing`, `floors`, `launches`, `memory_seen`: what it took, beside what it has to take.
- `run`: all of it, in order. `text`, `json_report`, `privacy`: the report for people and for issues.

Only what `run` imports late needs torch, so that a check can say that torch is missing.
"""
