"""The rules of the import: plain functions and frozen values, without I/O or a clock."""
