"""Groups of commands, one module each: what people type. `cli.commands` does the work."""
