"""What `face-server` can be told to do, one module per word; each is loaded only when its word is said."""
