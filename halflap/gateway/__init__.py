"""Event in: guard the edge, find the endpoint, verify, dedupe, accept, answer.

The gateway never runs a flow (a synchronous answer is the gateway waiting on the store), and runs an
author's code only where a trigger declares a bounded, pure function. A 2xx follows the commit.
"""
