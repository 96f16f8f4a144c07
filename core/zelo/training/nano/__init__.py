"""The recipe that makes zelo-nano: its vocabulary, its circuit, and the run that trains it.

`import zelo` never imports this package, so its modules import torch at their top.
"""
