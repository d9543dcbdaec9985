"""
The ``txroom`` command of twistd and twist, at the place where Twisted's own plugins have theirs.
"""

from .process.tap import Options as Options
from .process.tap import makeService as makeService
