/* SPDX-License-Identifier: Apache-2.0
 * The cell of a share: reading, deciding, writing by compare-and-set. The keeper's, and the
 * worker's once the keeper has let go of the share. */
#include "share.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int64_t nats__share_lease_ns(const marty_port *port)
{
    return (int64_t)port->options.lease_ms * 500000; /* half of it: a takeover ends within it */
}

static int64_t call_deadline(marty_port *port)
{
    int64_t most_ns = (int64_t)NATS__CALL_MS * 1000000, half_ns = nats__share_lease_ns(port) / 2;
    int64_t least_ns = 200000000;
    half_ns = half_ns < least_ns ? least_ns : half_ns;
    return nats__now_ns(port) + (half_ns < most_ns ? half_ns : most_ns);
}

/* ---- reading */

static void read_members(nats__cell *cell, json_t *members, const nats__cell *before,
                         int64_t now_ns)
{
    const char *id;
    json_t *beat;
    cell->member_count = 0;
    json_object_foreach(members, id, beat)
    {
        if (cell->member_count == NATS__MEMBERS_MAX || strlen(id) >= NATS__MEMBER_ID) {
            continue;
        }
        nats__member *member = &cell->members[cell->member_count++];
        memcpy(member->id, id, strlen(id) + 1);
        member->beat = (uint64_t)json_integer_value(beat);
        member->seen_ns = now_ns;
        for (uint32_t i = 0; i < before->member_count; i++) {
            const nats__member *known = &before->members[i];
            if (strcmp(known->id, id) == 0 && known->beat == member->beat) {
                member->seen_ns = known->seen_ns;
            }
        }
    }
}

static void read_shards(nats__cell *cell, json_t *shards)
{
    for (uint32_t i = 0; i < cell->shard_count; i++) {
        json_t *entry = json_array_get(shards, i);
        const char *owner = json_string_value(json_array_get(entry, 0));
        nats__shard *shard = &cell->shards[i];
        (void)snprintf(shard->owner, sizeof shard->owner, "%s", owner ? owner : "");
        shard->epoch = (uint64_t)json_integer_value(json_array_get(entry, 1));
        shard->floor = (uint64_t)json_integer_value(json_array_get(entry, 2));
    }
}

static void take_cell(marty_port *port, nats__share *share, json_t *message)
{
    const char *data = json_string_value(json_object_get(message, "data"));
    size_t room = data ? strlen(data) : 0, size = 0;
    char *text = room ? marty_alloc(room) : NULL;
    nats__member before_members[NATS__MEMBERS_MAX];
    nats__cell before = {.member_count = share->cell.member_count};
    size = text ? nats__base64_decode(data, text, room) : 0;
    json_t *value = size ? json_loadb(text, size, 0, NULL) : NULL;
    memcpy(before_members, share->cell.members, sizeof before_members);
    memcpy(before.members, before_members, sizeof before_members);
    read_members(&share->cell, json_object_get(value, "members"), &before, nats__now_ns(port));
    read_shards(&share->cell, json_object_get(value, "shards"));
    share->cell.revision = (uint64_t)json_integer_value(json_object_get(message, "seq"));
    json_decref(value);
    marty_free(text);
}

marty_err nats__cell_read(marty_port *port, nats__share *share, marty_error *why)
{
    json_t *answer = NULL, *body = json_pack("{s:s}", "last_by_subj", share->key);
    int code = 0;
    marty_err err =
        nats__api(port, "STREAM.MSG.GET.KV_marty", body, call_deadline(port), &answer, &code, why);
    json_decref(body);
    if (code == 10037) { /* no message found: nobody has been here */
        share->cell.revision = 0;
        share->cell.member_count = 0;
        read_shards(&share->cell, NULL);
        return MARTY_OK;
    }
    if (!err) {
        take_cell(port, share, json_object_get(answer, "message"));
    }
    json_decref(answer);
    return err;
}

/* ---- writing */

static char *write_cell(const nats__cell *cell)
{
    json_t *members = json_object(), *shards = json_array();
    for (uint32_t i = 0; i < cell->member_count; i++) {
        (void)json_object_set_new(members, cell->members[i].id,
                                  json_integer((json_int_t)cell->members[i].beat));
    }
    for (uint32_t i = 0; i < cell->shard_count; i++) {
        const nats__shard *shard = &cell->shards[i];
        (void)json_array_append_new(shards,
                                    json_pack("[s, I, I]", shard->owner, (json_int_t)shard->epoch,
                                              (json_int_t)shard->floor));
    }
    json_t *value = json_pack("{s:o, s:o}", "members", members, "shards", shards);
    char *text = value ? json_dumps(value, JSON_COMPACT) : NULL;
    json_decref(value);
    return text;
}

marty_err nats__cell_write(marty_port *port, nats__share *share, marty_error *why)
{
    char lines[96];
    nats__message *reply = NULL;
    char *text = write_cell(&share->cell);
    if (!text) {
        return marty_error_set(why, MARTY_E_NO_MEMORY, "nats: no memory for a lease");
    }
    (void)snprintf(lines, sizeof lines, "Nats-Expected-Last-Subject-Sequence: %llu\r\n",
                   (unsigned long long)share->cell.revision);
    marty_err err = nats__ask(port, share->key, marty_text(lines), marty_text(text),
                              call_deadline(port), &reply, why);
    free(text);
    json_t *answer = err ? NULL : json_loadb(reply->data, reply->size, 0, NULL);
    marty_free(reply);
    json_t *problem = json_object_get(answer, "error");
    if (!err && (problem || !answer)) {
        const char *said = json_string_value(json_object_get(problem, "description"));
        err = nats__api_error((int)json_integer_value(json_object_get(problem, "err_code")),
                              said ? said : "no ack", "a lease", why);
    }
    if (!err) {
        share->cell.revision = (uint64_t)json_integer_value(json_object_get(answer, "seq"));
    }
    json_decref(answer);
    return err;
}

/* ---- deciding */

static void remove_member(nats__cell *cell, uint32_t index)
{
    for (uint32_t i = 0; i < cell->shard_count; i++) {
        if (strcmp(cell->shards[i].owner, cell->members[index].id) == 0) {
            cell->shards[i].owner[0] = '\0';
        }
    }
    cell->members[index] = cell->members[--cell->member_count];
}

static bool bury_the_dead(nats__share *share, int64_t now_ns, int64_t lease_ns)
{
    nats__cell *cell = &share->cell;
    bool changed = false;
    for (uint32_t i = cell->member_count; i > 0; i--) {
        nats__member *member = &cell->members[i - 1];
        if (strcmp(member->id, share->id) != 0 && now_ns - member->seen_ns >= lease_ns) {
            remove_member(cell, i - 1);
            changed = true;
        }
    }
    return changed;
}

static bool is_member(const nats__cell *cell, const char *id)
{
    for (uint32_t i = 0; i < cell->member_count; i++) {
        if (strcmp(cell->members[i].id, id) == 0) {
            return true;
        }
    }
    return false;
}

/* Raise our sign of life, or join. */
static bool beat(nats__share *share, int64_t now_ns, int64_t lease_ns)
{
    nats__cell *cell = &share->cell;
    bool member = is_member(cell, share->id);
    if (member && now_ns < share->beat_ns) {
        return false;
    }
    if (!member && cell->member_count < NATS__MEMBERS_MAX) {
        nats__member *own = &cell->members[cell->member_count++];
        memcpy(own->id, share->id, sizeof own->id);
        own->seen_ns = now_ns;
    }
    for (uint32_t i = 0; i < cell->member_count; i++) {
        if (strcmp(cell->members[i].id, share->id) == 0) {
            uint64_t last = cell->members[i].beat; /* perhaps of an earlier connection */
            share->beat = (last > share->beat ? last : share->beat) + 1;
            cell->members[i].beat = share->beat;
        }
    }
    share->beat_ns = now_ns + lease_ns / 4;
    return true;
}

/* Free shards up to our part; what we hold above it goes, the last first. */
static bool balance(nats__share *share, int64_t now_ns, int64_t lease_ns)
{
    nats__cell *cell = &share->cell;
    uint32_t part = (cell->shard_count + cell->member_count - 1) / cell->member_count;
    uint32_t have = 0;
    bool changed = false;
    for (uint32_t i = 0; i < cell->shard_count; i++) {
        have += strcmp(cell->shards[i].owner, share->id) == 0 && !share->holds[i].releasing;
    }
    for (uint32_t i = 0; i < cell->shard_count && have < part; i++) {
        nats__shard *shard = &cell->shards[i];
        bool orphan = shard->owner[0] && !is_member(cell, shard->owner);
        if ((!shard->owner[0] || orphan) && !share->holds[i].source && !share->holds[i].released) {
            memcpy(shard->owner, share->id, sizeof shard->owner);
            shard->epoch++;
            have++;
            changed = true;
        }
    }
    for (uint32_t i = cell->shard_count; i > 0 && have > part; i--) {
        nats__hold *hold = &share->holds[i - 1];
        if (hold->source && !hold->releasing) {
            hold->releasing = true;
            hold->release_ns = now_ns + lease_ns / 2;
            have--;
        }
    }
    return changed;
}

bool nats__cell_decide(marty_port *port, nats__share *share, int64_t now_ns)
{
    int64_t lease_ns = nats__share_lease_ns(port);
    bool changed = bury_the_dead(share, now_ns, lease_ns);
    changed = beat(share, now_ns, lease_ns) || changed;
    return balance(share, now_ns, lease_ns) || changed;
}

void nats__cell_leave(marty_port *port, nats__share *share)
{
    marty_error ignored = {0};
    for (int i = 0; i < 8; i++) {
        if (nats__cell_read(port, share, &ignored) != MARTY_OK) {
            return; /* they will find us dead */
        }
        for (uint32_t m = share->cell.member_count; m > 0; m--) {
            if (strcmp(share->cell.members[m - 1].id, share->id) == 0) {
                remove_member(&share->cell, m - 1);
            }
        }
        if (nats__cell_write(port, share, &ignored) != MARTY_E_LOST) {
            return;
        }
    }
}
