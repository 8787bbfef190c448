"""Measures of any sound; nothing here is learned, and nothing knows what the sound should be.

- `levels`: RMS level (linear, full scale 1), decibels of full scale (dBFS), the side that a sound comes from.
- `loudness`: integrated loudness (LUFS) and true peak (linear, full scale 1; dBTP in messages), ITU-R BS.1770-4.
- `onsets`: times at which something begins (s), their period (s), the envelope, how deep the level dips (dB).
- `spectra`: power spectra, mel levels (dBFS), flatness and peakedness (0..1), peaks and pitch (Hz, octaves a second).

`loudness` takes tensors of one sound (channels, samples) at any sample rate. The others take arrays, at 44.1 kHz where
no rate is given.
"""
