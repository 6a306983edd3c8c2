"""Text and examples: sources, cleaning, deduplication, held-out split, token shards, rows of training."""
