"""Programs around the server: load generator, benchmark, training. None of them is needed to serve."""
