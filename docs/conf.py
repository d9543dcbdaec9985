"""Sphinx: the narrative pages in this directory and the reference from the docstrings."""

from __future__ import annotations

from importlib.metadata import version as _version

project = "txroom"
author = "The txroom authors"
copyright = f"2026, {author}"
release = version = _version("txroom")

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.doctest",
    "sphinx.ext.napoleon",
]

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
napoleon_numpy_docstring = False

nitpicky = True
# txroom's own names have to resolve; Twisted's and Python's would need their inventories from
# the network, and the docs are built without one.
nitpick_ignore_regex = [("py:.*", r"(?!txroom\b).*")]

doctest_test_doctest_blocks = "default"

html_theme = "furo"
html_title = f"txroom {release}"
html_show_sphinx = False
