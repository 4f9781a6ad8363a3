/* conversation.enlist */
-- Make the machine that holds a tenant's rows a part of the transaction that has loaded them.
--
-- Run after the COPYs of a load, for each of its tenants. Deletes nothing, since no id is empty. On a
-- distributed table a COPY alone lets the transaction be committed though that machine has lost it.
-- Served by conversation_pkey.
-- returns: count
-- index: conversation_pkey

DELETE FROM conversation_store.conversation AS c
WHERE c.tenant_id = :tenant_id::text
    AND c.id = '';
