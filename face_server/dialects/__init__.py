"""One module per vendor: parse the wire, call FaceService, render the wire."""
