/* SPDX-License-Identifier: Apache-2.0
 * Tables and functions of the postgres store. What is checked and written of one transition is one
 * function call, so that a batch is one round trip. Locks are always taken in the order of shards,
 * then of the writes, so that two engines cannot wait for each other. */
#include "postgres.h"

#define NEVER "9223372036854775807"

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
    /* A writer that has settled may have a lost transaction of before: it must not come through. */
    "CREATE OR REPLACE FUNCTION marty_saga_begin(token_ text, generation_ bigint, shards int[]) "
    "RETURNS "
    "void LANGUAGE plpgsql AS $$ BEGIN"
    "  PERFORM 1 FROM marty_saga_writer WHERE token = token_ AND generation = generation_ FOR "
    "SHARE;"
    "  IF NOT FOUND THEN RAISE EXCEPTION 'this writer was settled' USING ERRCODE = 'MS001'; END IF;"
    "  PERFORM 1 FROM marty_saga_shard WHERE shard = ANY (shards) ORDER BY shard FOR SHARE;"
    "END $$",
    /* 0 written, 1 another version, 2 another epoch, 3 the key is taken: then who says by whom.
     */
    "CREATE OR REPLACE FUNCTION marty_saga_write(id_ text, name_ text, key_ text, definition_ "
    "text, stuck_ text, "
    "status_ int, paused_ bool, shard_ int, version_ bigint, started_ bigint, changed_ bigint, "
    "due_ bigint, unsent_ bool, epoch_ bigint, state_ bytea, outbox_ bytea, batch_ bytea, OUT "
    "result int, OUT "
    "who text) LANGUAGE plpgsql AS $$ DECLARE have bigint; BEGIN"
    "  result := 0; who := '';"
    "  IF epoch_ <> 0 THEN"
    "    SELECT s.epoch INTO have FROM marty_saga_shard s WHERE s.shard = shard_;"
    "    IF have IS DISTINCT FROM epoch_ THEN result := 2; RETURN; END IF;"
    "  END IF;"
    "  IF version_ = 1 THEN"
    "    INSERT INTO marty_saga VALUES (id_, name_, key_, definition_, stuck_, status_, paused_, "
    "      shard_, 1, started_, changed_, due_, unsent_, state_, outbox_) ON CONFLICT DO NOTHING;"
    "    IF NOT FOUND THEN"
    "      IF EXISTS (SELECT FROM marty_saga m WHERE m.id = id_) THEN result := 1; RETURN; END IF;"
    "      SELECT m.id INTO who FROM marty_saga m WHERE m.name = name_ AND m.key = key_ AND key_ "
    "<> '';"
    "      result := 3; RETURN;"
    "    END IF;"
    "  ELSE"
    "    UPDATE marty_saga m SET definition = definition_, stuck = stuck_, status = status_, "
    "paused = "
    "      paused_, version = version_, changed_us = changed_, due_us = due_, unsent = unsent_, "
    "      state = state_, outbox = outbox_ WHERE m.id = id_ AND m.version = version_ - 1;"
    "    IF NOT FOUND THEN result := 1; RETURN; END IF;"
    "  END IF;"
    "  INSERT INTO marty_saga_history VALUES (id_, version_, changed_, batch_);"
    "END $$",
    /* Say that one is alive, renew, take. Time is the server's. */
    "CREATE OR REPLACE FUNCTION marty_saga_lease(owner_ text, term_ms bigint, want_ int, held "
    "int[], epochs bigint[]) "
    "RETURNS TABLE (shard_ int, epoch_ bigint, members_ bigint) LANGUAGE plpgsql AS $$ DECLARE"
    "  now_us bigint := (extract(epoch FROM clock_timestamp()) * 1000000)::bigint;"
    "  until_ bigint := now_us + term_ms * 1000; kept int; BEGIN"
    "  PERFORM 1 FROM marty_saga_shard ORDER BY shard FOR UPDATE;"
    "  DELETE FROM marty_saga_member WHERE owner = owner_ OR until_us <= now_us;"
    "  IF want_ > 0 OR cardinality(held) > 0 THEN"
    "    INSERT INTO marty_saga_member VALUES (owner_, until_);"
    "  END IF;"
    "  CREATE TEMP TABLE IF NOT EXISTS marty_saga_kept (shard int, epoch bigint, place bigint) ON "
    "COMMIT DELETE ROWS;"
    "  DELETE FROM marty_saga_kept;"
    "  INSERT INTO marty_saga_kept SELECT h.s, h.e, h.n FROM unnest(held, epochs) WITH ORDINALITY "
    "AS h(s, e, n) JOIN "
    "    marty_saga_shard m ON m.shard = h.s AND m.epoch = h.e AND m.owner = owner_;"
    "  UPDATE marty_saga_shard m SET until_us = until_ FROM marty_saga_kept k WHERE k.shard = "
    "m.shard;"
    "  SELECT count(*) INTO kept FROM marty_saga_kept;"
    "  WITH free AS (SELECT m.shard FROM marty_saga_shard m WHERE (m.owner = '' OR m.owner = "
    "owner_ OR "
    "    m.until_us <= now_us) AND m.shard NOT IN (SELECT k.shard FROM marty_saga_kept k) ORDER BY "
    "    m.shard LIMIT greatest(want_ - kept, 0)),"
    "  taken AS (UPDATE marty_saga_shard m SET owner = owner_, epoch = m.epoch + 1, until_us = "
    "    until_ FROM free WHERE m.shard = free.shard RETURNING m.shard, m.epoch)"
    "  INSERT INTO marty_saga_kept SELECT t.shard, t.epoch, 1000 + t.shard FROM taken t;"
    "  RETURN QUERY SELECT k.shard, k.epoch, (SELECT count(*) FROM marty_saga_member) FROM "
    "    marty_saga_kept k UNION ALL SELECT -1, 0, (SELECT count(*) FROM marty_saga_member) ORDER "
    "BY 1;"
    "END $$",
    NULL};
