"""The program of the processes in which topics are read: what brokers send is parsed there.

librdkafka has no bound on what a compressed batch becomes, and a fault in it ends its process. So each
reader has a process of its own, with a limit of memory, which a hostile broker can end, and no other.
They are forked from one that has imported the client (`serve`). Run by `python -I -S`, they import
Halflap's errors and the modules of this folder, each by a relative name. The server imports `wire`, which
has both sides, and `client`.
"""
