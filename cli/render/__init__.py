"""Results as tables and sentences. Each result type has its JSON form, `to_json`."""
