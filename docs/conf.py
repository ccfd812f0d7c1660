"""The site's settings: `make docs` builds it into out/docs, `sphinx-build docs out/docs` anywhere else."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import chapters

import micrograd_like

project = "micrograd_like"
author = "the authors of micrograd_like"
release = version = micrograd_like.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
    "extension",
]
exclude_patterns = ["_*", "**/_*", "conf.py", "hero.py", "chapters.py", "extension.py", "testing_example/*.py"]

# Chapters are executed once; what they gave is kept until the library, or the chapter, changes.
chapters.stage(HERE / "learn")
os.environ |= chapters.ENVIRONMENT
nb_custom_formats = {".py": ["chapters.read", {}]}
nb_execution_mode = "cache"
nb_execution_cache_path = str(chapters.cache_folder())
nb_execution_timeout = 600
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_merge_streams = True

suppress_warnings = ["myst.header"]  # the benchmarks begin below their title's level
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # signatures stay readable; the text gives shapes and units
add_module_names = False
default_role = "py:obj"  # `name` in a docstring is a link where there is something of that name, else code
python_display_short_literal_types = True
python_maximum_signature_line_length = 88
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_attr_annotations = False
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

html_title = "micrograd_like"
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_show_copyright = False
html_show_search_summary = False  # a browser does not let a page from the file system read others
pygments_dark_style = "a11y-high-contrast-dark"
html_copy_source = False
html_math_renderer = "mathml"
html_theme_options: dict[str, Any] = {
    "light_css_variables": {"color-brand-primary": "#005fa3", "color-brand-content": "#005fa3"},
    "dark_css_variables": {"color-brand-primary": "#6cb6ff", "color-brand-content": "#6cb6ff"},
    "navigation_with_keys": True,
}
