"""
Load tests: many clients of a server, and what they see of it.

`python -m txroom.loadtest URL` is the command. The parts, for programs of one's own: a `Plan` says what is to
be done, a `Crowd` does it on a reactor, `figuresOf` has what was measured.
"""

from .crowd import Crowd
from .plan import Plan
from .report import Progress, figuresOf, textOf

__all__ = ["Crowd", "Plan", "Progress", "figuresOf", "textOf"]
