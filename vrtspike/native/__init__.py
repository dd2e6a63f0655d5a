"""C++ code of this project: building it on the machine that runs it, and the allocator."""
