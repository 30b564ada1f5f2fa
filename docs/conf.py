"""The guide as web pages: Markdown by MyST, the API from numpydoc docstrings, PyData's theme."""

import napari_noiser

project = "napari-noiser"
author = project_copyright = "napari-noiser developers"
release = napari_noiser.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "numpydoc"]
exclude_patterns = ["_build"]
default_role = "py:obj"  # what docstrings have in single backticks

myst_enable_extensions = ["attrs_inline"]  # {.only-dark} after an image
myst_heading_anchors = 3

autodoc_typehints = "none"  # docstrings have them
numpydoc_show_class_members = False

html_theme = "pydata_sphinx_theme"
html_title = project
html_sidebars = {"*": []}  # pages beside each other are in the header
html_theme_options = {
    "github_url": "https://github.com/napari-noiser/napari-noiser",
    "header_links_before_dropdown": 5,
    "secondary_sidebar_items": {"*": ["page-toc"], "guide/*": []},  # room for screenshots
    "show_prev_next": False,
    "navigation_with_keys": False,
}
html_show_sourcelink = False
