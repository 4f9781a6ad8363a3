"""Import of a RAGFlow database."""

from conversation_store.ragflow._importer import import_ragflow, import_ragflow_async
from conversation_store.ragflow._report import Report, Totals

__all__ = ["Report", "Totals", "import_ragflow", "import_ragflow_async"]
