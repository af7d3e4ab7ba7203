"""Authorization by a signed licence: how many cards may work, until when, on which machine. Off unless it is set up."""
