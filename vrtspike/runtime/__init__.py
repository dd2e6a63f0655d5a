"""The machine and its processes: devices, distributed runs, atomic writes, checkpoint files, the environment."""
