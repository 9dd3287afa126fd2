/* Graph text: what parses must print, the print must parse and print as itself; what verifies can
 * be walked by everything that takes a verified graph. */
#include <stdlib.h>
#include <string.h>

#include "graph/ir.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition) {
    if (!condition) abort();
}

static void print_constants(const tri_graph *g) {
    for (const tri_node *node = g->first; node; node = node->next) {
        tri_buf out = {.limit_bytes = 1 << 16};
        if (node->n_results > 0 && node->results[0]->constant)
            tri_value_print_expression(node->results[0], &out);
        tri_buf_deinit(&out);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    tri_graph *g = NULL, *again = NULL, *copy = NULL;
    char *text = NULL, *second = NULL;
    tri_error err = {0};
    if (tri_graph_parse(&g, (const char *)data, size, &err)) {
        require(err.status != TRI_OK && err.message[0] != '\0' && !strchr(err.message, '\n'));
        return 0;
    }
    require(!tri_graph_print(g, &text, NULL));
    require(!tri_graph_parse(&again, text, strlen(text), NULL));
    require(!tri_graph_print(again, &second, NULL));
    require(strcmp(text, second) == 0);
    if (!tri_graph_verify(g, &err)) {
        print_constants(g);
        require(!tri_graph_infer(again, NULL));
        require(!tri_graph_clone(g, &copy, NULL));
        tri_graph_remove_dead(copy);
        require(!tri_graph_infer(copy, NULL));
    }
    tri_free(text);
    tri_free(second);
    tri_graph_destroy(g);
    tri_graph_destroy(again);
    tri_graph_destroy(copy);
    return 0;
}
