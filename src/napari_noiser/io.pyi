from .files.enhance_to_file import denoise_to_file, enhance_to_file
from .files.open_image import open_image
from .files.provenance import read_provenance
from .files.spatial_metadata import SpatialMetadata
from .files.writers.ome_zarr import OmeZarr
from .methods.irle.checkpoint import load_fit_state
from .methods.noiser.checkpoint import load_training_state

__all__ = [
    "OmeZarr",
    "SpatialMetadata",
    "denoise_to_file",
    "enhance_to_file",
    "load_fit_state",
    "load_training_state",
    "open_image",
    "read_provenance",
]
