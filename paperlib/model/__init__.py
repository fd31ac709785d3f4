"""The encoder, and how it is trained and run: layers removed, on a processor or a GPU, alone or as a batch of models."""
