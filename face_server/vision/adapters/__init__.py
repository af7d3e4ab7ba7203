"""One file per kind of model: how each family's input is made and its output read."""

from face_server.vision.adapters import detectors, embedders, landmarks, pictures, readers
from face_server.vision.adapters.base import Net, Params, Reader, Readings, make

__all__ = ["Net", "Params", "Reader", "Readings", "detectors", "embedders", "landmarks", "make", "pictures", "readers"]
