/* SPDX-License-Identifier: Apache-2.0
 * C39: declared = observed. Every bit that is granted on a kind must be one that some case shows;
 * and a bit that is not granted must not be there: the wrapper `claim` grants it, and the case that
 * shows it must then fail. (That the showing cases passed is counted by the runner.) */
#include "contracts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The case that shows a bit on a kind, in the table's order; NULL = none. */
static const suite_case *showing(int kind, unsigned bit)
{
    size_t count;
    const suite_case *all = suite_cases(&count);
    for (size_t i = 0; i < count; i++) {
        if ((all[i].kinds & SUITE_KIND(kind)) && (all[i].proves & bit)) {
            return &all[i];
        }
    }
    return NULL;
}

void c39_claimed(void)
{
    size_t shown = 0;
    for (int kind = MARTY_KIND_TOPIC; kind <= MARTY_KIND_DEAD; kind++) {
        for (unsigned bit = 1; suite_bit_name(bit)[0]; bit <<= 1) {
            if (!suite_granted((marty_kind)kind, bit)) {
                continue;
            }
            EXPECT(showing(kind, bit), "%s is claimed on %s, and no case of the suite shows it",
                   suite_bit_name(bit), suite_kind_name(kind));
            shown++;
        }
    }
    suite_note("%zu claims by kind", shown);
}

/* Runs the case in a process of its own, with the bit claimed: whether it passed. */
static bool passes_with_claim(const suite_case *one, int kind, unsigned bit)
{
    char wrap[700] = "MARTY_SUITE_WRAP=claim:", result[1100], name[64], text[64] = "";
    const char *outer = getenv("MARTY_SUITE_WRAP");
    for (int each = MARTY_KIND_TOPIC; each <= MARTY_KIND_DEAD; each++) {
        size_t have = strlen(wrap);
        if (one->kinds & SUITE_KIND(each)) { /* all that the case asks for */
            snprintf(wrap + have, sizeof wrap - have, "%s%s.%s", wrap[have - 1] == ':' ? "" : "+",
                     suite_kind_name(each), suite_bit_name(bit));
        }
    }
    size_t have = strlen(wrap);
    snprintf(wrap + have, sizeof wrap - have, "%s%s", outer && *outer ? ":" : "",
             outer ? outer : "");
    snprintf(result, sizeof result, "MARTY_SUITE_RESULT=%s/claim-%s-%s", suite_folder(),
             suite_kind_name(kind), suite_bit_name(bit));
    snprintf(name, sizeof name, "%s.%s", one->contract, one->name);
    suite_log("claiming %s on %s and running %s", suite_bit_name(bit), suite_kind_name(kind), name);
    const char *argv[] = {suite_self(), "--case", name, NULL};
    const char *environment[] = {wrap, result, "MARTY_SUITE_GRANTS=", "MARTY_SUITE_TAG=claim",
                                 NULL};
    test_process process;
    EXPECT(test_process_start(&process, argv, environment, NULL), "a process did not start");
    if (!test_process_join(&process, one->limit_ms)) {
        test_process_kill(&process);
        return false;
    }
    FILE *file = fopen(result + strlen("MARTY_SUITE_RESULT="), "r");
    if (file) {
        size_t size = fread(text, 1, sizeof text - 1, file);
        text[size] = 0;
        fclose(file);
    }
    return strncmp(text, "pass", 4) == 0;
}

/* Whether that case has run with that bit claimed for a kind before this one: the claim is on all
 * kinds that the case asks for, so it would be the same run again. */
static bool ran_before(const suite_case *one, int kind, unsigned bit)
{
    for (int before = MARTY_KIND_TOPIC; before < kind; before++) {
        if (!suite_granted((marty_kind)before, bit) && showing(before, bit) == one) {
            return true;
        }
    }
    return false;
}

void c39_unclaimed(void)
{
    enum {
        SEEN = MARTY_CAN_DELAY | MARTY_CAN_CANCEL | MARTY_CAN_TIME_TO_LIVE |
               MARTY_CAN_ORDER_BY_KEY | MARTY_CAN_DEDUPLICATE | MARTY_CAN_DEAD_LETTER |
               MARTY_CAN_NO_RESPONDER
    };
    size_t tried = 0;
    const char *wrapper = getenv("MARTY_SUITE_WRAP");
    if (wrapper && strncmp(wrapper, "mask:", 5) == 0) {
        suite_skip("the mask hides what is there");
    }
    for (int kind = MARTY_KIND_TOPIC; kind <= MARTY_KIND_REQUEST; kind++) {
        for (unsigned bit = 1; suite_bit_name(bit)[0]; bit <<= 1) {
            const suite_case *one = (bit & SEEN) ? showing(kind, bit) : NULL;
            if (!one || suite_granted((marty_kind)kind, bit)) {
                continue;
            }
            tried++;
            if (ran_before(one, kind, bit)) {
                continue;
            }
            EXPECT(!passes_with_claim(one, kind, bit),
                   "%s is not claimed on %s, but %s.%s shows that it is there", suite_bit_name(bit),
                   suite_kind_name(kind), one->contract, one->name);
        }
    }
    suite_note("%zu bits that are not claimed are not there", tried);
}
