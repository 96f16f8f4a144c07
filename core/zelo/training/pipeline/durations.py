"""How long something took, in the words of tables and charts."""

__all__ = ["duration"]


def duration(seconds: float) -> str:
    """Return `3.2 s`, `1 min 05 s` or `2 h 07 min`: as exact as a reader wants to know it."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours:,} h {minutes:02} min"
