"""The machine and its processes: devices, distributed runs, files written aside, what a result was measured with."""
