"""Scoring on a server: the `Scorer` that speaks HTTP, in any dialect of `zelo.wire`."""
