"""IRLE, reconstructed from public figures: light taken apart, and a blind spot that it may guide.

He, Wang, Liu, Li, Guo, "Internally Referenced Low-Light Enhancement", arXiv 2605.28605, 2026. No
code and no weights are public; what is not drawn or stated by the authors is reasoned here.
"""
