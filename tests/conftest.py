"""Hypothesis draws the same examples in every CI run: a failure there is a change's own.

It times nothing: how long an example takes says more of the machine than of the code.
"""

import os

from hypothesis import settings

settings.register_profile("project", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("project")
