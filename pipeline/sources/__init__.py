"""The raw tables that ship with this repository, one per file; each has `fetch(path)`."""
