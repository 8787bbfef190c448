"""Measuring any sound: loudness, onsets, levels, spectra. Nothing here is learned."""
