"""Names logs that cannot be read, so that their user knows what to give instead."""

from __future__ import annotations

import re
from pathlib import Path

HEAD_BYTES = 1 << 16

MMENGINE_TEXT = "MMEngine's text log is for people: give the folder of its run, whose vis_data/scalars.json is read"
MMCV_TEXT = "MMCV 1.x's text log is for people: give the <timestamp>.log.json beside it"
IN_TEXT = (
    (r'^[\d/]+ \d\d:\d\d:\d\d - mm\w+ - ', MMENGINE_TEXT),
    (r'^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d+ - mm\w+ - ', MMCV_TEXT),
    (r'"log_history"', 'Trainer states of Hugging Face are not read'),
    (r'^epoch,|^[\w/,]+,step\b', "CSV logs, such as Lightning's metrics.csv, are not read"),
    (r'^\s*\[\s*[\[{]', 'It is one JSON array: expected one record per line'),
)
BY_NAME = (
    (r'events\.out\.tfevents\.', "TensorBoard's event file is not read: give the folder of the run"),
    (r'\.wandb$', 'the file of Weights & Biases is not read: give the folder of the run'),
)


def hint_about(path: str | Path) -> str:
    """Return what a file without any record is, as far as its name and first bytes tell; '' if they do not."""
    for pattern, hint in BY_NAME:
        if re.search(pattern, Path(path).name):
            return hint
    with open(path, 'rb') as file:
        head = file.read(HEAD_BYTES)
    if not head:
        return 'The file is empty'
    if head.startswith((b'\xff\xfe', b'\xfe\xff')):
        return "The file is UTF-16, as PowerShell's > writes it: save it as UTF-8"
    if b'\0' in head:
        return 'The file is binary'
    text = head.decode('utf-8', errors='replace')
    return next((hint for pattern, hint in IN_TEXT if re.search(pattern, text, re.MULTILINE)), '')
