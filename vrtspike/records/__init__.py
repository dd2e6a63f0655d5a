"""Records of what the stages of an iteration cost. Nothing here imports torch."""
