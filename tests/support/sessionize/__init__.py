"""A double of Sessionize for tests: any answer, also one that breaks HTTP."""
