"""The process between the server and the sandbox: what hostile code gives is made into objects here.

Run by `python -I -S`, with an interpreter of its own, it imports nothing of Halflap's but the modules
of this folder, each by a relative name. The server imports `wire` and `limits`, which have both sides.
"""
