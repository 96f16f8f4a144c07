"""From a name on the hub or a folder to weights, score row and tokenizer, read and checked."""
