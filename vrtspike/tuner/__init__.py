"""The search for a faster config: candidates are measured alone, trained for their quality, combined and reported."""
