"""Time the study beside the plain version of it, on the machine at hand: `make bench`."""
