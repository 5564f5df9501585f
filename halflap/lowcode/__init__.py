"""Low-code: integrations that are written in YAML."""
