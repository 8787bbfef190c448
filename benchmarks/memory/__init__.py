"""What a checkpoint, long videos and many runs need in memory: `python -m benchmarks.memory load|length|runs`."""
