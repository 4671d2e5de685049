"""One catalog over all datasets: what a table looks like, how it is kept, consolidated, summed up and asked.

`schemas` says which columns there are, `tables` reads and writes them, `consolidate` makes the catalog's three tables
from the datasets' own, `summary` writes them for people, `query` answers SQL.
"""
