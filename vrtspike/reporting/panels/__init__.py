"""The panels of a run's picture, one per file: what it draws, and the sentence that says what is seen."""
