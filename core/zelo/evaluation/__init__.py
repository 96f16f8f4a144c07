"""Measuring rankings against relevance judgements."""
