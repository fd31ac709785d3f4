"""What every storey uses and that knows nothing of the study: files, locks, records, messages."""
