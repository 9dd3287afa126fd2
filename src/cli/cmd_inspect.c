#include <stdio.h>

#include "cli/commands.h"
#include "cli/options.h"

int tri_cmd_inspect(int argc, char **argv) {
    bool weights = false, graph = false, plan = false, json = false, dot = false, verify = false;
    tri_option_list plugins = {0};
    const tri_option table[] = {
        {TRI_OPTION_SWITCH, "weights", &weights, NULL,
            "every tensor: type, shape, layout, bytes, how it was made", 0, 0},
        {TRI_OPTION_SWITCH, "graph", &graph, NULL, "the graph, as text", 0, 0},
        {TRI_OPTION_SWITCH, "plan", &plan, NULL,
            "the launches: kernels chosen, and why the others were not; memory", 0, 0},
        {TRI_OPTION_SWITCH, "json", &json, NULL, "as JSON", 0, 0},
        {TRI_OPTION_SWITCH, "dot", &dot, NULL, "the graph for Graphviz", 0, 0},
        {TRI_OPTION_LIST, "plugin", &plugins, "LIB",
            "a plugin library, for --plan and --dot of engines with its ops", 0, 0},
        {TRI_OPTION_SWITCH, "verify", &verify, NULL, "check the weights' checksums too", 0, 0},
    };
    const tri_usage usage = {.command = "trireme inspect",
        .summary = "Tells what a file or directory holds: weights, code, plan.",
        .synopsis = "PATH [options]",
        .examples = "  trireme inspect ./engine\n"
                    "  trireme inspect ./engine --plan\n"
                    "  trireme inspect ./engine --dot | dot -Tsvg > graph.svg\n"
                    "  trireme inspect model.gguf --weights\n",
        .options = table,
        .n_options = sizeof table / sizeof *table,
        .min_positionals = 1,
        .max_positionals = 1};
    const char *path[1];
    int rc = tri_options_parse(&usage, argc, argv, path, NULL);
    if (rc) return rc == TRI_OPTIONS_HELP ? 0 : 2;
    uint32_t what = (weights ? TRI_INSPECT_WEIGHTS : 0u) | (graph ? TRI_INSPECT_GRAPH : 0u) |
                    (plan ? TRI_INSPECT_PLAN : 0u) | (json ? TRI_INSPECT_JSON : 0u) |
                    (dot ? TRI_INSPECT_DOT : 0u) | (verify ? TRI_INSPECT_VERIFY : 0u);
    tri_error err = {0};
    char *text = NULL;
    const tri_engine_options options = {
        .struct_size = sizeof options, .plugins = plugins.items, .n_plugins = plugins.n};
    if (tri_inspect(path[0], what, &options, &text, &err)) return tri_report("inspect", &err);
    fputs(text, stdout);
    tri_free(text);
    return 0;
}
