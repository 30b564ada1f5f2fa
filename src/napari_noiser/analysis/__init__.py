"""What an image or a result is like: diagnosis, linearity, transfer curve, photometry."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
