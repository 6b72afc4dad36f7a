"""The rows: each module yields its results from `measure(servers, size)`."""
