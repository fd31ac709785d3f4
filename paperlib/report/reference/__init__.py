"""The reference that the project shows: what is kept of a finished run, and what the pages say of it."""
