"""Moving the log in and out: export, import, replay, files of seals."""
