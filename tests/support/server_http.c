/* SPDX-License-Identifier: Apache-2.0
 * What a test server says about itself on its monitoring port: a small HTTP GET with a deadline.
 * See server.h. */
#include "server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static int connect_to(int port)
{
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval limit = {.tv_sec = 2};
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(descriptor, (struct sockaddr *)&address, sizeof address) != 0) {
        close(descriptor);
        return -1;
    }
    return descriptor;
}

int test_server_get(const test_server *server, const char *path, char *ret_body, size_t size)
{
    ret_body[0] = 0;
    int descriptor = connect_to(server->monitor_port);
    if (descriptor < 0) {
        return 0;
    }
    char request[512];
    int length = snprintf(request, sizeof request, "GET %s HTTP/1.0\r\n\r\n", path);
    size_t room = size + 4096, have = 0;
    char *answer = malloc(room + 1);
    int status = 0;
    if (answer && send(descriptor, request, (size_t)length, MSG_NOSIGNAL) == length) {
        ssize_t got;
        while (have < room && (got = recv(descriptor, answer + have, room - have, 0)) > 0) {
            have += (size_t)got;
        }
        answer[have] = 0;
        const char *space = strchr(answer, ' ');
        const char *body = strstr(answer, "\r\n\r\n");
        status = space ? (int)strtol(space, NULL, 10) : 0;
        snprintf(ret_body, size, "%s", body ? body + 4 : "");
    }
    free(answer);
    close(descriptor);
    return status;
}

/* The text value of a JSON member that follows `from`; a scan is enough for the monitoring page. */
static bool text_after(const char *from, const char *member, char *ret_value, size_t size)
{
    const char *found = from ? strstr(from, member) : NULL;
    found = found ? strchr(found + strlen(member), '"') : NULL;
    if (!found) {
        return false;
    }
    found++;
    snprintf(ret_value, size, "%.*s", (int)strcspn(found, "\""), found);
    return true;
}

int test_cluster_leader(const test_server servers[3], const char *stream)
{
    enum { ROOM = 256 * 1024 };
    char *body = malloc(ROOM);
    int leader = -1;
    for (int i = 0; i < 3 && body && leader < 0; i++) {
        char wanted[300], name[64];
        if (!servers[i].process.pid ||
            test_server_get(&servers[i], "/jsz?acc=$G&streams=true&limit=1000", body, ROOM) !=
                200) {
            continue;
        }
        snprintf(wanted, sizeof wanted, "\"name\": \"%s\"", stream);
        if (!text_after(strstr(body, wanted), "\"leader\":", name, sizeof name)) {
            continue;
        }
        for (int k = 0; k < 3; k++) {
            if (strcmp(name, servers[k].name) == 0) {
                leader = k;
            }
        }
    }
    free(body);
    return leader;
}
