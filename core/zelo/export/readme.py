"""The README.md of an export: what it is, how it is served, what is shown and what is not."""

from zelo.export.export import Export

__all__ = ["readme"]

PAGE = """# {model}, for {engine}

Written by `zelo export`. Family {family}: the prompt and the scale of the scores are zelo's.

## Use

```
{usage}
```
{flags}{client}{check}
## What is shown, and what is not

{statements}

## Mind

{notes}
"""


def readme(found: Export) -> str:
    """Return the page."""
    return PAGE.format(
        model=found.model,
        engine=found.engine,
        family=found.family,
        usage=found.usage,
        flags=_flags(found),
        client=f"\n## Ask\n\n```python\n{found.client}\n```\n" if found.client else "",
        check=f"\n## Check\n\n```\n{found.check}\n```\n" if found.check else "",
        statements="\n".join(
            f"- {'shown' if one.proven else '**unproven**'}: {one.claim} ({one.how})"
            for one in found.statements
        ),
        notes="\n".join(f"- {note}" for note in found.notes),
    )


def _flags(found: Export) -> str:
    if found.serving is None:
        return ""
    lines = [f"- `{' '.join(flag.words)}`: {flag.reason}" for flag in found.serving.flags]
    return "\n" + "\n".join(lines) + "\n"
