"""Hypothesis draws the same examples in every CI run: a failure there is a change's own."""

import os

from hypothesis import settings

settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")
