"""What runs in the process of its own that reads one network stream: only PyAV and the standard library.

A process and no thread, because PyAV cannot be interrupted in an open or a read, but a process can always be ended;
because a decoder that crashes on garbage then takes nothing else down; and because decoding does not hold our GIL.
"""
