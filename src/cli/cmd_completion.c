/* SPDX-License-Identifier: Apache-2.0
 * marty completion: a script for the shell, which asks the hidden verb `complete` at each TAB; so
 * what is completed comes from the same tables as everything else. */
#include "cli.h"

#include <marty/adapter.h>

static const char bash[] =
    "# bash completion of marty; put into your ~/.bashrc: source <(marty completion bash)\n"
    "_marty() {\n"
    "    local line\n"
    "    COMPREPLY=()\n"
    "    while IFS= read -r line; do\n"
    "        COMPREPLY+=(\"${line%%$'\\t'*}\")\n"
    "    done < <(\"${COMP_WORDS[0]}\" complete -- \"${COMP_WORDS[@]:1:COMP_CWORD}\" 2>/dev/null)\n"
    "}\n"
    "complete -o default -F _marty marty\n";
static const char zsh[] =
    "#compdef marty\n"
    "# zsh completion of marty; put into your ~/.zshrc: source <(marty completion zsh)\n"
    "_marty() {\n"
    "    local -a found\n"
    "    local line\n"
    "    while IFS= read -r line; do\n"
    "        found+=(\"${${line%%$'\\t'*}//:/\\\\:}:${line#*$'\\t'}\")\n"
    "    done < <(\"${words[1]}\" complete -- \"${(@)words[2,CURRENT]}\" 2>/dev/null)\n"
    "    if (( ${#found} )); then _describe marty found; else _files; fi\n"
    "}\n"
    "if [ \"$funcstack[1]\" = _marty ]; then _marty; else compdef _marty marty; fi\n";
static const char fish[] =
    "# fish completion of marty; put it into ~/.config/fish/completions/marty.fish\n"
    "complete -c marty -f -a '(marty complete -- (commandline -opc)[2..] (commandline -ct) "
    "2>/dev/null)'\n"
    "complete -c marty -n 'test -z (marty complete -- (commandline -opc)[2..] (commandline -ct) "
    "2>/dev/null | string collect)' -F\n";

static int run(cli_run *cli)
{
    const char *shell = cli_argument(cli, 0);
    const char *script = strcmp(shell, "bash") == 0   ? bash
                         : strcmp(shell, "zsh") == 0  ? zsh
                         : strcmp(shell, "fish") == 0 ? fish
                                                      : NULL;
    if (!script) {
        return cli_usage(cli, "\"%s\" is not one of bash, zsh, fish", shell);
    }
    (void)fputs(script, stdout);
    return CLI_OK;
}

const cli_verb cli_verb_completion = {
    .name = "completion",
    .arguments = "bash|zsh|fish",
    .summary = "a completion script for your shell",
    .text = "It completes verbs, flags, their values, and the names of contexts and errors.",
    .examples = "source <(marty completion bash)\n"
                "marty completion fish > ~/.config/fish/completions/marty.fish",
    .tables = {cli_flags_common},
    .run = run,
    .argument_min = 1,
    .argument_max = 1,
    .words = "bash|zsh|fish",
};
