"""`status`: everything that an operator has to know, gathered from the parts that know it."""
