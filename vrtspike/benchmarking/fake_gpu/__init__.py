"""A training iteration on a GPU that does not exist: its launches, bytes, copies, waits and memory, on Linux.

PyTorch's fake tensors have shapes but no values. :mod:`.device` lets a CPU build of PyTorch accept fake tensors on a
GPU, :mod:`.counter` counts what a GPU would do, and :mod:`.step` runs a config's training iteration. What is counted is
exact for the operators that run; times come from the model in :mod:`.kernels`. Such numbers are *on paper*: quote them
with these words, because nothing ran on a GPU.
"""
