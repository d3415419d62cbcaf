/* SPDX-License-Identifier: Apache-2.0
 * marty completion: a script for the shell, which asks the hidden verb `complete` at each TAB; so
 * what is completed comes from the same tables as everything else. */
#include "cli.h"

#include <marty/adapter.h>

/* Bash ends words at = and :, too, and replaces what comes behind the last of these. */
static const char bash[] =
    "# bash completion of marty; put into your ~/.bashrc: source <(marty completion bash)\n"
    "_marty() {\n"
    "    local line typed before words\n"
    "    read -ra words <<< \"${COMP_LINE:0:COMP_POINT}\"\n"
    "    [[ ${COMP_LINE:0:COMP_POINT} == *[[:space:]] ]] && words+=('')\n"
    "    typed=${words[${#words[@]}-1]}\n"
    "    before=${typed%\"${typed##*[=:]}\"}\n"
    "    COMPREPLY=()\n"
    "    while IFS= read -r line; do\n"
    "        line=${line%%$'\\t'*}\n"
    "        COMPREPLY+=(\"${line#\"$before\"}\")\n"
    "        [[ $line == *[:/@] ]] && compopt -o nospace\n"
    "    done < <(\"${words[0]}\" complete -- \"${words[@]:1}\" 2>/dev/null)\n"
    "}\n"
    "complete -o default -F _marty marty\n";
static const char zsh[] =
    "#compdef marty\n"
    "# zsh completion of marty; put into your ~/.zshrc: source <(marty completion zsh)\n"
    "_marty() {\n"
    "    local -a found open\n"
    "    local line word\n"
    "    while IFS= read -r line; do\n"
    "        word=${line%%$'\\t'*}\n"
    "        if [[ $word == *[:/@] ]]; then\n"
    "            open+=(\"$word\")\n"
    "        else\n"
    "            found+=(\"${word//:/\\\\:}:${line#*$'\\t'}\")\n"
    "        fi\n"
    "    done < <(\"${words[1]}\" complete -- \"${(@)words[2,CURRENT]}\" 2>/dev/null)\n"
    "    (( ${#open} )) && compadd -S '' -a open\n"
    "    (( ${#found} )) && _describe marty found\n"
    "    if (( ! ${#open} + ${#found} )); then\n"
    "        compset -P 'sqlite:'\n"
    "        _files\n"
    "    fi\n"
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
