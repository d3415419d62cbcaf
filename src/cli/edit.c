/* SPDX-License-Identifier: Apache-2.0
 * The data of a message in the user's editor: a file of the user's alone, gone afterwards. */
#include "message.h"

#include <errno.h>
#include <fcntl.h>
#include <marty/adapter.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static bool write_all(int fd, marty_bytes data)
{
    const char *from = data.data;
    while (data.size) {
        ssize_t put = write(fd, from, data.size);
        if (put < 0 && errno != EINTR) {
            return false;
        }
        from += put > 0 ? put : 0;
        data.size -= put > 0 ? (size_t)put : 0;
    }
    return true;
}

/* From its start: an editor may have put another file in its place. */
static bool read_all(const char *path, cli_text *text)
{
    char bytes[8192];
    size_t got;
    FILE *file = fopen(path, "re");
    bool fine = file != NULL;
    cli_text_add(text, "", 0);
    while (fine && (got = fread(bytes, 1, sizeof bytes, file)) > 0) {
        cli_text_add(text, bytes, got);
    }
    fine = fine && !ferror(file);
    if (file) {
        (void)fclose(file);
    }
    return fine;
}

/* Its exit status; the words of VISUAL or EDITOR are a shell's. */
static int run_editor(char *path)
{
    char shell[] = "/bin/sh", flag[] = "-c", name[] = "sh",
         line[] = "${VISUAL:-${EDITOR:-vi}} \"$1\"";
    char *const words[] = {shell, flag, line, name, path, NULL};
    pid_t child = 0;
    int status = 0;
    if (posix_spawn(&child, shell, NULL, NULL, words, environ) != 0) {
        return 127;
    }
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

bool cli_edit(const cli_run *cli, const marty_message *message, cli_text *ret_data)
{
    const char *folder = getenv("TMPDIR");
    bool json = cli_is_json_type(message->content_type);
    char *path = cli_textf("%s/marty-XXXXXX%s", folder && folder[0] ? folder : "/tmp",
                           json ? ".json" : ".txt");
    int fd = mkostemps(path, json ? 5 : 4, O_CLOEXEC), status = 0;
    bool text = cli_utf8_valid(message->data.data, message->data.size), fine = false;
    if (fd < 0 || !write_all(fd, message->data) || (text && !write_all(fd, marty_text("\n")))) {
        cli_say(cli, "%s: %s", path, strerror(errno));
    } else if ((status = run_editor(path)) != 0) {
        cli_say(cli, "the editor ended with %d", status);
    } else {
        fine = read_all(path, ret_data);
    }
    if (fd >= 0) {
        (void)close(fd);
        (void)unlink(path);
    }
    if (fine && text && ret_data->size && ret_data->data[ret_data->size - 1] == '\n') {
        ret_data->size--; /* the line end that text in an editor has */
    }
    marty_free(path);
    return fine && (ret_data->size != message->data.size ||
                    memcmp(ret_data->data, message->data.data, ret_data->size) != 0);
}
