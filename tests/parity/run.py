"""Compare this implementation with golden files: `python tests/parity/run.py DIR`; see `devtools.parity`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # so that it runs from any folder, with nothing installed

from devtools.parity.compare import main

if __name__ == "__main__":
    sys.exit(main())
