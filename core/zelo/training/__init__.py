"""Training: the loop and the recipe that make zelo-nano; later recipes reuse the same parts.

`import zelo` never imports this package, so its modules import torch at their top.
"""
