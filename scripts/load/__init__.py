"""The parts of the load generator: requests of each dialect, the HTTP client, the report."""
