"""Pictures from files, by Pillow: which ones a folder holds, and each as a network's input wants it."""

from .decoding import check_picture, is_coloured, read_pixels
from .finding import SUFFIXES, beside_classes, class_folders, find_pictures, pictures_below
from .resizing import read_picture, resized

__all__ = [
    "SUFFIXES",
    "beside_classes",
    "check_picture",
    "class_folders",
    "find_pictures",
    "is_coloured",
    "pictures_below",
    "read_picture",
    "read_pixels",
    "resized",
]
