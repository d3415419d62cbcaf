/* SPDX-License-Identifier: Apache-2.0
 * Flags > environment > context > default, value by value; contexts are files that come back as
 * they went; a configuration is changed without losing the rest of it. */
#include "session.h"

#include "check.h"
#include <marty/adapter.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/marty-settings-XXXXXX";

static const cli_flag *const tables[] = {cli_flags_bus, cli_flags_common, NULL};

static void given(cli_run *cli, const char *words[], size_t count)
{
    cli_text why = {0};
    memset(cli, 0, sizeof *cli);
    cli->out.quiet = true;
    REQUIRE(cli_flags_parse(&cli->given, tables, words, count, &why));
    REQUIRE(cli_settings_resolve(cli) == CLI_OK);
    cli_text_free(&why);
}

static void done(cli_run *cli)
{
    cli_settings_free(cli);
    cli_flags_free(&cli->given);
}

static void put_context(const char *name, const char *backend, const char *service)
{
    char url[80], who[20];
    cli_context context = {0};
    marty_error why = {0};
    (void)snprintf(url, sizeof url, "%s", backend);
    (void)snprintf(who, sizeof who, "%s", service);
    context.backend = url;
    context.service = who;
    CHECK_INT(cli_context_save(&context, name, &why), MARTY_OK);
}

static void a_context_comes_back_and_is_private(void)
{
    cli_context back = {0};
    marty_error why = {0};
    struct stat info;
    char *path = cli_context_path("prod");
    put_context("prod", "nats://u:p@h \"q\"\\", "billing");
    REQUIRE(cli_context_load(&back, "prod", &why) == MARTY_OK);
    CHECK_TEXT(back.backend, "nats://u:p@h \"q\"\\");
    CHECK_TEXT(back.service, "billing");
    CHECK(!back.config);
    REQUIRE(stat(path, &info) == 0);
    CHECK_INT(info.st_mode & 0777, 0600);
    cli_context_free(&back);
    marty_free(path);
    CHECK_INT(cli_context_load(&back, "../prod", &why), MARTY_E_ARGUMENT);
    CHECK_INT(cli_context_load(&back, "none", &why), MARTY_E_NOT_FOUND);
}

static void each_value_comes_from_the_highest_that_has_it(void)
{
    const char *flags[] = {"-b", "sqlite:flag.db"}, *name[] = {"--context", "prod"};
    marty_error why = {0};
    cli_run cli;
    put_context("prod", "sqlite:prod.db", "billing");
    put_context("test", "sqlite:test.db", "tester");
    CHECK_INT(cli_context_select("test", &why), MARTY_OK);
    given(&cli, flags, 0);
    CHECK_TEXT(cli.settings.backend.value, "sqlite:test.db");
    CHECK_TEXT(cli.settings.service.value, "tester");
    done(&cli);
    (void)setenv("MARTY_CONFIG", "some.yaml", 1);
    given(&cli, flags, 0); /* counts for more than what is selected */
    CHECK_TEXT(cli.settings.config.value, "some.yaml");
    CHECK(!cli.settings.backend.value);
    done(&cli);
    (void)setenv("MARTY_CONTEXT", "prod", 1);
    given(&cli, flags, 0);
    CHECK_TEXT(cli.settings.backend.value, "sqlite:prod.db");
    CHECK(!cli.settings.config.value);
    CHECK_TEXT(cli.settings.backend.from, "context prod");
    done(&cli);
    given(&cli, flags, 2);
    CHECK_TEXT(cli.settings.backend.value, "sqlite:flag.db");
    CHECK_TEXT(cli.settings.backend.from, "flag --backend");
    CHECK_TEXT(cli.settings.service.value, "billing"); /* value by value */
    done(&cli);
    (void)unsetenv("MARTY_CONTEXT");
    given(&cli, name, 2);
    CHECK_TEXT(cli.settings.backend.value, "sqlite:prod.db");
    done(&cli);
    (void)unsetenv("MARTY_CONFIG");
}

static void select_goes_back_and_remove_forgets(void)
{
    marty_error why = {0};
    char *selected;
    CHECK_INT(cli_context_select("prod", &why), MARTY_OK);
    CHECK_INT(cli_context_select("-", &why), MARTY_OK);
    selected = cli_context_selected();
    CHECK_TEXT(selected, "test");
    marty_free(selected);
    CHECK_INT(cli_context_remove("test", &why), MARTY_OK);
    CHECK(!cli_context_selected());
    CHECK_INT(cli_context_select("test", &why), MARTY_E_NOT_FOUND);
}

static void a_wrong_context_names_file_and_line(void)
{
    char *path = cli_context_path("wrong");
    FILE *file = fopen(path, "w");
    cli_context back = {0};
    marty_error why = {0};
    REQUIRE(file);
    (void)fputs("service: a\nbackand: x\n", file);
    (void)fclose(file);
    CHECK_INT(cli_context_load(&back, "wrong", &why), MARTY_E_MALFORMED);
    CHECK_HAS(why.text, "wrong.yaml:2: unknown key");
    marty_free(path);
}

static void one_parameter_of_a_url_is_set(void)
{
    static const struct {
        const char *url, *want;
    } cases[] = {{"sqlite:a.db", "sqlite:a.db?envelope=both"},
                 {"nats://h?tls=yes", "nats://h?tls=yes&envelope=both"},
                 {"nats://h?envelope=legacy&tls=yes", "nats://h?tls=yes&envelope=both"},
                 {"nats://h?envelope=legacy", "nats://h?envelope=both"}};
    size_t i;
    for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *url = cli_url_with(cases[i].url, "envelope", "both");
        CHECK_TEXT(url, cases[i].want);
        marty_free(url);
    }
}

static void a_configuration_is_narrowed_to_one_backend(void)
{
    char *path = cli_textf("%s/marty.yaml", folder), *text = NULL;
    FILE *file = fopen(path, "w");
    marty_error why = {0};
    REQUIRE(file);
    (void)fputs("service: orders\nbackends:\n  main: nats://h:1\n  log: sqlite:log.db\n"
                "routes:\n  - {events: \"order.*\", channel: audit, to: main}\n"
                "retry: {attempts: 3}\n",
                file);
    (void)fclose(file);
    CHECK_INT(cli_config_edit(&text, path, "logs", NULL, &why), MARTY_E_NOT_FOUND);
    CHECK_HAS(why.text, "no backend called \"logs\"; there are main, log");
    REQUIRE(cli_config_edit(&text, path, "log", "both", &why) == MARTY_OK);
    CHECK_HAS(text, "\"sqlite:log.db?envelope=both\"");
    CHECK_HAS(text, "channel: audit");
    CHECK_HAS(text, "attempts: 3");
    CHECK(!strstr(text, "main"));
    marty_free(text);
    marty_free(path);
}

int main(void)
{
    REQUIRE(mkdtemp(folder) != NULL);
    (void)setenv("XDG_CONFIG_HOME", folder, 1);
    (void)unsetenv("MARTY_CONFIG");
    (void)unsetenv("MARTY_CONTEXT");
    REQUIRE(chdir(folder) == 0);
    a_context_comes_back_and_is_private();
    each_value_comes_from_the_highest_that_has_it();
    select_goes_back_and_remove_forgets();
    a_wrong_context_names_file_and_line();
    one_parameter_of_a_url_is_set();
    a_configuration_is_narrowed_to_one_backend();
    REQUIRE(chdir("/") == 0);
    char *remove = cli_textf("rm -rf '%s'", folder);
    CHECK_INT(system(remove), 0);
    marty_free(remove);
    return check_result();
}
