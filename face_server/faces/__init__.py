"""The vendor-neutral core: what a face server does, without HTTP, JSON or a vendor's code."""
