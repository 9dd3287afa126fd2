/* Models that are wrong by little must be seen to be wrong: what family_test allows is a hundredth
 * of what the smallest of these mistakes does.  The generator of the golden families made sure that
 * each moves the logits by 1e-2 of their deviation at least (tests/golden/make_families.py). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support/families.h"

#define LEAST_MUTATION 1e-2

static void rotate_rows(golden_weights *w, const char *name) {
    int32_t index = tri_source_find(w->source, w->rank, name);
    const tri_source_weight *info = tri_source_get(w->source, w->rank, index);
    uint8_t *rows = golden_weight(w, name);
    size_t row = (size_t)info->row_bytes, rest = row * (size_t)(info->n_rows - 1);
    uint8_t *kept = malloc(row);
    memcpy(kept, rows + rest, row);
    memmove(rows + row, rows, rest);
    memcpy(rows, kept, row);
    free(kept);
}

static void test_rotated_projection(void **state) {
    const family *f = *state;
    static const char *const modules[] = {
        "attention.qkv", "attention.q", "attention.dense", "mlp.fc", "mlp.gate", "mlp.proj"};
    golden_model m;
    open_family(&m, f);
    tri_graph *g = golden_graph(m.source, 0, f->max_seq_len);
    for (size_t i = 0; i < sizeof(modules) / sizeof(modules[0]); i++) {
        char name[64];
        (void)snprintf(name, sizeof name, "transformer.layers.1.%s.weight", modules[i]);
        if (tri_source_find(m.source, 0, name) < 0) continue;
        golden_weights w = golden_weights_of(m.source, 0);
        rotate_rows(&w, name);
        double error = run_prompts(&m, f, g, &w, NULL, NULL);
        if (!(error > LEAST_MUTATION)) fail_msg("%s: %s rotated: %g", f->name, name, error);
        golden_weights_free(&w);
    }
    tri_graph_destroy(g);
    golden_close(&m);
}

static void test_changed_theta(void **state) {
    const family *f = *state;
    golden_model m;
    open_family(&m, f);
    golden_weights w = golden_weights_of(m.source, 0);
    for (int32_t i = 0; i < tri_source_config(m.source)->n_ropes; i++) {
        tri_model_config config = *tri_source_config(m.source);
        config.rope[i].base *= 1.1;
        tri_graph *g = golden_graph_for(m.source, &config, 0, f->max_seq_len);
        double error = run_prompts(&m, f, g, &w, NULL, NULL);
        if (!(error > LEAST_MUTATION)) fail_msg("%s: rope %d changed: %g", f->name, (int)i, error);
        tri_graph_destroy(g);
    }
    golden_weights_free(&w);
    golden_close(&m);
}

int main(void) {
    const struct CMUnitTest each[] = {
        cmocka_unit_test(test_rotated_projection), cmocka_unit_test(test_changed_theta)};
    return run_family_tests("models/mutation", each, 2, NULL, 0);
}
