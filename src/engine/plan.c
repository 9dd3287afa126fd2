#include "engine/plan.h"

#include <stdlib.h>
#include <string.h>

#include "engine/bind.h"
#include "engine/code.h"
#include "engine/dummy.h"

enum { MAX_ROWS = 1 << 20, MAX_TOKENS = 1 << 24, MASK_BITS = 32 };

/* One list of launches, captured. */
typedef struct plan_list {
    tri_bound bound;
    tri_capture *capture;
    int64_t *nanoseconds; /* by launch, when profiling */
} plan_list;

struct tri_plan {
    tri_engine *engine;
    tri_rank *rank;
    int32_t rank_index;
    tri_device *device;
    tri_comm *comm;
    tri_plan_limits limits;
    tri_step_shape shape; /* of the largest step */
    int32_t vocab_size;
    tri_arena arena;
    plan_list forward, sample; /* sample: only of a rank with logits */
    bool has_sample;
    void *workspace;
    uint8_t *group_memory[TRI_MAX_GROUPS]; /* by the rank's own number */
    uint32_t *masks;
    int32_t n_mask_slots;
    tri_weight_set *weights;
    void **placed; /* the weights on the device, by stored tensor */
    int64_t generation;
    int32_t n_in_flight;
    float *host_logits; /* when the graph's are elsewhere, or not dense */
    bool has_host_logits;
    tri_plugin_tensor logits, tokens, logprobs;
    tri_plugin_extents extents; /* of the last submitted step */
};

/* ---- limits ---- */

static tri_status check_limits(const tri_engine *e, const tri_plan_limits *l, tri_error *err) {
    if (l->max_tokens < 1 || l->max_tokens > MAX_TOKENS || l->max_sequences < 1 ||
        l->max_sequences > MAX_ROWS || l->max_rows < 1 || l->max_rows > MAX_ROWS ||
        l->max_seq_len < 1 || l->max_seq_len > INT32_MAX)
        return TRI_FAIL(err, TRI_E_ARGUMENT,
            "limits are %" PRId32 " tokens (1 to %d), %" PRId32 " sequences and %" PRId32
            " rows (1 to %d), %" PRId64 " tokens a sequence",
            l->max_tokens, MAX_TOKENS, l->max_sequences, l->max_rows, MAX_ROWS, l->max_seq_len);
    for (int32_t g = 0; g < e->n_groups; g++) {
        if (l->n_blocks[g] < 1)
            return TRI_FAIL(err, TRI_E_ARGUMENT, "group %" PRId32 " is given %" PRId32 " %s", g,
                l->n_blocks[g], e->groups[g].recurrent ? "slots" : "blocks");
    }
    return TRI_OK;
}

static tri_step_shape largest_step(const tri_engine *e, const tri_plan_limits *l) {
    tri_step_shape shape = {.n_tokens = l->max_tokens,
        .n_sequences = l->max_sequences,
        .n_rows = l->max_rows,
        .n_groups = e->n_groups,
        .n_position_axes = 1};
    for (int32_t g = 0; g < e->n_groups; g++) {
        const tri_plan_group *group = &e->groups[g];
        if (group->recurrent) continue;
        shape.max_blocks[g] =
            (int32_t)((l->max_seq_len + group->tokens_per_block - 1) / group->tokens_per_block);
    }
    return shape;
}

const tri_plan_limits *tri_plan_get_limits(const tri_plan *plan) {
    return &plan->limits;
}

tri_step_shape tri_plan_step_shape(const tri_plan *plan) {
    return plan->shape;
}

/* ---- memory ---- */

static tri_status reserve(
    tri_plan *p, const char *what, int64_t n_bytes, void **memory, tri_error *err) {
    tri_status rc = TRI_OK;
    if (n_bytes < 0)
        rc = TRI_FAIL(err, TRI_E_LIMIT, "more than 2^63 bytes");
    else
        rc = tri_device_alloc(p->device, n_bytes > 0 ? n_bytes : 1, memory, err);
    if (rc) tri_error_context(err, "%s", what);
    return rc;
}

static tri_status reserve_groups(tri_plan *p, const tri_graph *g, int32_t first, tri_error *err) {
    for (int32_t i = first; i < g->n_groups; i++) {
        int32_t group = p->engine->group_of[p->rank_index * TRI_MAX_GROUPS + i];
        int64_t n = tri_group_memory_bytes(g, i, p->limits.n_blocks[group]);
        void *memory;
        TRI_TRY(reserve(p, "caches", n, &memory, err));
        p->group_memory[i] = memory;
    }
    return TRI_OK;
}

static tri_status reserve_masks(tri_plan *p, tri_error *err) {
    int64_t words = ((int64_t)p->vocab_size + MASK_BITS - 1) / MASK_BITS;
    void *memory;
    p->n_mask_slots =
        p->limits.max_rows > p->limits.max_sequences ? p->limits.max_rows : p->limits.max_sequences;
    int64_t n_bytes = words * p->n_mask_slots * (int64_t)sizeof *p->masks;
    TRI_TRY(tri_device_alloc_shared(p->device, n_bytes, &memory, err));
    p->masks = memory;
    return TRI_OK;
}

/* Tokens and their logprobs, which the host gets after each step and the next step may take from
 * here. */
static tri_status reserve_results(tri_plan *p, tri_error *err) {
    enum { ALIGN = 64 };
    tri_bound *sample = &p->sample.bound;
    int64_t n_bytes = (p->limits.max_rows * (int64_t)sizeof(float) + ALIGN - 1) / ALIGN * ALIGN;
    void *memory;
    TRI_TRY(reserve(p, "results", n_bytes * p->rank->sample->n_outputs, &memory, err));
    sample->results = memory;
    sample->result_bytes = n_bytes;
    return TRI_OK;
}

/* ---- weights ---- */

/* One copy of each on the device, or where they are mapped. */
static tri_status place_weights(tri_plan *p, const tri_weight_set *set, tri_error *err) {
    const tri_rank *r = p->rank;
    p->placed = TRI_NEW_N(&p->arena, void *, r->n_stored + 1);
    if (!p->placed) return TRI_FAIL(err, TRI_E_MEMORY, "weights: out of memory");
    for (int32_t i = 0; i < r->n_stored; i++) {
        tri_status rc =
            tri_device_adopt(p->device, set->data[i], r->stored_bytes[i], &p->placed[i], err);
        if (rc) {
            tri_error_context(err, "%s", r->stored[i].name);
            return rc;
        }
    }
    return TRI_OK;
}

/* Others in their place: addresses change only where weights are used where they are mapped. */
static tri_status replace_weights(tri_plan *p, const tri_weight_set *set, tri_error *err) {
    const tri_rank *r = p->rank;
    for (int32_t i = 0; i < r->n_stored; i++) {
        if (tri_device_is_host(p->device))
            TRI_TRY(
                tri_device_adopt(p->device, set->data[i], r->stored_bytes[i], &p->placed[i], err));
        else
            TRI_TRY(
                tri_device_upload(p->device, p->placed[i], set->data[i], r->stored_bytes[i], err));
    }
    tri_bind_weights(&p->forward.bound, p->placed);
    return TRI_OK;
}

static void release_weights(tri_plan *p) {
    for (int32_t i = 0; p->placed && i < p->rank->n_stored; i++)
        tri_device_release(p->device, p->placed[i]);
}

/* ---- making ---- */

static tri_binding binding_of(tri_plan *p) {
    return (tri_binding){.engine = p->engine,
        .rank = p->rank_index,
        .device = p->device,
        .limits = &p->limits,
        .arena = &p->arena,
        .weights = p->placed,
        .sampled =
            p->sample.bound.results ? tri_bound_output(&p->sample.bound, "tokens").data : NULL,
        .group_memory = p->group_memory};
}

static tri_status measure(tri_plan *p, tri_error *err) {
    const tri_rank *r = p->rank;
    tri_binding b = binding_of(p);
    TRI_TRY(tri_bind_measure(&p->forward.bound, &b, r->graph, r->forward, r->n_forward, err));
    int64_t workspace = p->forward.bound.workspace_bytes;
    if (p->has_sample) {
        TRI_TRY(tri_bind_measure(&p->sample.bound, &b, r->sample, r->sampling, r->n_sampling, err));
        if (p->sample.bound.workspace_bytes > workspace)
            workspace = p->sample.bound.workspace_bytes;
    }
    void *memory;
    TRI_TRY(reserve(p, "workspace", workspace, &p->workspace, err));
    TRI_TRY(reserve(p, "activations", p->forward.bound.memory_plan.total_bytes, &memory, err));
    p->forward.bound.memory = memory;
    TRI_TRY(reserve_groups(p, r->graph, 0, err));
    if (!p->has_sample) return TRI_OK;
    TRI_TRY(reserve(p, "sampling", p->sample.bound.memory_plan.total_bytes, &memory, err));
    p->sample.bound.memory = memory;
    TRI_TRY(reserve_groups(p, r->sample, r->graph->n_groups, err));
    TRI_TRY(reserve_results(p, err));
    return reserve_masks(p, err);
}

static tri_status capture(tri_plan *p, plan_list *list, tri_error *err) {
    const tri_launch_list launches = {.launches = list->bound.launches,
        .n_launches = list->bound.n_launches,
        .workspace = p->workspace,
        .comm = p->comm,
        .max_step_bytes = tri_step_bytes(&p->shape),
        .masks = p->masks,
        .n_mask_slots = p->masks ? p->n_mask_slots : 0,
        .mask_stride_words = ((int64_t)p->vocab_size + MASK_BITS - 1) / MASK_BITS,
        .results = list->bound.results,
        .n_result_bytes =
            list->bound.results ? list->bound.result_bytes * list->bound.g->n_outputs : 0};
    tri_capture *made = NULL;
    TRI_TRY(tri_device_capture(p->device, &launches, &made, err));
    tri_capture_destroy(list->capture);
    list->capture = made;
    if (list->nanoseconds) tri_device_set_profile(made, list->nanoseconds);
    return TRI_OK;
}

static tri_status bind_sample(tri_plan *p, tri_error *err) {
    tri_binding b = binding_of(p);
    p->logits = tri_bound_output(&p->forward.bound, "logits");
    b.logits = p->logits.data;
    b.logits_stride_bytes = p->logits.row_stride_bytes;
    TRI_TRY(tri_bind(&p->sample.bound, &b, p->rank->sampling, p->rank->n_sampling, err));
    p->tokens = tri_bound_output(&p->sample.bound, "tokens");
    p->logprobs = tri_bound_output(&p->sample.bound, "logprobs");
    return TRI_OK;
}

/* ---- code ---- */

static tri_status add_code(tri_code *code, const tri_bound *bound, tri_error *err) {
    for (int32_t i = 0; i < bound->n_launches; i++) {
        const tri_launch *l = &bound->launches[i];
        TRI_TRY(tri_code_add(code, l->kernel, l->state, err));
    }
    return TRI_OK;
}

/* Machine code of all launches onto a GPU: the engine's own where it is trusted, the cache's, or
 * compiled now on all cores. */
static tri_status load_code(tri_plan *p, tri_error *err) {
    const tri_plugin_device *facts = tri_device_facts(p->device);
    if (strcmp(facts->kind, "cuda") != 0) return TRI_OK;
    tri_team *team = NULL;
    tri_code code;
    tri_code_init(&code, facts->arch);
    tri_status rc = add_code(&code, &p->forward.bound, err);
    if (!rc && p->has_sample) rc = add_code(&code, &p->sample.bound, err);
    if (!rc) rc = tri_team_create(&team, 0, err);
    if (!rc && p->engine->trust_code && p->rank->has_file) tri_code_take(&code, &p->rank->file);
    if (!rc) rc = tri_code_make(&code, p->engine->code_dir, team, err);
    if (!rc) rc = tri_code_load(&code, p->device, err);
    tri_team_destroy(team);
    tri_code_deinit(&code);
    return rc;
}

/* ---- all of it ---- */

static tri_status make(tri_plan *p, tri_error *err) {
    tri_binding b;
    p->weights = tri_engine_take_weights(p->engine, p->rank_index, &p->generation);
    if (p->rank->n_stored > 0 && !p->weights->data[0] && !p->engine->dummy_weights)
        return TRI_FAIL(err, TRI_E_ARGUMENT,
            "its weights were left out (strip_plan): fill them in with trireme refit");
    if (p->rank->has_file)
        tri_file_map_will_need(&p->rank->file.file.map, 0, p->rank->file.file.map.n_bytes);
    TRI_TRY(place_weights(p, p->weights, err));
    TRI_TRY(measure(p, err));
    b = binding_of(p);
    TRI_TRY(tri_bind(&p->forward.bound, &b, p->rank->forward, p->rank->n_forward, err));
    if (p->has_sample) TRI_TRY(bind_sample(p, err));
    TRI_TRY(load_code(p, err));
    TRI_TRY(capture(p, &p->forward, err));
    return p->has_sample ? capture(p, &p->sample, err) : TRI_OK;
}

tri_status tri_engine_device(tri_device **device, const tri_engine *engine, int32_t rank,
    int32_t n_threads, tri_error *err) {
    const tri_device_options options = {.kind = engine->null_device ? "null" : engine->target.kind,
        .n_threads = n_threads,
        .isa = strcmp(engine->target.kind, "cuda") == 0 ? NULL : tri_isa_shown(engine->target.arch),
        .index = rank};
    return tri_device_create(device, &options, err);
}

tri_status tri_plan_create(tri_plan **plan, tri_engine *engine, int32_t rank, tri_device *device,
    tri_comm *comm, const tri_plan_limits *limits, tri_error *err) {
    if (rank < 0 || rank >= engine->n_ranks)
        return TRI_FAIL(err, TRI_E_ARGUMENT, "rank %" PRId32 " of an engine of %" PRId32, rank,
            engine->n_ranks);
    TRI_TRY(check_limits(engine, limits, err));
    if (!comm && engine->n_ranks > 1)
        return TRI_FAIL(err, TRI_E_ARGUMENT, "%" PRId32 " ranks need a tri_comm", engine->n_ranks);
    tri_plan *p = calloc(1, sizeof *p);
    if (!p) return TRI_FAIL(err, TRI_E_MEMORY, "plan: out of memory");
    tri_arena_init(&p->arena, 0);
    p->engine = engine;
    p->rank = &engine->ranks[rank];
    p->rank_index = rank;
    p->device = device;
    p->comm = comm;
    p->limits = *limits;
    p->shape = largest_step(engine, limits);
    p->has_sample = p->rank->sample != NULL;
    tri_engine_info info;
    tri_engine_get_info(engine, &info);
    p->vocab_size = info.vocab_size;
    tri_status rc = make(p, err);
    if (rc) {
        tri_error_context(err, "plan");
        tri_plan_destroy(p);
    } else {
        *plan = p;
    }
    return rc;
}

static void list_deinit(tri_plan *p, plan_list *list) {
    tri_capture_destroy(list->capture);
    tri_bound_deinit(&list->bound);
    if (list->bound.memory) tri_device_free(p->device, list->bound.memory);
    free(list->nanoseconds);
}

void tri_plan_destroy(tri_plan *plan) {
    if (!plan) return;
    list_deinit(plan, &plan->forward);
    list_deinit(plan, &plan->sample);
    for (int32_t i = 0; i < TRI_MAX_GROUPS; i++)
        tri_device_free(plan->device, plan->group_memory[i]);
    tri_device_free(plan->device, plan->workspace);
    tri_device_free(plan->device, plan->masks);
    tri_device_free(plan->device, plan->sample.bound.results);
    release_weights(plan);
    tri_weight_set_unref(plan->engine, plan->weights);
    free(plan->host_logits);
    tri_arena_deinit(&plan->arena);
    free(plan);
}

/* ---- running ---- */

static tri_status check_step(const tri_plan *p, const tri_step *step, tri_error *err) {
    if (step->n_rows_before > 0 && (!p->has_sample || step->n_rows_before > p->extents.n_rows))
        return TRI_FAIL(err, TRI_E_ARGUMENT,
            "the step takes tokens from %" PRId32 " rows of the one before, which had %" PRId32,
            step->n_rows_before, p->has_sample ? p->extents.n_rows : 0);
    if (step->n_tokens > p->limits.max_tokens || step->n_sequences > p->limits.max_sequences ||
        step->n_rows > p->limits.max_rows || step->n_groups != p->engine->n_groups)
        return TRI_FAIL(err, TRI_E_LIMIT,
            "a step of %" PRId32 " tokens, %" PRId32 " sequences, %" PRId32 " rows, %" PRId32
            " groups; the plan is for %" PRId32 ", %" PRId32 ", %" PRId32 ", %" PRId32,
            step->n_tokens, step->n_sequences, step->n_rows, step->n_groups, p->limits.max_tokens,
            p->limits.max_sequences, p->limits.max_rows, p->engine->n_groups);
    return tri_step_check(step, step->n_bytes, p->vocab_size, p->limits.n_blocks, err);
}

static void note_extents(tri_plan *p, const tri_step *step) {
    const int32_t *context = TRI_STEP_I32(step, context_lens);
    p->extents = (tri_plugin_extents){
        .n_tokens = step->n_tokens, .n_sequences = step->n_sequences, .n_rows = step->n_rows};
    for (int32_t s = 0; s < step->n_sequences; s++)
        p->extents.n_context_tokens += context[s];
}

tri_status tri_plan_submit(tri_plan *plan, const tri_step *step, tri_error *err) {
    TRI_TRY(check_step(plan, step, err));
    TRI_TRY(tri_device_submit(plan->forward.capture, step, err));
    if (plan->has_sample) {
        tri_status rc = tri_device_submit(plan->sample.capture, step, err);
        if (rc) {
            tri_device_complete(plan->forward.capture, NULL);
            return rc;
        }
    }
    note_extents(plan, step);
    plan->n_in_flight++;
    return TRI_OK;
}

tri_status tri_plan_complete(tri_plan *plan, tri_error *err) {
    if (plan->n_in_flight == 0)
        return TRI_FAIL(err, TRI_E_ARGUMENT, "complete without a submitted step");
    plan->n_in_flight--;
    tri_status rc = tri_device_complete(plan->forward.capture, err);
    if (plan->has_sample) {
        tri_status sampled = tri_device_complete(plan->sample.capture, rc ? NULL : err);
        if (!rc) rc = sampled;
    }
    plan->has_host_logits = false;
    return rc;
}

/* The host's copy of a result. */
static const void *result_of(const tri_plan *p, const tri_plugin_tensor *result) {
    const uint8_t *host = tri_capture_results(p->sample.capture);
    return host + ((const uint8_t *)result->data - p->sample.bound.results);
}

const int32_t *tri_plan_tokens(const tri_plan *plan) {
    return result_of(plan, &plan->tokens);
}

const float *tri_plan_logprobs(const tri_plan *plan) {
    return result_of(plan, &plan->logprobs);
}

/* Row by row where they lie apart. */
static tri_status gather_logits(tri_plan *p, tri_error *err) {
    int64_t row_bytes = p->vocab_size * (int64_t)sizeof(float);
    int64_t n_rows = p->extents.n_rows;
    if (!p->host_logits) {
        p->host_logits =
            calloc((size_t)p->limits.max_rows * (size_t)p->vocab_size, sizeof *p->host_logits);
        if (!p->host_logits) return TRI_FAIL(err, TRI_E_MEMORY, "logits: out of memory");
    }
    if (p->logits.row_stride_bytes == row_bytes)
        return tri_device_download(
            p->device, p->host_logits, p->logits.data, n_rows * row_bytes, err);
    for (int64_t r = 0; r < n_rows; r++) {
        const uint8_t *from = (const uint8_t *)p->logits.data + r * p->logits.row_stride_bytes;
        TRI_TRY(tri_device_download(
            p->device, p->host_logits + r * p->vocab_size, from, row_bytes, err));
    }
    return TRI_OK;
}

tri_status tri_plan_read_logits(tri_plan *plan, const float **logits, tri_error *err) {
    bool dense = plan->logits.row_stride_bytes == plan->vocab_size * (int64_t)sizeof(float);
    if (dense && tri_device_is_host(plan->device)) {
        *logits = plan->logits.data;
        return TRI_OK;
    }
    if (!plan->has_host_logits) TRI_TRY(gather_logits(plan, err));
    plan->has_host_logits = true;
    *logits = plan->host_logits;
    return TRI_OK;
}

uint32_t *tri_plan_mask(tri_plan *plan, int32_t slot) {
    TRI_ASSERT(plan->masks && slot >= 0 && slot < plan->n_mask_slots);
    return plan->masks + slot * (((int64_t)plan->vocab_size + MASK_BITS - 1) / MASK_BITS);
}

/* ---- refit ---- */

bool tri_plan_refit_waits(const tri_plan *plan) {
    tri_engine *e = plan->engine;
    pthread_mutex_lock(&e->lock);
    bool waits = e->weights[plan->rank_index] != plan->weights;
    pthread_mutex_unlock(&e->lock);
    return waits;
}

tri_status tri_plan_take_refit(tri_plan *plan, bool *changed, tri_error *err) {
    int64_t generation;
    tri_weight_set *old = plan->weights;
    TRI_ASSERT(plan->n_in_flight == 0);
    tri_weight_set *set = tri_engine_take_weights(plan->engine, plan->rank_index, &generation);
    if (set == old) {
        tri_weight_set_unref(plan->engine, set);
        *changed = false;
        return TRI_OK;
    }
    tri_status rc = replace_weights(plan, set, err);
    if (!rc && tri_device_is_host(plan->device)) rc = capture(plan, &plan->forward, err);
    if (rc) {
        replace_weights(plan, old, NULL);
        tri_weight_set_unref(plan->engine, set);
        return rc;
    }
    plan->weights = set;
    plan->generation = generation;
    tri_weight_set_unref(plan->engine, old);
    *changed = true;
    return TRI_OK;
}

tri_status tri_plans_take_refit(
    tri_plan *const *plans, int32_t n_plans, bool *changed, tri_error *err) {
    tri_status rc = TRI_OK;
    *changed = false;
    if (n_plans == 0) return TRI_OK;
    pthread_mutex_lock(&plans[0]->engine->taking);
    for (int32_t i = 0; i < n_plans && !rc; i++) {
        bool one = false;
        rc = tri_plan_take_refit(plans[i], &one, err);
        *changed |= one;
    }
    pthread_mutex_unlock(&plans[0]->engine->taking);
    return rc;
}

/* ---- profiles ---- */

static const plan_list *list_of(const tri_plan *p, int32_t *i) {
    int32_t n = p->forward.bound.n_launches;
    if (*i < n) return &p->forward;
    *i -= n;
    return &p->sample;
}

int32_t tri_plan_n_launches(const tri_plan *plan) {
    return plan->forward.bound.n_launches + (plan->has_sample ? plan->sample.bound.n_launches : 0);
}

void tri_plan_get_launch(const tri_plan *plan, int32_t i, tri_plan_launch_info *info) {
    TRI_ASSERT(i >= 0 && i < tri_plan_n_launches(plan));
    const plan_list *list = list_of(plan, &i);
    const tri_launch *l = &list->bound.launches[i];
    const tri_plugin_desc *desc = list->bound.descs[i];
    tri_plugin_cost cost = {0};
    if (desc && l->kernel->cost) l->kernel->cost(desc, &plan->extents, &cost);
    *info = (tri_plan_launch_info){.name = l->name,
        .kernel = l->kernel->name,
        .bytes = cost.bytes,
        .flops = cost.flops,
        .nanoseconds = list->nanoseconds ? list->nanoseconds[i] : 0};
}

static void profile(plan_list *list, bool on) {
    if (!list->capture) return;
    tri_device_set_profile(list->capture, NULL);
    free(list->nanoseconds);
    list->nanoseconds = NULL;
    if (on) list->nanoseconds = calloc((size_t)list->bound.n_launches + 1, sizeof(int64_t));
    tri_device_set_profile(list->capture, list->nanoseconds);
}

void tri_plan_set_profile(tri_plan *plan, bool on) {
    profile(&plan->forward, on);
    profile(&plan->sample, on);
}
