"""The store beside what else calls PostgreSQL from Python: `make bench`, `make bench-full`."""
