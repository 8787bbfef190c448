"""The toy world that the demo knows: its sounds, its scenes and its films."""
