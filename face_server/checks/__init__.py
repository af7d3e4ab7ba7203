"""What can be wrong with an installation, found before a client does and said in words."""
