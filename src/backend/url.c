/* SPDX-License-Identifier: Apache-2.0
 * The URL parser: scheme:[//[user[:password]@]host[:port],...][/path][?key=value&...], everything
 * percent-decoded. The answer is one allocation: the structure, its arrays, then its strings.
 * Errors show the URL without its secrets. Pure functions; any thread. */
#include "url.h"

#include <ctype.h>
#include <string.h>

typedef struct parser {
    marty_url *url;
    marty_url_host *hosts;
    marty_header *parameters;
    char *out;         /* where the next decoded string goes */
    const char *shown; /* the URL without its secrets */
    marty_error *why;
} parser;

static size_t count_of(const char *text, char byte)
{
    size_t count = 0;
    for (; *text; text++) {
        count += *text == byte;
    }
    return count;
}

static int hex(char digit)
{
    if (digit >= '0' && digit <= '9') {
        return digit - '0';
    }
    char lower = (char)(digit | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* Decode [from, end) into the next string; what names the part in errors. */
static marty_err decode(parser *p, const char **ret_text, const char *from, const char *end,
                        const char *what)
{
    char *text = p->out;
    while (from < end) {
        if (*from != '%') {
            *p->out++ = *from++;
            continue;
        }
        int high = end - from > 2 ? hex(from[1]) : -1;
        int low = high >= 0 ? hex(from[2]) : -1;
        int byte = low >= 0 ? high * 16 + low : 0;
        if (byte == 0) {
            return marty_error_set(
                p->why, MARTY_E_CONFIG,
                "%s: in %s, a %% must be followed by two hexadecimal digits that "
                "are not 00; write %%25 for a %% itself",
                p->shown, what);
        }
        *p->out++ = (char)byte;
        from += 3;
    }
    *p->out++ = '\0';
    *ret_text = text;
    return MARTY_OK;
}

static marty_err parse_scheme(parser *p, const char *text, const char **ret_rest)
{
    const char *at = text;
    p->url->scheme = p->out;
    while (isalnum((unsigned char)*at) || (at > text && *at && strchr("+.-", *at))) {
        *p->out++ = (char)tolower((unsigned char)*at++);
    }
    *p->out++ = '\0';
    if (*at != ':' || !isalpha((unsigned char)*text)) {
        return marty_error_set(p->why, MARTY_E_CONFIG,
                               "%s: a URL begins with its backend and a colon, like "
                               "sqlite:orders.db or nats://127.0.0.1:4222",
                               p->shown);
    }
    *ret_rest = at + 1;
    return MARTY_OK;
}

static marty_err parse_port(parser *p, uint16_t *ret_port, const char *from, const char *end)
{
    uint32_t port = 0;
    for (const char *at = from; at < end && port <= UINT16_MAX; at++) {
        port = isdigit((unsigned char)*at) ? port * 10 + (uint32_t)(*at - '0') : UINT16_MAX + 1u;
    }
    if (port == 0 || port > UINT16_MAX) {
        return marty_error_set(
            p->why, MARTY_E_CONFIG,
            "%s: the port of host %zu is not a number from 1 to 65535 (a / ? : @ "
            "inside a user or password is written %%2F %%3F %%3A %%40)",
            p->shown, p->url->host_count + 1);
    }
    *ret_port = (uint16_t)port;
    return MARTY_OK;
}

static marty_err parse_host(parser *p, const char *from, const char *end)
{
    const char *host_end = memchr(from, ':', (size_t)(end - from));
    const char *colon = host_end;
    marty_url_host *host = &p->hosts[p->url->host_count];
    if (from < end && *from == '[') { /* an IPv6 address */
        from++;
        host_end = memchr(from, ']', (size_t)(end - from));
        colon = host_end && host_end + 1 < end ? host_end + 1 : NULL;
    }
    const char *stop = host_end ? host_end : end;
    bool bracket_open = from[-1] == '[' && !host_end;
    if (bracket_open || (colon && *colon != ':') || stop == from ||
        strcspn(from, "[]@ ") < (size_t)(stop - from)) {
        return marty_error_set(p->why, MARTY_E_CONFIG,
                               "%s: host %zu is empty or malformed; write name, name:port or "
                               "[IPv6 address]:port, with commas between several",
                               p->shown, p->url->host_count + 1);
    }
    marty_err err = decode(p, &host->host, from, stop, "a host");
    host->port = 0;
    if (!err && colon) {
        err = parse_port(p, &host->port, colon + 1, end);
    }
    p->url->host_count += !err;
    return err;
}

/* After "//", up to the path or the parameters. */
static marty_err parse_authority(parser *p, const char *from, const char **ret_rest)
{
    const char *end = from + strcspn(from, "/?");
    const char *at_sign = memrchr(from, '@', (size_t)(end - from));
    marty_err err = MARTY_OK;
    *ret_rest = end;
    if (at_sign) {
        const char *colon = memchr(from, ':', (size_t)(at_sign - from));
        err = decode(p, &p->url->user, from, colon ? colon : at_sign, "the user");
        if (!err && colon) {
            err = decode(p, &p->url->password, colon + 1, at_sign, "the password");
        }
        from = at_sign + 1;
    } else if (from == end) {
        return MARTY_OK; /* scheme:///path */
    }
    while (!err) {
        size_t size = strcspn(from, ",");
        const char *stop = from + size < end ? from + size : end;
        err = parse_host(p, from, stop);
        if (stop == end) {
            break;
        }
        from = stop + 1;
    }
    return err;
}

static marty_err parse_parameter(parser *p, const char *from, const char *end)
{
    const char *equals = memchr(from, '=', (size_t)(end - from));
    if (!equals || equals == from) {
        return marty_error_set(p->why, MARTY_E_CONFIG,
                               "%s: parameter %zu after the ? is not key=value", p->shown,
                               p->url->parameter_count + 1);
    }
    const char *name = NULL, *value = NULL;
    marty_err err = decode(p, &name, from, equals, "a parameter's name");
    err = err ? err : decode(p, &value, equals + 1, end, "a parameter's value");
    if (err) {
        return err;
    }
    if (marty_url_get(p->url, name)) {
        return marty_error_set(p->why, MARTY_E_CONFIG, "%s: %s is given twice", p->shown, name);
    }
    p->parameters[p->url->parameter_count++] =
        (marty_header){.name = name, .value = marty_text(value)};
    return MARTY_OK;
}

static marty_err parse_rest(parser *p, const char *rest)
{
    size_t path = strcspn(rest, "?");
    marty_err err = MARTY_OK;
    if (path) {
        err = decode(p, &p->url->path, rest, rest + path, "the path");
    }
    rest += path + (rest[path] == '?');
    while (!err && *rest) {
        size_t size = strcspn(rest, "&");
        err = parse_parameter(p, rest, rest + size);
        rest += size + (rest[size] == '&');
    }
    return err;
}

static marty_err parse(parser *p, const char *text)
{
    const char *rest = NULL;
    marty_err err = parse_scheme(p, text, &rest);
    if (!err && strncmp(rest, "//", 2) == 0) {
        err = parse_authority(p, rest + 2, &rest);
        if (!err && !p->url->host_count && *rest != '/') {
            err = marty_error_set(p->why, MARTY_E_CONFIG, "%s: there is no host after the //",
                                  p->shown);
        }
    }
    return err ? err : parse_rest(p, rest);
}

static marty_err check_text(const char *text, marty_error *why)
{
    size_t size = strnlen(text, MARTY__URL_BYTES_MAX + 1);
    if (size > MARTY__URL_BYTES_MAX) {
        return marty_error_set(why, MARTY_E_CONFIG, "the URL is longer than %d bytes",
                               MARTY__URL_BYTES_MAX);
    }
    for (size_t at = 0; at < size; at++) {
        if ((unsigned char)text[at] < 0x20 || text[at] == 0x7f) {
            return marty_error_set(why, MARTY_E_CONFIG,
                                   "byte %zu of the URL is a control character; write it as %%%02X",
                                   at, (unsigned char)text[at]);
        }
    }
    return MARTY_OK;
}

marty_err marty_url_parse(marty_url **ret_url, const char *text, marty_error *why)
{
    if (!text) {
        return marty_error_set(why, MARTY_E_ARGUMENT, "the URL is NULL");
    }
    marty_err err = check_text(text, why);
    if (err) {
        return err;
    }
    size_t hosts = count_of(text, ',') + 1, parameters = count_of(text, '&') + 1;
    size_t shown = strlen(text) + 3 * (parameters + count_of(text, '=')) + 8;
    size_t strings = strlen(text) + hosts + 2 * parameters + 8;
    char *block = marty_alloc_zero(1, sizeof(marty_url) + hosts * sizeof(marty_url_host) +
                                          parameters * sizeof(marty_header) + shown + strings);
    if (!block) {
        return marty_error_set(why, MARTY_E_NO_MEMORY, "no memory to parse a URL");
    }
    parser p = {.url = (marty_url *)(void *)block, .why = why};
    p.parameters = (marty_header *)(void *)(p.url + 1);
    p.hosts = (marty_url_host *)(void *)(p.parameters + parameters);
    char *redacted = (char *)(p.hosts + hosts);
    p.out = redacted + shown;
    marty__url_redact(redacted, text);
    p.shown = p.url->redacted = redacted;
    p.url->hosts = p.hosts;
    p.url->parameters = p.parameters;
    err = parse(&p, text);
    if (err) {
        marty_free(block);
        return err;
    }
    *ret_url = p.url;
    return MARTY_OK;
}

void marty_url_free(marty_url *url)
{
    marty_free(url);
}

const char *marty_url_get(const marty_url *url, const char *name)
{
    for (size_t i = 0; i < url->parameter_count; i++) {
        if (strcmp(url->parameters[i].name, name) == 0) {
            return url->parameters[i].value.data;
        }
    }
    return NULL;
}
