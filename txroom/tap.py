"""
The ``txroom`` command of twistd and twist, in the place where Twisted's own plugins are.
"""

from .process.tap import Options as Options
from .process.tap import makeService as makeService
