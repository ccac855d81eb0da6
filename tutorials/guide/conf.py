"""Configuration of the documentation site, which `python -m sphinx -W -b html tutorials/guide OUT` builds."""

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE)]

import sources  # noqa: E402

import ann2neo  # noqa: E402

sources.write(HERE / "generated")

project = "ann2neo"
author = copyright = "The ann2neo developers"
version = release = ann2neo.__version__
exclude_patterns = ["_templates", "*.py"]
templates_path = ["_templates"]
html_static_path = ["_static"]
html_css_files = ["guide.css"]

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "numpydoc",
    "myst_nb",
    "sphinx_design",
]
default_role = "autolink"
autodoc_typehints = "none"
autosummary_generate = [str(page) for page in sorted((HERE / "generated" / "reference").glob("*.rst"))]
numpydoc_show_class_members = False
numpydoc_xref_param_type = True
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath", "attrs_inline"]
myst_heading_anchors = 3

# Tutorials are scripts with cells: they are executed when the site is built, and an error in a script fails the build.
nb_custom_formats = {".py": "sources.read_script"}
nb_execution_mode = "force"
# The value of a constant may be a path of this machine.
autodoc_default_options = {"no-value": True}
# Pages do not move: kernels of the tutorials show no progress bars.
os.environ["TQDM_DISABLE"] = "1"
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 600
nb_merge_streams = True

# Links to the documentation of other libraries; without network access the names stay plain text, and the build does not fail.
NOTHING = str(sources.empty_inventory(HERE / "generated" / "empty.inv"))
intersphinx_timeout = 5
intersphinx_mapping = {
    "python": ("https://docs.python.org/3/", (None, NOTHING)),
    "numpy": ("https://numpy.org/doc/stable/", (None, NOTHING)),
    "pandas": ("https://pandas.pydata.org/docs/", (None, NOTHING)),
    "neo": ("https://neo.readthedocs.io/en/stable/", (None, NOTHING)),
    "elephant": ("https://elephant.readthedocs.io/en/stable/", (None, NOTHING)),
    "torch": ("https://docs.pytorch.org/docs/stable/", (None, NOTHING)),
}

html_theme = "pydata_sphinx_theme"
html_title = "ann2neo"
html_show_sourcelink = False
html_theme_options = {
    "navbar_align": "left",
    "show_nav_level": 1,
    "navigation_depth": 3,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_sidebars = {page: [] for page in ("index", "start", "elephant", "benchmarks")}
