"""The recipe that makes zelo-nano: its circuit, its data, the loop that trains it.

`import zelo` never imports this package, so its modules import torch at their top.
"""
