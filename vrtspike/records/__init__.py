"""Records of what the stages of a training cost: their types, writer and reader. Nothing here imports torch."""
