/* SPDX-License-Identifier: Apache-2.0
 * Every statement that runs more than once, by name. Those before SQ_TABLED exist once for each of
 * the tables that messages are spread over. Columns and parameters are in the order of the text. */
#ifndef MARTY_BACKENDS_SQLITE_SQL_H
#define MARTY_BACKENDS_SQLITE_SQL_H

enum { SQ_TABLES = 16 };

/* clang-format off */
#define SQ_STATEMENTS_TABLED(X)                                                                    \
    X(MESSAGE_ADD, "INSERT INTO marty_message_%u"                                                  \
                   " SELECT id, at_us, expires_us, key, body FROM marty_rows")                     \
    X(MESSAGE_EDGE, "SELECT max(id) FROM marty_message_%u")                                        \
    X(MESSAGE_GET, "SELECT id, at_us, expires_us, key, body FROM marty_message_%u WHERE id = ?1")  \
    X(MESSAGE_RANGE, "SELECT id, at_us, expires_us, key, body FROM marty_message_%u"               \
                     " WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT ?3")                           \
    X(MESSAGE_REMOVE, "DELETE FROM marty_message_%u WHERE id = ?1")                                \
    X(MESSAGE_REMOVE_RANGE, "DELETE FROM marty_message_%u WHERE id >= ?1 AND id <= ?2")            \
    X(MESSAGE_OLDEST, "SELECT count(*), total(length(body)), max(id), min(id) FROM"                \
                      " (SELECT id, body FROM marty_message_%u WHERE id >= ?1 AND id < ?2"         \
                      " ORDER BY id LIMIT ?3)")                                                    \
    X(MESSAGE_FROM, "SELECT id, at_us FROM marty_message_%u WHERE id >= ?1 AND id < ?2"            \
                    " ORDER BY id LIMIT 1")                                                        \
    X(MESSAGE_SIZES, "SELECT id, at_us, length(body) FROM marty_message_%u"                        \
                     " WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT ?3")

#define SQ_STATEMENTS_ONCE(X)                                                                      \
    X(STATE_READ, "SELECT topology, removals FROM marty_state WHERE id = 1")                                 \
    X(STATE_CHANGED, "UPDATE marty_state SET topology = topology + 1 WHERE id = 1"                 \
                     " RETURNING topology")                                                        \
    X(STATE_REMOVED, "UPDATE marty_state SET removals = removals + 1 WHERE id = 1")                \
    X(DATA_VERSION, "PRAGMA data_version")                                                         \
    X(CHANNEL_FIND, "SELECT id, kind, ordered, age_us, bytes_max, trim_hard, owner"                \
                    " FROM marty_channel WHERE name = ?1")                                         \
    X(CHANNEL_ADD, "INSERT INTO marty_channel(name, kind, ordered, age_us, bytes_max, trim_hard,"  \
                   " created_us, owner) VALUES(?8, ?1, ?2, ?3, ?4, ?5, ?6, ?7)")                   \
    X(CHANNEL_REMOVE, "DELETE FROM marty_channel WHERE id = ?1")                                   \
    X(CHANNEL_ALL, "SELECT id, name, kind, ordered, age_us, bytes_max, trim_hard"                  \
                   " FROM marty_channel WHERE id > ?1 ORDER BY id LIMIT ?2")                       \
    X(CHANNEL_BY_ID, "SELECT name, kind, ordered, age_us, bytes_max, trim_hard, owner"             \
                     " FROM marty_channel WHERE id = ?1")                                          \
    X(CHANNEL_OWNED, "SELECT id FROM marty_channel WHERE owner = ?1")                              \
    X(LOG_OF_CHANNEL, "SELECT id, channel, coalesce(grp, 0), priority, next, messages, bytes,"     \
                      " last_us FROM marty_log WHERE channel = ?1 ORDER BY priority DESC, id")     \
    X(LOG_GET, "SELECT id, channel, coalesce(grp, 0), priority, next, messages, bytes, last_us"    \
               " FROM marty_log WHERE id = ?1")                                                    \
    X(LOG_ADD, "INSERT INTO marty_log(channel, grp, priority, next, messages, bytes, last_us)"     \
               " VALUES(?1, ?2, ?3, 1, 0, 0, 0)")                                                  \
    X(LOG_AGED, "SELECT l.id, c.age_us FROM marty_log l JOIN marty_channel c ON c.id = l.channel"  \
                " WHERE l.id > ?1 AND l.messages > 0 AND c.age_us > 0 ORDER BY l.id LIMIT 1")      \
    X(LOG_SAVE, "UPDATE marty_log SET next = ?2, messages = ?3, bytes = ?4, last_us = ?5"          \
                " WHERE id = ?1")                                                                  \
    X(LOG_REMOVE, "DELETE FROM marty_log WHERE id = ?1")                                           \
    X(GROUP_FIND, "SELECT id FROM marty_group WHERE scope = ?1 AND name = ?2")                     \
    X(GROUP_ADD, "INSERT INTO marty_group(scope, name, wild, owner, created_us)"                   \
                 " VALUES(?4, ?5, ?1, ?2, ?3)")                                                    \
    X(GROUP_REMOVE, "DELETE FROM marty_group WHERE id = ?1")                                       \
    X(GROUP_MISSED, "UPDATE marty_group SET missed = missed + ?2 WHERE id = ?1")                   \
    X(GROUP_EXISTS, "SELECT 1 FROM marty_group WHERE id = ?1")                                     \
    X(CHANNEL_EXISTS, "SELECT 1 FROM marty_channel WHERE id = ?1")                                 \
    X(GROUP_WILD, "SELECT id, scope FROM marty_group WHERE wild = ?1")                             \
    X(GROUP_WILD_NAMED, "SELECT id, scope FROM marty_group WHERE wild = ?1 AND name = ?2")         \
    X(GROUP_OWNED, "SELECT id FROM marty_group WHERE owner = ?1")                                  \
    X(CURSOR_ADD, "INSERT OR IGNORE INTO marty_cursor(grp, log, next) VALUES(?1, ?2, ?3)")         \
    X(CURSOR_SET, "UPDATE marty_cursor SET next = ?3 WHERE grp = ?1 AND log = ?2")                 \
    X(CURSOR_NEWS, "SELECT c.log, c.next, l.next FROM marty_cursor c JOIN marty_log l"             \
                   " ON l.id = c.log WHERE c.grp = ?1 AND l.next > c.next"                         \
                   " ORDER BY l.priority DESC, l.id")                                              \
    X(CURSOR_NEWS_AFTER, "SELECT c.log, c.next, l.next FROM marty_cursor c JOIN marty_log l"       \
                         " ON l.id = c.log WHERE c.grp = ?1 AND c.log > ?2 AND l.next > c.next"    \
                         " ORDER BY c.log LIMIT 1")                                                \
    X(CURSOR_OF_LOG, "SELECT grp, next FROM marty_cursor WHERE log = ?1")                          \
    X(CURSOR_LIKE, "INSERT OR IGNORE INTO marty_cursor(grp, log, next)"                            \
                   " SELECT grp, ?2, 1 FROM marty_cursor WHERE log = ?1")                          \
    X(CURSOR_REMOVE_GROUP, "DELETE FROM marty_cursor WHERE grp = ?1")                              \
    X(CURSOR_REMOVE_LOG, "DELETE FROM marty_cursor WHERE log = ?1")                                \
    X(CLAIM_ADD, "INSERT INTO marty_claim VALUES(?1, ?2, ?3, ?4, ?5, ?6)")                         \
    X(CLAIM_ITEMS, "SELECT version, items FROM marty_claim"                                        \
                   " WHERE grp = ?1 AND member = ?2 AND serial = ?3")                              \
    X(CLAIM_SAVE, "UPDATE marty_claim SET version = ?4, lease_us = ?5, items = ?6"                 \
                  " WHERE grp = ?1 AND member = ?2 AND serial = ?3")                               \
    X(CLAIM_REMOVE, "DELETE FROM marty_claim WHERE grp = ?1 AND member = ?2 AND serial = ?3")      \
    X(CLAIM_REMOVE_GROUP, "DELETE FROM marty_claim WHERE grp = ?1")                                \
    X(CLAIM_OF_GROUP, "SELECT grp, member, serial, version, items FROM marty_claim"                \
                      " WHERE grp = ?1")                                                           \
    X(CLAIM_OF_MEMBER, "SELECT grp, member, serial, version, items FROM marty_claim"               \
                       " WHERE member = ?1 LIMIT 64")                                              \
    X(CLAIM_EXPIRED, "SELECT grp, member, serial, version, items FROM marty_claim"                 \
                     " WHERE lease_us < ?1 LIMIT 64")                                              \
    X(CLAIM_NEXT_LEASE, "SELECT min(lease_us) FROM marty_claim")                                   \
    X(RETRY_ADD, "INSERT OR REPLACE INTO marty_retry VALUES(?1, ?2, ?3, ?4, ?5)")                  \
    X(RETRY_REMOVE, "DELETE FROM marty_retry WHERE grp = ?1 AND message = ?2")                     \
    X(RETRY_REMOVE_GROUP, "DELETE FROM marty_retry WHERE grp = ?1")                                \
    X(RETRY_DUE, "SELECT message, attempt, due_us, key FROM marty_retry"                           \
                 " WHERE grp = ?1 AND due_us <= ?2 ORDER BY due_us, message LIMIT ?3")             \
    X(RETRY_PLACES, "SELECT message, attempt, due_us, key FROM marty_retry"                        \
                    " WHERE grp = ?1 AND message > ?2 ORDER BY message LIMIT ?3")                  \
    X(RETRY_NEXT, "SELECT min(due_us) FROM marty_retry WHERE grp = ?1 AND due_us > ?2")            \
    X(RETRY_FIRST, "SELECT min(message) FROM marty_retry"                                          \
                   " WHERE grp = ?1 AND message >= ?2 AND message < ?3")                           \
    X(RETRY_ANY, "SELECT count(*) FROM (SELECT 1 FROM marty_retry WHERE grp = ?1 LIMIT ?2)")       \
    X(RETRY_COUNT, "SELECT count(*), coalesce(sum(attempt > 0), 0), coalesce(min(message), 0),"    \
                   " coalesce(sum(due_us > ?4), 0) FROM marty_retry"                               \
                   " WHERE grp = ?1 AND message >= ?2 AND message < ?3")                           \
    X(LATER_ADD, "INSERT INTO marty_later(due_us, expires_us, channel, grp, priority, key, late,"  \
                 " a, b, message, body) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)")     \
    X(LATER_DUE, "SELECT id, expires_us, channel, grp, priority, key, body FROM marty_later"       \
                 " WHERE due_us <= ?1 ORDER BY due_us, id LIMIT ?2")                               \
    X(LATER_NEXT, "SELECT min(due_us) FROM marty_later")                                           \
    X(LATER_FIND, "SELECT id, late, a, b FROM marty_later WHERE channel = ?1 AND message = ?2")    \
    X(LATER_REMOVE, "DELETE FROM marty_later WHERE id = ?1")                                       \
    X(LATER_OF_CHANNEL, "SELECT count(*) FROM marty_later WHERE channel = ?1")                     \
    X(LATER_REMOVE_GROUP, "DELETE FROM marty_later WHERE grp = ?1")                                \
    X(LOG_OF_GROUP, "SELECT id FROM marty_log WHERE grp = ?1")                                     \
    X(LATER_REMOVE_CHANNEL, "DELETE FROM marty_later WHERE channel = ?1")                          \
    X(SEEN_ADD, "INSERT INTO marty_seen(at_us, first_ms, last_ms, entries)"                        \
                " VALUES(?1, ?2, ?3, ?4)")                                                         \
    X(SEEN_NEW, "SELECT id, last_ms, entries FROM marty_seen WHERE id > ?1 ORDER BY id")           \
    X(SEEN_AT, "SELECT b.at_us, b.entries FROM marty_seen_span s CROSS JOIN marty_seen b"          \
               " WHERE s.first_ms <= ?1 AND s.last_ms >= ?1 AND b.id >= s.id << 7"                 \
               " AND b.id < s.id + 1 << 7 AND b.first_ms <= ?1 AND b.last_ms >= ?1"                \
               " UNION ALL SELECT at_us, entries FROM marty_seen WHERE id >="                      \
               " coalesce((SELECT max(id) + 1 << 7 FROM marty_seen_span), 0)"                      \
               " AND first_ms <= ?1 AND last_ms >= ?1")                                            \
    X(SEEN_START, "SELECT coalesce((SELECT min(id) << 7 FROM marty_seen_span WHERE last_ms >= ?1),"\
                  " (SELECT max(id) + 1 << 7 FROM marty_seen_span), 0) - 1")                       \
    X(SEEN_SPAN, "INSERT OR REPLACE INTO marty_seen_span"                                          \
                 " SELECT id >> 7, max(at_us), min(first_ms), max(last_ms) FROM marty_seen"        \
                 " WHERE id >= ?1 AND id < ?2 GROUP BY id >> 7")                                   \
    X(SEEN_SWEEP, "DELETE FROM marty_seen WHERE id IN"                                             \
                  " (SELECT id FROM marty_seen ORDER BY id LIMIT ?2) AND at_us < ?1"               \
                  " AND id < (SELECT max(id) FROM marty_seen)")                                    \
    X(SEEN_SPAN_SWEEP, "DELETE FROM marty_seen_span WHERE id IN"                                   \
                       " (SELECT id FROM marty_seen_span ORDER BY id LIMIT ?2) AND at_us < ?1")    \
    X(SEEN_NAME, "INSERT INTO marty_seen_name(late, a, b, at_us) VALUES(?1, ?2, ?3, ?4)"           \
                 " ON CONFLICT(late, a, b) DO UPDATE SET at_us = excluded.at_us WHERE at_us < ?5") \
    X(SEEN_NAME_FIND, "SELECT 1 FROM marty_seen_name"                                              \
                      " WHERE late = ?1 AND a = ?2 AND b = ?3 AND at_us >= ?4")                    \
    X(SEEN_NAME_ANY, "SELECT 1 FROM marty_seen_name WHERE late = 1 LIMIT 1")                       \
    X(SEEN_NAME_FORGET, "DELETE FROM marty_seen_name WHERE late = ?1 AND a = ?2 AND b = ?3")       \
    X(SEEN_NAME_SWEEP, "DELETE FROM marty_seen_name WHERE id IN"                                   \
                       " (SELECT id FROM marty_seen_name ORDER BY id LIMIT ?2) AND at_us < ?1")    \
    X(POST_ADD, "INSERT INTO marty_post(channel, at_us, expires_us, body)"                         \
                " VALUES(?1, ?2, ?3, ?4)")                                                         \
    X(POST_NEWEST, "SELECT coalesce((SELECT seq FROM sqlite_sequence"                              \
                   " WHERE name = 'marty_post'), 0)")                                              \
    X(POST_OF_CHANNEL, "SELECT id, at_us, expires_us, body FROM marty_post"                        \
                       " WHERE channel = ?1 AND id > ?2 ORDER BY id LIMIT ?3")                     \
    X(POST_ALL, "SELECT p.id, p.at_us, p.expires_us, p.body, c.name FROM marty_post p"             \
                " JOIN marty_channel c ON c.id = p.channel WHERE p.id > ?1 AND c.kind = ?2"        \
                " ORDER BY p.id LIMIT ?3")                                                         \
    X(POST_REMOVE, "DELETE FROM marty_post WHERE id = ?1")                                         \
    X(POST_REMOVE_CHANNEL, "DELETE FROM marty_post WHERE channel = ?1")                            \
    X(POST_COUNT, "SELECT count(*), coalesce(sum(length(body)), 0), min(at_us), max(at_us)"        \
                  " FROM marty_post WHERE channel = ?1")                                           \
    X(POST_SWEEP, "DELETE FROM marty_post WHERE id IN (SELECT id FROM marty_post"                  \
                  " ORDER BY id LIMIT ?2) AND (at_us < ?1 OR expires_us < ?3)")                    \
    X(MEMBER_ADD, "INSERT INTO marty_member VALUES(?1, ?2, ?3, ?4)")                               \
    X(MEMBER_REMOVE, "DELETE FROM marty_member WHERE id = ?1")                                     \
    X(MEMBER_ALL, "SELECT id, slot FROM marty_member WHERE id > ?1 ORDER BY id LIMIT 1")           \
    X(SUBSCRIBER_ADD, "INSERT OR REPLACE INTO marty_subscriber VALUES(?1, ?2, ?3, ?4)")            \
    X(SUBSCRIBER_REMOVE, "DELETE FROM marty_subscriber WHERE member = ?1 AND number = ?2")         \
    X(SUBSCRIBER_REMOVE_MEMBER, "DELETE FROM marty_subscriber WHERE member = ?1")                  \
    X(SUBSCRIBER_OF_CHANNEL, "SELECT s.member, m.slot FROM marty_subscriber s JOIN marty_member m" \
                             " ON m.id = s.member WHERE s.channel = ?1")                           \
    X(SUBSCRIBER_OF_GROUP, "SELECT s.member, m.slot FROM marty_subscriber s JOIN marty_member m"   \
                           " ON m.id = s.member WHERE s.grp = ?1")                                 \
    X(GROUPS_OF_CHANNEL, "SELECT DISTINCT g.id, g.name, g.missed, g.owner"                         \
                         " FROM marty_log l JOIN marty_cursor c ON c.log = l.id"                   \
                         " JOIN marty_group g ON g.id = c.grp"                                     \
                         " WHERE l.channel = ?1 AND g.id > ?2 ORDER BY g.id LIMIT 1")              \
    X(GROUP_SCOPED, "SELECT id FROM marty_group WHERE scope = ?1 LIMIT 1")                         \
    X(RETRY_REMOVE_LOG, "DELETE FROM marty_retry WHERE message >= ?1 AND message < ?2")            \
    X(CURSOR_AFTER, "SELECT c.log, c.next, l.next, l.channel FROM marty_cursor c"                  \
                    " JOIN marty_log l ON l.id = c.log WHERE c.grp = ?1 AND c.log > ?2"            \
                    " ORDER BY c.log LIMIT 1")
/* clang-format on */

#define SQ__ENUM(name, text) SQ_##name,
typedef enum sq_op {
    SQ_STATEMENTS_TABLED(SQ__ENUM) SQ_TABLED,
    SQ__BEFORE_ONCE = SQ_TABLED - 1,
    SQ_STATEMENTS_ONCE(SQ__ENUM) SQ_OPS
} sq_op;
#endif
