/* ragflow.conversation_sizes */
-- Return how many bytes of text the conversations with these ids have.
--
-- Run on the database to move from, so that no more is read at once than fits into memory. The
-- server knows the length of a text without reading it.
-- returns: many
-- index: api_4_conversation_pkey
-- lint: L13, since the table is one of RAGFlow

SELECT
    s.id::text AS id,
    (
        coalesce(octet_length(s.message::text), 0)
        + coalesce(octet_length(s.reference::text), 0)
        + coalesce(octet_length(s.dsl::text), 0)
    )::bigint AS size
FROM public.api_4_conversation AS s
WHERE s.id = ANY(:ids::text[])
ORDER BY s.id;
