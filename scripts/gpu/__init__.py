"""The tables of docs/benchmarks.md, measured on the machine this runs on."""
