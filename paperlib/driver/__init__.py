"""What `make` calls: run a study notebook by notebook, plan it, check this computer."""
