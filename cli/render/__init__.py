"""Results as tables and sentences. Their JSON form, `to_json`, stands beside each result type."""
