"""The admin API: what the console and the command line use to look, to tidy up and to give out keys."""
