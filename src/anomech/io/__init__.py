"""Reading examples and models, and writing results that are either whole or absent."""

from anomech.io.atomic import atomic_file
from anomech.io.data import load_examples
from anomech.io.models import load_model
from anomech.io.results import check_replaceable, result_directory

__all__ = ["atomic_file", "check_replaceable", "load_examples", "load_model", "result_directory"]
