"""Running models: sessions, batches, lanes, and the bounded queue in front of them. Knows arrays, not people."""
