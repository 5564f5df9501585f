"""What authors test with: the pytest plugin."""
