"""Scoring in this process: from a checkpoint on disk to logits."""
