"""The stages that read and write records, from files to files, each with its figures.

`zelo train pairs`, `across`, `fit` and `calibrate` call them, and so does `zelo train run`. What
becomes of a record is told by the modules beside this package; what people see, by the callers.
"""
