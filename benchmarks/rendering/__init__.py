"""What renders the generated pages of READMEs and docs; ``benchmarks/pages.py`` is its command."""
