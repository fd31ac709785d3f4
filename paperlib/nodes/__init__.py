"""One pruned and fine-tuned model as numbers: computed, kept with a fingerprint, many at a time."""
