#!/usr/bin/env python3
"""One command from a bare Python to the demo or to the tests: `python3 tools/dev.py demo|test|browser|matrix|...`.

Each installs what is missing: a virtual environment (`.venv`, or the folder that AUDIOX_VENV names) and ComfyUI
trees (`.cache/comfyui-<version>`). COMFYUI_PATH names a checkout to use in place of the newest tree. Packages
come from wherever pip is configured to look.
"""

import sys

from development.cli import main  # a script finds what lies beside it

if __name__ == "__main__":
    sys.exit(main())
