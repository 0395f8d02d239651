"""Speed as ratios measured in one process, interleaved, so that a busy machine disturbs all alike."""
