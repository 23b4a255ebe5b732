"""How `make docs` makes the site: pages, results, notebooks and the reference, all read where they lie.

The source folder is the repository, so that a link which leads somewhere on disk leads there on the site as well.
Nothing is fetched: theme, search and MathJax come out of packages that `requirements/docs.txt` locks.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parent.parent

project = "recsys_tfrs"
root_doc = "docs/start"
include_patterns = [
    "docs/**",
    "benchmarks/results/*.md",
    "notebooks/[0-9]*.ipynb",
    "deploy/README.md",
    "CHANGELOG.md",
]
# Folders that are not even to be walked through.
exclude_patterns = [".*", "_*", "runs", "data", "site", "build", "dist", "**/__pycache__"]

extensions = ["myst_nb", "autoapi.extension", "sphinx.ext.napoleon", "sphinx-mathjax-offline"]

myst_enable_extensions = ["dollarmath", "amsmath"]
myst_dmath_double_inline = True
myst_fence_as_directive = ["math"]  # what GitHub shows as formulas
myst_heading_anchors = 3
# MathJax as it comes: it otherwise looks only at what MyST marks, and docstrings are not MyST.
myst_update_mathjax = False

# Notebooks are shown as stored, or, with NOTEBOOKS=run, as `make notebooks` has just executed them.
nb_execution_mode = "off"
EXECUTED = ROOT / "notebooks" / "_output" if os.environ.get("NOTEBOOKS") == "run" else None

autoapi_dirs = ["recsys_tfrs"]  # from the repository
autoapi_root = "docs/reference"
autoapi_options = ["members", "undoc-members", "show-inheritance", "show-module-summary"]
autoapi_add_toctree_entry = False
autoapi_python_class_content = "both"
autoapi_member_order = "bysource"
# A name that is imported from where it is imported itself is described where it is defined; a short name in a docstring
# (Config) that several modules define leads to one of them.
suppress_warnings = ["autoapi.python_import_resolution", "ref.python"]
default_role = "code"  # docstrings put names between single backticks, too
napoleon_numpy_docstring = False
napoleon_use_ivar = True  # attributes are described where they are defined as well

# A block without a language is what somebody types, or what is printed.
highlight_language = "none"

html_theme = "furo"
html_title = "recsys_tfrs"
html_static_path = ["site/static"]
html_css_files = ["site.css"]
html_extra_path = ["site/index.html"]
html_copy_source = False
html_show_copyright = False


def as_executed(_app: Sphinx, name: str, source: list[str]) -> None:
    """Put the executed copy of a notebook in the place of the stored one."""
    if EXECUTED and name.startswith("notebooks/"):
        source[0] = (EXECUTED / f"{Path(name).name}.ipynb").read_text(encoding="utf-8")


def stages_as_list(_app: Sphinx, _what: str, name: str, _obj: object, _options: object, lines: list[str]) -> None:
    """Make a list of the stages in the package's docstring, whose two columns would run into one paragraph."""
    if name == project:
        lines[:] = [re.sub(r"^(\w+) {2,}(?=\S)", r"* ``\1``: ", line) for line in lines]


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", as_executed)
    app.connect("autodoc-process-docstring", stages_as_list)
