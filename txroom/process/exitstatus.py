"""
The status of a process whose reactor has run: twistd itself always ends with 0 then.
"""

from __future__ import annotations

import atexit
import os
import sys


def exitWithError() -> None:
    """Let the process end with status 1, after everything else has been cleaned up."""
    atexit.register(_endProcess)


def _endProcess() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)
