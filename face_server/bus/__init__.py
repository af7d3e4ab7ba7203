"""Vision across processes: servers put pictures on a stream of Redis, workers take them, look, and answer."""
