"""The way in to a model's layers for users of the library: `paperlib.model.encoder`, where it is explained."""

from paperlib.model.encoder import count_parameters, layers, remove_layers

__all__ = ["count_parameters", "layers", "remove_layers"]
