/* SPDX-License-Identifier: Apache-2.0
 * What an effect can say of its operation. One thread, that of the effect. */
#include "engine.h"

#include "base/alloc.h"
#include "message/json_scan.h"
#include "message/message.h"

#include <string.h>

enum { JSON_DEPTH_MAX = 32 };

static engine_operation *inside_of(marty_operation *operation)
{
    return (engine_operation *)operation; /* it is the first member of ours */
}

marty_err marty_operation_reply(marty_operation *operation, marty_bytes json)
{
    marty__json_value value;
    if (!operation || (json.size && !json.data)) {
        return MARTY_E_ARGUMENT;
    }
    engine_operation *inside = inside_of(operation);
    if (json.size > MARTY__SAGA_RESULT_BYTES_MAX) {
        return MARTY_E_TOO_LARGE;
    }
    if (!marty__json_valid(json.data, json.size, false, JSON_DEPTH_MAX, &value)) {
        return MARTY_E_MALFORMED; /* nobody could take the answer, ever */
    }
    char *copy = marty_alloc(json.size + 1);
    if (!copy) {
        return MARTY_E_NO_MEMORY;
    }
    if (json.size) {
        memcpy(copy, json.data, json.size);
    }
    copy[json.size] = '\0';
    marty_free(inside->result);
    inside->result = copy;
    inside->result_size = json.size;
    return MARTY_OK;
}

marty_err marty_operation_refuse(marty_operation *operation, const char *reason)
{
    if (!operation) {
        return MARTY_E_ARGUMENT;
    }
    engine_operation *inside = inside_of(operation);
    inside->refused = true;
    (void)marty__text_clean(inside->reason, sizeof inside->reason, reason ? reason : "",
                            reason ? strlen(reason) : 0);
    return MARTY_OK;
}

marty_err marty__engine_effect(marty_effect effect, void *user, const char *saga,
                               const marty__saga_command *command, void *transaction,
                               engine_operation *ret)
{
    memset(ret, 0, sizeof *ret);
    bool undo = command->kind == MARTY__SAGA_LOCAL_UNDO || command->kind == MARTY__SAGA_UNDO;
    ret->operation = (marty_operation){
        .saga = saga,
        .step = command->step,
        .key = command->key,
        .forward_key = undo ? command->forward_key : NULL,
        .attempt = command->attempt,
        .undo = undo,
        .probe = false, /* a local function's store tells whether it was done */
        .data = command->data,
    };
    return effect(user, &ret->operation, transaction);
}
