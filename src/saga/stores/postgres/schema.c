/* SPDX-License-Identifier: Apache-2.0
 * Tables and functions of the postgres store. What is checked and written of a batch is one
 * function call, so one round trip and one transaction. It holds off who takes a shard by advisory
 * locks, which write nothing: shared for a commit, exclusive for a new epoch. They are always taken
 * in the order of shards, then rows in that of the writes: two engines cannot wait for each other.
 */
#include "postgres.h"

#define NEVER "9223372036854775807"
/* The first half of our advisory locks. The second: a shard; leases as such; a writer's hash. */
#define OF_SHARDS "7310579"
#define OF_LEASES OF_SHARDS ", 256"
#define OF_WRITER "7310580, hashtext(token_)"

/* The rows of a batch: an array for each column. */
#define ROWS                                                                                       \
    "ids text[], names text[], keys text[], definitions text[], stucks text[], statuses int[], "   \
    "pauses bool[], shards int[], versions bigint[], starts bigint[], changes bigint[], dues "     \
    "bigint[], unsents bool[], states bytea[], outboxes bytea[], batches bytea[]"
#define THESE                                                                                      \
    "ids, names, keys, definitions, stucks, statuses, pauses, shards, versions, starts, changes, " \
    "dues, unsents, states, outboxes, batches"
#define MANY "16"
#define GIVEN                                                                                      \
    "unnest(" THESE ") WITH ORDINALITY AS g(id, name, key, definition, stuck, status, paused, "    \
    "shard, version, started, changed, due, unsent, state, outbox, batch, place)"

const char *const pg_schema[] = {
    "CREATE TABLE IF NOT EXISTS marty_saga (id text PRIMARY KEY COLLATE \"C\", name text NOT NULL, "
    "key text NOT "
    "NULL, definition text NOT NULL, stuck text NOT NULL, status int NOT NULL, paused bool NOT "
    "NULL, shard int NOT NULL, version bigint NOT NULL, started_us bigint NOT NULL, changed_us "
    "bigint NOT NULL, due_us bigint NOT NULL, unsent bool NOT NULL, state bytea NOT NULL, outbox "
    "bytea NOT NULL) WITH (fillfactor = 50)",
    "CREATE UNIQUE INDEX IF NOT EXISTS marty_saga_key ON marty_saga (name, key) WHERE key <> ''",
    "CREATE INDEX IF NOT EXISTS marty_saga_due ON marty_saga (due_us, id) WHERE due_us < " NEVER "",
    "CREATE INDEX IF NOT EXISTS marty_saga_unsent ON marty_saga (changed_us, id) WHERE unsent",
    "CREATE INDEX IF NOT EXISTS marty_saga_open ON marty_saga (id) WHERE status < 3",
    "CREATE INDEX IF NOT EXISTS marty_saga_stuck ON marty_saga (id) WHERE stuck <> ''",
    "CREATE INDEX IF NOT EXISTS marty_saga_ended ON marty_saga (changed_us) WHERE status >= 3",
    "CREATE TABLE IF NOT EXISTS marty_saga_history (id text COLLATE \"C\", version bigint, at_us "
    "bigint NOT NULL, "
    "batch bytea NOT NULL, PRIMARY KEY (id, version))",
    "CREATE TABLE IF NOT EXISTS marty_saga_shard (shard int PRIMARY KEY, epoch bigint NOT NULL "
    "DEFAULT 0, owner text NOT NULL DEFAULT '', until_us bigint NOT NULL DEFAULT 0)",
    "INSERT INTO marty_saga_shard (shard) SELECT generate_series(0, 255) ON CONFLICT DO NOTHING",
    "CREATE TABLE IF NOT EXISTS marty_saga_member (owner text PRIMARY KEY, until_us bigint NOT "
    "NULL)",
    "CREATE TABLE IF NOT EXISTS marty_saga_definition (name text COLLATE \"C\", version bigint, "
    "hash text NOT NULL, "
    "document bytea NOT NULL, PRIMARY KEY (name, version))",
    "CREATE TABLE IF NOT EXISTS marty_saga_writer (token text PRIMARY KEY, generation bigint NOT "
    "NULL, at timestamptz NOT NULL DEFAULT now())",
    /* Many rows at once: the places of those that were not written. The keys are to be looked up
     * one by one, whatever is thought of a table that was never looked over. */
    "CREATE OR REPLACE FUNCTION marty_saga_write_many(" ROWS ") RETURNS int[] LANGUAGE plpgsql SET "
    "search_path FROM CURRENT SET enable_seqscan = off SET enable_hashjoin = off SET "
    "enable_mergejoin = off AS $$ DECLARE written text[]; changed_ text[]; BEGIN"
    "  IF 1 = ANY (versions) THEN"
    "    WITH begun AS (INSERT INTO marty_saga SELECT g.id, g.name, g.key, g.definition, g.stuck, "
    "      g.status, g.paused, g.shard, g.version, g.started, g.changed, g.due, g.unsent, g.state, "
    "      g.outbox FROM " GIVEN " WHERE g.version = 1 ORDER BY g.name, g.key, g.place ON CONFLICT "
    "      DO NOTHING RETURNING id) SELECT array_agg(id) INTO written FROM begun;"
    "    INSERT INTO marty_saga_history SELECT g.id, g.version, g.changed, g.batch FROM "
    "unnest(ids, "
    "      versions, changes, batches) AS g(id, version, changed, batch) WHERE g.version = 1 AND "
    "      g.id = ANY (written);"
    "  END IF;"
    "  IF 1 < ANY (versions) THEN"
    "    WITH changed AS (UPDATE marty_saga m SET definition = g.definition, stuck = g.stuck, "
    "      status = g.status, paused = g.paused, version = g.version, changed_us = g.changed, "
    "      due_us = g.due, unsent = g.unsent, state = g.state, outbox = g.outbox FROM " GIVEN
    "      WHERE m.id = g.id AND g.version > 1 AND m.version = g.version - 1 RETURNING g.id, "
    "      g.version, g.changed, g.batch),"
    "    past AS (INSERT INTO marty_saga_history SELECT c.id, c.version, c.changed, c.batch FROM "
    "      changed c)"
    "    SELECT array_agg(id) INTO changed_ FROM changed;"
    "    written := written || changed_;"
    "  END IF;"
    "  IF cardinality(written) = cardinality(ids) THEN RETURN '{}'; END IF;"
    "  RETURN ARRAY(SELECT g.place FROM unnest(ids) WITH ORDINALITY AS g(id, place) WHERE g.id <> "
    "    ALL (coalesce(written, '{}')) ORDER BY g.place);"
    "END $$",
    /* First the fences: a writer that has settled may have a lost transaction of before, and an
     * owner that was deposed may not know it yet. Then the rows: some one by one, since the
     * start-up of a statement for many costs more than they do; and what that has left, to say why:
     * by its place, 1 another version, 3 the key is taken, and by whom. */
    "CREATE OR REPLACE FUNCTION marty_saga_write(token_ text, generation_ bigint, fenced int[], "
    "epochs bigint[], " ROWS ") RETURNS TABLE (place_ int, result_ int, who_ text) LANGUAGE "
    "plpgsql SET search_path FROM CURRENT AS $$ DECLARE i int; rest int[]; BEGIN"
    "  PERFORM pg_advisory_xact_lock_shared(" OF_WRITER ");"
    "  PERFORM pg_advisory_xact_lock_shared(" OF_SHARDS ", s) FROM unnest(fenced) AS s;"
    "  PERFORM FROM marty_saga_writer WHERE token = token_ AND generation = generation_;"
    "  IF NOT FOUND THEN RAISE EXCEPTION 'this writer was settled' USING ERRCODE = 'MS001'; END IF;"
    "  PERFORM FROM unnest(fenced, epochs) AS f(shard, epoch) LEFT JOIN marty_saga_shard m ON "
    "    m.shard = f.shard WHERE m.epoch IS DISTINCT FROM f.epoch;"
    "  IF FOUND THEN RAISE EXCEPTION 'a shard was lost' USING ERRCODE = 'MS003'; END IF;"
    "  IF cardinality(ids) < " MANY " THEN"
    "    rest := ARRAY(SELECT generate_series(1, cardinality(ids)));"
    "  ELSE"
    "    rest := marty_saga_write_many(" THESE ");"
    "  END IF;"
    "  FOREACH i IN ARRAY rest LOOP"
    "    IF versions[i] = 1 THEN"
    "      INSERT INTO marty_saga VALUES (ids[i], names[i], keys[i], definitions[i], stucks[i], "
    "        statuses[i], pauses[i], shards[i], 1, starts[i], changes[i], dues[i], unsents[i], "
    "        states[i], outboxes[i]) ON CONFLICT DO NOTHING;"
    "    ELSE"
    "      UPDATE marty_saga SET definition = definitions[i], stuck = stucks[i], status = "
    "        statuses[i], paused = pauses[i], version = versions[i], changed_us = changes[i], "
    "        due_us = dues[i], unsent = unsents[i], state = states[i], outbox = outboxes[i] WHERE "
    "        id = ids[i] AND version = versions[i] - 1;"
    "    END IF;"
    "    IF FOUND THEN"
    "      INSERT INTO marty_saga_history VALUES (ids[i], versions[i], changes[i], batches[i]);"
    "    ELSE"
    "      place_ := i; result_ := 1; who_ := NULL;"
    "      IF versions[i] = 1 AND NOT EXISTS (SELECT FROM marty_saga WHERE id = ids[i]) THEN"
    "        SELECT id INTO who_ FROM marty_saga WHERE name = names[i] AND key = keys[i] AND key "
    "<> "
    "          '';"
    "        IF FOUND THEN result_ := 3; END IF;"
    "      END IF;"
    "      RETURN NEXT;"
    "    END IF;"
    "  END LOOP;"
    "END $$",
    /* Say that one is alive, renew, take: one at a time. Time is the server's. What is taken is
     * waited for until nobody writes under its epoch any more. */
    "CREATE OR REPLACE FUNCTION marty_saga_lease(owner_ text, term_ms bigint, want_ int, held "
    "int[], epochs bigint[]) RETURNS TABLE (shard_ int, epoch_ bigint, members_ bigint) LANGUAGE "
    "plpgsql SET search_path FROM CURRENT AS $$ DECLARE now_us bigint; until_ bigint; kept int[]; "
    "free int[]; one int; alive bigint; BEGIN"
    "  PERFORM pg_advisory_xact_lock(" OF_LEASES ");"
    "  now_us := (extract(epoch FROM clock_timestamp()) * 1000000)::bigint;"
    "  until_ := now_us + term_ms * 1000;"
    "  DELETE FROM marty_saga_member WHERE owner = owner_ OR until_us <= now_us;"
    "  IF want_ > 0 OR cardinality(held) > 0 THEN"
    "    INSERT INTO marty_saga_member VALUES (owner_, until_);"
    "  END IF;"
    "  SELECT count(*) INTO alive FROM marty_saga_member;"
    "  kept := ARRAY(SELECT m.shard FROM unnest(held, epochs) AS h(s, e) JOIN marty_saga_shard m "
    "ON "
    "    m.shard = h.s AND m.epoch = h.e AND m.owner = owner_);"
    "  UPDATE marty_saga_shard SET until_us = until_ WHERE shard = ANY (kept);"
    "  free := ARRAY(SELECT m.shard FROM marty_saga_shard m WHERE (m.owner = '' OR m.owner = "
    "owner_ "
    "    OR m.until_us <= now_us) AND m.shard <> ALL (kept) ORDER BY m.shard LIMIT "
    "    greatest(want_ - cardinality(kept), 0));"
    "  FOREACH one IN ARRAY free LOOP PERFORM pg_advisory_xact_lock(" OF_SHARDS ", one); END LOOP;"
    "  UPDATE marty_saga_shard SET owner = owner_, epoch = epoch + 1, until_us = until_ WHERE "
    "    shard = ANY (free);"
    "  RETURN QUERY SELECT m.shard, m.epoch, alive FROM marty_saga_shard m WHERE m.shard = ANY "
    "    (kept || free) UNION ALL SELECT -1, 0, alive ORDER BY 1;"
    "END $$",
    /* What is in flight of this writer is waited for; what comes later names an old generation. */
    "CREATE OR REPLACE FUNCTION marty_saga_settle(token_ text) RETURNS bigint LANGUAGE plpgsql SET "
    "search_path FROM CURRENT AS $$ DECLARE now_ bigint; BEGIN"
    "  PERFORM pg_advisory_xact_lock(" OF_WRITER ");"
    "  INSERT INTO marty_saga_writer AS w VALUES (token_, 1) ON CONFLICT (token) DO UPDATE SET "
    "    generation = w.generation + 1, at = now() RETURNING generation INTO now_;"
    "  RETURN now_;"
    "END $$",
    NULL};
