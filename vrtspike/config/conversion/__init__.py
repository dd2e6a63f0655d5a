"""What the conversions of other projects' configs have in common."""
