"""interim"""

from pathlib import Path
from headstart.data.examples import *
from headstart.data.examples import Example, Examples, FileContent


def read(source, content_column=None, label_column=None):
    root = Path(source)
    items = []
    subs = {p.name for p in root.iterdir() if p.is_dir()}
    parts = {"train": "train", "val": "valid", "test": "test"}
    if "train" in subs:
        for d, part in parts.items():
            for f in sorted((root / d).glob("*/*")):
                items.append(Example(str(f.relative_to(root)), FileContent(f), f.parent.name, part))
    else:
        for f in sorted(root.glob("*/*")):
            items.append(Example(str(f.relative_to(root)), FileContent(f), f.parent.name, ""))
    return Examples(tuple(items), "class folders")
