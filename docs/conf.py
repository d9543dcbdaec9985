"""Sphinx: the narrative pages in this directory and the reference from the docstrings."""

from __future__ import annotations

import doctest
import sys
from importlib.metadata import version as _version
from pathlib import Path

import txroom

HERE = Path(__file__).parent
# txroomdocs, and the examples, which some pages import.
sys.path[:0] = [str(HERE / "_ext"), str(HERE / "examples")]

project = "txroom"
author = "The txroom authors"
copyright = f"2026, {author}"
release = version = _version("txroom")

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.doctest",
    "txroomdocs",
    "admincalls",
]
exclude_patterns = ["_ext", "examples"]

# `Server.listen` in a page or a docstring links to it, wherever there is something to link to.
default_role = "py:obj"
rst_prolog = ".. py:currentmodule:: txroom\n\n"
add_module_names = False
toc_object_entries_show_parents = "hide"

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True

nitpicky = True
# txroom's own names have to resolve, with `txroom.` before them or without; Twisted's and Python's would
# need their inventories from the network, and the docs are built without one.
OWN = rf"txroom\b|({'|'.join(txroom.__all__)})(\.\w+)*$"
nitpick_ignore_regex = [("py:.*", rf"(?s)(?!{OWN}).*"), ("py:class", r".*\.(Default|Function|RoomClass)")]

doctest_test_doctest_blocks = "default"
doctest_global_setup = "from txroom import *"
# What exceptions say is compared, too; their modules need not be named.
doctest_default_flags = doctest.ELLIPSIS | doctest.DONT_ACCEPT_TRUE_FOR_1

html_theme = "furo"
html_title = f"txroom {release}"
html_show_sphinx = False
html_static_path = ["_static"]
html_css_files = ["txroom.css"]
