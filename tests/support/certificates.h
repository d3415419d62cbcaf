/* SPDX-License-Identifier: Apache-2.0
 * Certificates and keys for tests, made once per build folder by make-ca.sh (openssl, under a
 * second). Names: ca, otherca, server, node, client, rogue (client of the other CA), expired,
 * notyet, wronghost; each as NAME.pem and NAME.key. Any thread, any number of processes. */
#ifndef TESTS_SUPPORT_CERTIFICATES_H
#define TESTS_SUPPORT_CERTIFICATES_H
#include <stdbool.h>
#include <stddef.h>

/** The folder with all of them, made at the first call. Static; NULL when openssl is missing or
 * failed. */
const char *test_certificates(void);
/** A NATS user key made of nkey.der and nkey.pub there: the seed "SU..." and the public key "U...",
 * 59 and 57 bytes with NUL. */
bool test_nkey(char *ret_seed, char *ret_public);
#endif
