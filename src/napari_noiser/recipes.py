"""Recipes of all methods, what they are made of, and the models that they lead to."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__package__, __file__)
