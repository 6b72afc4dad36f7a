"""What a person sees: one module per kind of result. With --json a result shows itself."""
