/* The scheduler against a shadow cache: each step writes (sequence, position, token) where its
 * block tables say, then every position a token may look at must hold what that sequence wrote
 * there.  The "model" is a hash of all tokens so far, so a lost or misplaced token changes the
 * output, which must not depend on company. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "sched/sched.h"

enum { VOCAB = 1000, MAX_LIVE = 64, STEP_BYTES = 1 << 20 };

typedef struct cell {
    uint64_t id;
    int32_t position, token;
} cell;

typedef struct request {
    uint64_t id;
    int32_t n_prompt, max_tokens, n_generated;
    int32_t tokens[512];
    bool live;
} request;

typedef struct world {
    tri_sched *sched;
    tri_sched_config config;
    cell *cache[TRI_MAX_GROUPS];
    request requests[MAX_LIVE];
    uint64_t next_id, random;
    int64_t n_steps, n_finished;
    void *memory;
} world;

static uint32_t next_random(world *w) {
    uint32_t out[4];
    tri_philox(42, w->random++, 0, out);
    return out[0];
}

static int32_t model(uint64_t hash) {
    return (int32_t)(hash % VOCAB);
}

static uint64_t hash_token(uint64_t hash, int32_t token) {
    return (hash ^ (uint64_t)(uint32_t)token) * 0x9E3779B97F4A7C15u + 1;
}

static void world_init(world *w, const tri_sched_config *config) {
    *w = (world){.config = *config, .next_id = 1};
    tri_error err = {0};
    if (tri_sched_create(&w->sched, config, &err)) fail_msg("%s", err.message);
    for (int32_t g = 0; g < config->n_groups; g++) {
        int32_t per = config->groups[g].recurrent ? 1 : config->groups[g].tokens_per_block;
        w->cache[g] = calloc((size_t)config->groups[g].n_blocks * (size_t)per, sizeof(cell));
        assert_non_null(w->cache[g]);
    }
    w->memory = malloc(STEP_BYTES);
    assert_non_null(w->memory);
}

static void world_deinit(world *w) {
    tri_sched_destroy(w->sched);
    for (int32_t g = 0; g < w->config.n_groups; g++)
        free(w->cache[g]);
    free(w->memory);
}

static request *find(world *w, uint64_t id) {
    for (int i = 0; i < MAX_LIVE; i++) {
        if (w->requests[i].live && w->requests[i].id == id) return &w->requests[i];
    }
    return NULL;
}

static tri_status add(world *w, int32_t n_prompt, int32_t max_tokens, tri_error *err) {
    request *r = NULL;
    for (int i = 0; i < MAX_LIVE && !r; i++) {
        if (!w->requests[i].live) r = &w->requests[i];
    }
    if (!r) return TRI_E_BUSY;
    *r = (request){.id = w->next_id++, .n_prompt = n_prompt, .max_tokens = max_tokens};
    for (int32_t i = 0; i < n_prompt; i++)
        r->tokens[i] = (int32_t)(next_random(w) % VOCAB);
    tri_status rc = tri_sched_add(w->sched,
        &(tri_sched_request){.id = r->id,
            .tokens = r->tokens,
            .n_tokens = n_prompt,
            .max_tokens = max_tokens,
            .priority = (float)(next_random(w) % 3),
            .all_rows = next_random(w) % 8 == 0},
        err);
    r->live = rc == TRI_OK;
    return rc;
}

static cell *cell_at(world *w, const tri_step *step, int32_t g, int32_t s, int32_t position) {
    int32_t per = w->config.groups[g].tokens_per_block;
    assert_true(position / per < step->groups[g].max_blocks);
    int32_t block = tri_step_block_table(step, g, s)[position / per];
    assert_in_range(block, 0, w->config.groups[g].n_blocks - 1);
    return &w->cache[g][(int64_t)block * per + position % per];
}

static void check_sequence(world *w, const tri_step *step, int32_t s, uint64_t id) {
    const int32_t *cu = TRI_STEP_I32(step, cu_seqlens);
    int32_t end = TRI_STEP_I32(step, context_lens)[s];
    int32_t first = end - (cu[s + 1] - cu[s]);
    for (int32_t g = 0; g < w->config.n_groups; g++) {
        const tri_sched_group *group = &w->config.groups[g];
        if (group->recurrent) {
            int32_t slot = ((const int32_t *)tri_step_at(step, step->groups[g].state_slots))[s];
            cell *state = &w->cache[g][slot];
            if (first > 0) {
                assert_true(state->id == id);
                assert_int_equal(state->position, first - 1);
            }
            *state = (cell){id, end - 1, 0};
            continue;
        }
        for (int32_t p = first; p < end; p++) {
            *cell_at(w, step, g, s, p) =
                (cell){id, p, TRI_STEP_I32(step, tokens)[cu[s] + p - first]};
        }
    }
}

/* What the sequence sees through its tables: the hash of its whole context up to `position`. */
static int32_t read_token(
    world *w, const tri_step *step, int32_t s, uint64_t id, int32_t position) {
    uint64_t hash = id;
    request *r = find(w, id);
    for (int32_t g = 0; g < w->config.n_groups; g++) {
        const tri_sched_group *group = &w->config.groups[g];
        if (group->recurrent) continue;
        int32_t first =
            group->window && position >= group->window ? position - group->window + 1 : 0;
        for (int32_t p = first; p <= position; p++) {
            const cell *c = cell_at(w, step, g, s, p);
            assert_true(c->id == id);
            assert_int_equal(c->position, p);
            assert_int_equal(c->token, r->tokens[p]);
        }
    }
    for (int32_t p = 0; p <= position; p++)
        hash = hash_token(hash, r->tokens[p]);
    return model(hash);
}

static void finish(world *w, request *r) {
    assert_int_equal(r->n_generated, r->max_tokens);
    uint64_t hash = r->id;
    for (int32_t i = 0; i < r->n_prompt + r->n_generated; i++) {
        if (i >= r->n_prompt) assert_int_equal(r->tokens[i], model(hash));
        hash = hash_token(hash, r->tokens[i]);
    }
    tri_sched_remove(w->sched, r->id);
    r->live = false;
    w->n_finished++;
}

static bool step_once(world *w) {
    tri_error err = {0};
    tri_step *step;
    const tri_sched_row *rows;
    if (tri_sched_next(w->sched, w->memory, STEP_BYTES, &step, &rows, &err)) {
        fail_msg("%s", err.message);
    }
    if (!step) return false;
    int32_t n_blocks[TRI_MAX_GROUPS] = {0}, sampled[1024];
    for (int32_t g = 0; g < w->config.n_groups; g++)
        n_blocks[g] = w->config.groups[g].n_blocks;
    if (tri_step_check(step, step->n_bytes, VOCAB, n_blocks, &err)) fail_msg("%s", err.message);
    assert_in_range(step->n_tokens, 1, w->config.max_num_tokens);
    assert_in_range(step->n_sequences, 1, w->config.max_batch_size);

    const tri_step_sampling *sampling = tri_step_rows_sampling(step);
    for (int32_t s = 0; s < step->n_sequences; s++) {
        uint64_t id = tri_sched_sequence_id(w->sched, s);
        const request *q = find(w, id);
        const int32_t *cu = TRI_STEP_I32(step, cu_seqlens);
        int32_t n = cu[s + 1] - cu[s], first = TRI_STEP_I32(step, context_lens)[s] - n;
        assert_true(first >= 0 && first + n <= q->n_prompt + q->n_generated);
        assert_memory_equal(
            q->tokens + first, TRI_STEP_I32(step, tokens) + cu[s], sizeof(int32_t) * (size_t)n);
        check_sequence(w, step, s, id);
    }
    for (int32_t r = 0; r < step->n_rows; r++) {
        assert_int_equal(sampling[r].counter, rows[r].position + 1);
        sampled[r] = read_token(w, step, sampling[r].sequence, rows[r].id, rows[r].position);
    }
    int32_t n_rows = step->n_rows;
    tri_sched_row copy[1024];
    memcpy(copy, rows, sizeof *rows * (size_t)n_rows);
    tri_sched_done(w->sched, sampled);
    for (int32_t r = 0; r < n_rows; r++) {
        request *q = find(w, copy[r].id);
        if (!copy[r].sampled) continue;
        q->tokens[q->n_prompt + q->n_generated++] = sampled[r];
        if (q->n_generated == q->max_tokens) finish(w, q);
    }
    w->n_steps++;
    return true;
}

static void drain(world *w) {
    for (int64_t i = 0; step_once(w); i++)
        assert_true(i < 100000);
    tri_sched_stats stats;
    tri_sched_get_stats(w->sched, &stats);
    assert_int_equal(stats.n_running + stats.n_waiting, 0);
    for (int32_t g = 0; g < w->config.n_groups; g++)
        assert_int_equal(stats.blocks_used[g], 0);
}

static tri_sched_config small_config(void) {
    return (tri_sched_config){.max_batch_size = 8,
        .max_num_tokens = 24,
        .max_num_rows = 16,
        .max_queue_size = 40,
        .max_seq_len = 200,
        .n_groups = 3,
        .groups = {{.tokens_per_block = 4, .n_blocks = 60},
            {.window = 10, .tokens_per_block = 8, .n_blocks = 20},
            {.recurrent = true, .n_blocks = 8}},
        .chunked_context = true};
}

/* Scarce blocks, random arrivals, cancellations and refits. */
static void test_simulation(void **state) {
    (void)state;
    world w;
    tri_sched_config config = small_config();
    world_init(&w, &config);
    for (int i = 0; i < 20000; i++) {
        uint32_t what = next_random(&w) % 100;
        if (what < 20) {
            tri_error err = {0};
            int32_t n_prompt = 1 + (int32_t)(next_random(&w) % 120);
            int32_t n_new = 1 + (int32_t)(next_random(&w) % 60);
            tri_status rc = add(&w, n_prompt, n_new, &err);
            assert_true(rc == TRI_OK || rc == TRI_E_BUSY);
        } else if (what == 20) {
            request *r = &w.requests[next_random(&w) % MAX_LIVE];
            if (r->live) tri_sched_remove(w.sched, r->id), r->live = false;
        } else if (what == 21 && next_random(&w) % 10 == 0) {
            tri_sched_recompute(w.sched);
        } else {
            step_once(&w);
        }
    }
    drain(&w);
    tri_sched_stats stats;
    tri_sched_get_stats(w.sched, &stats);
    assert_true(stats.n_preempted > 0); /* scarce enough to have been worth it */
    assert_true(w.n_finished > 500);
    world_deinit(&w);
}

static void test_order_and_chunks(void **state) {
    (void)state;
    world w;
    tri_sched_config config = small_config();
    world_init(&w, &config);
    tri_error err = {0};
    for (int i = 0; i < 12; i++)
        assert_int_equal(add(&w, 50, 3, &err), TRI_OK);
    drain(&w);
    assert_int_equal(w.n_finished, 12);
    world_deinit(&w);
}

static void test_refusals(void **state) {
    (void)state;
    world w;
    tri_sched_config config = small_config();
    config.max_queue_size = 2;
    world_init(&w, &config);
    tri_error err = {0};
    assert_int_equal(add(&w, 150, 51, &err), TRI_E_LIMIT);
    assert_non_null(strstr(err.message, "max_seq_len is 200"));
    for (int i = 0; i < 10; i++)
        assert_int_equal(add(&w, 10, 3, &err), TRI_OK);
    assert_int_equal(add(&w, 10, 3, &err), TRI_E_BUSY);
    assert_non_null(strstr(err.message, "max_queue_size is 2"));
    drain(&w);
    world_deinit(&w);

    config = small_config();
    config.groups[0].n_blocks = 10;
    world_init(&w, &config);
    assert_int_equal(add(&w, 40, 1, &err), TRI_E_LIMIT);
    assert_non_null(strstr(err.message, "the cache has 10"));
    assert_int_equal(add(&w, 39, 1, &err), TRI_OK);
    drain(&w);
    world_deinit(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_simulation),
        cmocka_unit_test(test_order_and_chunks),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
