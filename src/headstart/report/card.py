"""The model card: what a model is, how good, what to mind, how it is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headstart.backbones.backbone import Saved
from headstart.report.before import sentences
from headstart.report.origin import command
from headstart.report.story import Story
from headstart.report.telling import caveats, verdict


def _says(story: Story) -> str:
    names = ", ".join(story.aim.outputs)
    way = " to ".join(filter(None, story.aim.outputs)) or "another language"
    text = f"its translation ({way})"
    said = {"label": f"one of {names}", "labels": f"any of {names}", "number": "a number", "text": text}
    return said.get(story.aim.goal, names)


def model_card(story: Story, said: Mapping[str, Any], saved: Saved) -> str:
    """Return the model card: what the model is, how good, what to mind, how to load it."""
    rows = "\n".join(
        f"| {m['name']} | {m['value']:.4f} | {m['low']:.4f} to {m['high']:.4f} |" for m in said["measures"]
    )
    worry = "\n".join(f"- {c}" for c in caveats(story)) or "- Nothing was found that calls the score into question."
    net = story.backbone
    return f"""# {story.options.name}: {story.task.name}

{verdict(story)} {story.splits.how[0].upper()}{story.splits.how[1:]}. {" ".join(sentences(said))}

| measure | value | 95% interval |
|---|---|---|
{rows}

## What to mind

{worry}

## How it was made

- Backbone: {net.name} ({net.library} `{net.architecture}`, {net.source}, licence: {net.licence}), cut at: {net.cut}.
- Head: {story.solver}, {story.shipped.setting}, temperature {story.head.temperature:.3f};
  standardisation and temperature are folded into its weights.
- What it says of a {story.task.noun}: {_says(story)}.
- Command: `{command(story.options)}`

## Loading it without headstart

Run inside this folder:

```python
{saved.code}
```

`golden.safetensors` holds a few inputs (from the training data, as the network takes them) and the logits that they
must give.
"""
