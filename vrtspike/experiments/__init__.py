"""Ablations: one base config, variants of it, trained alike and compared."""
