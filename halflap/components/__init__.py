"""The built-in components. Each imports only `halflap`, as a stranger's would."""
