"""What surrounds the requests: limits, metrics, logging, health."""
