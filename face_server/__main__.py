"""`python -m face_server` is `face-server`."""

from face_server.cli import main

main()
