"""The search for a faster config of a network: remedies, their measurement, their combination, and the report."""
