"""JSON for the CLI, the console and the embed: OpenAPI 3.1, errors as problem+json (RFC 9457).

Routes only translate; what they do is a verb of `Operations`. Each noun has a module of routes
here, and one of verbs in `operations/`. The shapes, in `view` and `execution_view`, are what the CLI
reads; the routes, in `app`, are loaded only by who listens.
"""
