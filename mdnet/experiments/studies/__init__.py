"""Questions asked beside the main table of a problem, each in a file of its own."""
