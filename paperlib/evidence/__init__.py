"""From nodes to tables, statistics, and the verdicts on claims; and which of it is fresh."""
