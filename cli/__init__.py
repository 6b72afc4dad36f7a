"""Commands, settings, logging and the local sandbox: the one place where everything is wired."""
