"""Commands for working on the pack; `python3 tools/dev.py` is the one to begin with."""
