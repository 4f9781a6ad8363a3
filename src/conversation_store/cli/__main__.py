"""Runs the command as `python -m conversation_store.cli`."""

from conversation_store.cli import main

main()
