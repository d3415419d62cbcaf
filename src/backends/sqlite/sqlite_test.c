/* SPDX-License-Identifier: Apache-2.0
 * The sqlite: port, kind by kind: who gets what, credit, and what a URL may say. */
#include "test_file.h"

#include "backend/test_share.h"

static void the_level_is_that_of_the_syncs(void)
{
    probe *a = probe_open("said");
    CHECK_INT(a->granted.level, MARTY_LEVEL_SYNCED);
    probe_close(a);
    a = probe_open("said?dedup=0&lease=3s&sync=normal&retention=1h,1MiB&replicas=1");
    CHECK_INT(a->granted.can[MARTY_KIND_TOPIC] & MARTY_CAN_DEDUPLICATE, 0);
    CHECK_INT(a->granted.lease_ms, 3000);
    CHECK_INT(a->granted.level, MARTY_LEVEL_WRITTEN);
    CHECK_HAS(ask(a, "inspect", (marty_want){0}, NULL),
              "\"level\":\"written\",\"unsafe\":[{\"what\"");
    probe_close(a);
    a = probe_open("said?sync=off");
    CHECK_INT(say(a, MARTY_KIND_QUEUE, "commands.q", "m", NULL), MARTY_OK);
    CHECK_INT(a->published[0].level, MARTY_LEVEL_MEMORY);
    probe_close(a);
}

static const refused_url urls[] = {
    {"sqlite:", "a file is expected"},
    {"sqlite:folder/", "a file is expected"},
    {"sqlite::memory:", "use memory:"},
    {"sqlite://host/x.db", "a host makes no sense"},
    {"sqlite:x.db?sinc=off", "did you mean \"sync\""},
    {"sqlite:x.db?sync=maybe", "expected one of off, normal, full, extra"},
    {"sqlite:x.db?lease=soon", "duration"},
    {"sqlite:x.db?lease=1ms", "at least 100ms"},
    {"sqlite:x.db?retention=7d,often", "neither an age (7d) nor a size"},
    {"sqlite:x.db?level=synced", "set sync="},
    {"sqlite:x.db?replicas=3", "only replicas=1"},
    {"sqlite:x.db?tls_ca=x", "no connection"},
    {"sqlite:x.db?topology=maybe", "create, check, none"},
    {"sqlite:x.db?prefix=a.*", "prefix"}};

int main(void)
{
    share_cases();
    a_url_says_only_what_is_true(urls, sizeof urls / sizeof urls[0]);
    the_level_is_that_of_the_syncs();
    test_folder_remove();
    return check_result();
}
