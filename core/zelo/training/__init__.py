"""Making rerankers; so far, the recipe of the one that ships in the package."""
