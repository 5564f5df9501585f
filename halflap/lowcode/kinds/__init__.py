"""Kinds of steps: each declares its fields once, with their roles; `walk` reads a step by them."""
