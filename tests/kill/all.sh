#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The whole of it: all.sh KILL_SAGAS BIN_FOLDER. For each store and bus ROUNDS rounds (1) of 1,000 sagas with 60 kills, then
# TAKEOVERS rounds (3) in which one of two orchestrators is killed and not started again. From seed FROM (1) on.
set -uo pipefail
program=$1
bin=$2
wrong=0
for bus in sqlite nats; do
    for store in sqlite postgres kv; do
        "$program" --bin "$bin" --store "$store" --bus "$bus" --seed "${FROM:-1}" --rounds "${ROUNDS:-1}" || wrong=1
        "$program" --bin "$bin" --store "$store" --bus "$bus" --seed "${FROM:-1}" --rounds "${TAKEOVERS:-3}" --takeover || wrong=1
    done
done
# The broker as three servers, one of them killed at a time; and nats-server 2.9, as Debian has it.
for what in "--store sqlite --bus cluster" "--store kv --bus cluster" "--store sqlite --bus nats --nats old" "--store kv --nats old"; do
    # shellcheck disable=SC2086
    "$program" --bin "$bin" $what --seed "${FROM:-1}" --rounds "${ROUNDS:-1}" || wrong=1
done
exit $wrong
