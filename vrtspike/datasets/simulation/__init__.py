"""A spike camera in software, the scenes it records, and the demo clips made of them."""
