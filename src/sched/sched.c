/* sched.c - a sequence's life:
 *
 *     add -> waiting -> (admit) -> running -> remove
 *               ^                     |
 *               +----- (preempt) -----+     blocks given back, computed from its tokens again
 *
 * Invariants
 *   1  a running sequence has a lane, a waiting one has none; lanes hold the block lists
 *   2  n_computed tokens of a running sequence are in its blocks; a waiting one has none
 *   3  a block is in exactly one of: a pool's free list, one lane's list of that group
 *   4  `running` is in order of admission: the last is the youngest, the first to be preempted
 *   5  a sequence alone always fits (checked by add), so preempting the others always lets the
 *      oldest go on
 *   6  of a step under way, the last token of each sampled sequence is not known: it names the row,
 *      and only the next step may compute it.  Blocks given back meanwhile may be taken at once:
 *      what the step under way still writes comes before what the next one does */
#include "sched/sched.h"

#include <stdlib.h>
#include <string.h>

#include "sched/blocks.h"

typedef struct lane {
    tri_block_list lists[TRI_MAX_GROUPS];
    int32_t slots[TRI_MAX_GROUPS];
} lane;

typedef struct sequence {
    uint64_t id, arrival;
    int32_t *tokens; /* room for prompt and output */
    int32_t n_prompt, n_tokens, n_computed, cap_tokens;
    float priority;
    bool all_rows, used;
    bool awaits; /* its last token is not known yet */
    tri_step_sampling sampling;
    lane *lane; /* NULL: waiting */
} sequence;

typedef struct entry {  /* one sequence's part of the step being made */
    sequence *sequence; /* NULL: removed since */
    int32_t n_query, n_rows;
} entry;

typedef struct flight { /* a row of the step under way */
    sequence *sequence; /* NULL: removed since, or nothing is sampled */
    int32_t token;      /* its place in the sequence */
} flight;

struct tri_sched {
    tri_sched_config config;
    tri_block_pool pools[TRI_MAX_GROUPS];
    int32_t max_blocks[TRI_MAX_GROUPS]; /* of one sequence */
    sequence *sequences;                /* max_batch_size + max_queue_size */
    sequence **waiting, **running;
    int32_t n_sequences, n_waiting, n_running;
    lane *lanes;
    lane **free_lanes;
    int32_t n_free_lanes;
    int32_t *entries_memory; /* of all lanes' block lists */
    entry *entries;
    int32_t n_entries;
    tri_sched_row *rows[2]; /* of the step being made and of the one before, by turns */
    int32_t turn, n_rows;
    flight *flights;
    int32_t n_flights; /* rows of the step under way; -1: none is */
    uint64_t n_added, n_steps;
    int64_t n_preempted;
};

/* ---- create, destroy ---- */

static tri_status check_config(const tri_sched_config *c, tri_error *err) {
    if (c->max_batch_size < 1 || c->max_num_tokens < 1 || c->max_queue_size < 0 ||
        c->max_seq_len < 2 || c->n_groups < 0 || c->n_groups > TRI_MAX_GROUPS) {
        return TRI_FAIL(err, TRI_E_ARGUMENT,
            "max_batch_size %d, max_num_tokens %d, max_seq_len %" PRId64
            ": batch and tokens must be at least 1, the sequence length 2",
            c->max_batch_size, c->max_num_tokens, c->max_seq_len);
    }
    if (c->max_num_tokens < c->max_batch_size) {
        return TRI_FAIL(err, TRI_E_ARGUMENT,
            "max_num_tokens %d is less than max_batch_size %d: each sequence needs a token a step",
            c->max_num_tokens, c->max_batch_size);
    }
    for (int32_t g = 0; g < c->n_groups; g++) {
        const tri_sched_group *group = &c->groups[g];
        if (group->n_blocks < 1 || (!group->recurrent && group->tokens_per_block < 1)) {
            return TRI_FAIL(err, TRI_E_ARGUMENT, "cache group %d: %d blocks of %d tokens", g,
                group->n_blocks, group->tokens_per_block);
        }
        if (group->recurrent && group->n_blocks < c->max_batch_size) {
            return TRI_FAIL(err, TRI_E_ARGUMENT,
                "state group %d: %d slots for max_batch_size %d sequences", g, group->n_blocks,
                c->max_batch_size);
        }
    }
    return TRI_OK;
}

static void *zeroed(size_t n, size_t size) {
    return calloc(n ? n : 1, size);
}

static tri_status init_lanes(tri_sched *s, tri_error *err) {
    const tri_sched_config *c = &s->config;
    int64_t per_lane = 0;
    for (int32_t g = 0; g < c->n_groups; g++) {
        if (c->groups[g].recurrent) continue;
        s->max_blocks[g] = (int32_t)((c->max_seq_len + c->groups[g].tokens_per_block - 1) /
                                     c->groups[g].tokens_per_block);
        per_lane += s->max_blocks[g];
    }
    s->lanes = zeroed((size_t)c->max_batch_size, sizeof(lane));
    s->free_lanes = zeroed((size_t)c->max_batch_size, sizeof(lane *));
    s->entries_memory = zeroed((size_t)per_lane * (size_t)c->max_batch_size, sizeof(int32_t));
    if (!s->lanes || !s->free_lanes || !s->entries_memory) {
        return TRI_FAIL(
            err, TRI_E_MEMORY, "no memory for the block tables of %d sequences", c->max_batch_size);
    }
    int32_t *at = s->entries_memory;
    for (int32_t i = 0; i < c->max_batch_size; i++) {
        for (int32_t g = 0; g < c->n_groups; g++) {
            s->lanes[i].lists[g].entries = at;
            s->lanes[i].slots[g] = TRI_STEP_NO_BLOCK;
            at += s->max_blocks[g];
        }
        s->free_lanes[s->n_free_lanes++] = &s->lanes[c->max_batch_size - 1 - i];
    }
    return TRI_OK;
}

tri_status tri_sched_create(tri_sched **sched, const tri_sched_config *config, tri_error *err) {
    TRI_TRY(check_config(config, err));
    tri_status rc = TRI_OK;
    tri_sched *s = zeroed(1, sizeof *s);
    if (!s) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for a scheduler");
    s->config = *config;
    if (s->config.max_num_rows == 0) s->config.max_num_rows = config->max_batch_size;
    s->n_sequences = config->max_batch_size + config->max_queue_size;
    size_t n = (size_t)s->n_sequences;
    s->sequences = zeroed(n, sizeof(sequence));
    s->waiting = zeroed(n, sizeof(sequence *));
    s->running = zeroed((size_t)config->max_batch_size, sizeof(sequence *));
    s->entries = zeroed((size_t)config->max_batch_size, sizeof(entry));
    size_t n_rows = (size_t)s->config.max_num_rows;
    s->rows[0] = zeroed(n_rows, sizeof(tri_sched_row));
    s->rows[1] = zeroed(n_rows, sizeof(tri_sched_row));
    s->flights = zeroed(n_rows, sizeof(flight));
    s->n_flights = -1;
    if (!s->sequences || !s->waiting || !s->running || !s->entries || !s->rows[0] || !s->rows[1] ||
        !s->flights) {
        rc = TRI_FAIL(err, TRI_E_MEMORY, "no memory for a queue of %d", s->n_sequences);
        goto done;
    }
    for (int32_t g = 0; g < config->n_groups && !rc; g++) {
        rc = tri_block_pool_init(&s->pools[g], config->groups[g].n_blocks, err);
    }
    if (!rc) rc = init_lanes(s, err);
    if (!rc) *sched = s;

done:
    if (rc) tri_sched_destroy(s);
    return rc;
}

void tri_sched_destroy(tri_sched *s) {
    if (!s) return;
    for (int32_t i = 0; s->sequences && i < s->n_sequences; i++)
        free(s->sequences[i].tokens);
    for (int32_t g = 0; g < TRI_MAX_GROUPS; g++)
        tri_block_pool_deinit(&s->pools[g]);
    free(s->sequences);
    free(s->waiting);
    free(s->running);
    free(s->entries);
    free(s->rows[0]);
    free(s->rows[1]);
    free(s->flights);
    free(s->lanes);
    free(s->free_lanes);
    free(s->entries_memory);
    free(s);
}

/* ---- the queue ---- */

static bool goes_before(const sequence *a, const sequence *b) {
    return a->priority != b->priority ? a->priority > b->priority : a->arrival < b->arrival;
}

static void queue_insert(tri_sched *s, sequence *q) {
    int32_t at = s->n_waiting++;
    while (at > 0 && goes_before(q, s->waiting[at - 1])) {
        s->waiting[at] = s->waiting[at - 1];
        at--;
    }
    s->waiting[at] = q;
}

static void list_remove(sequence **list, int32_t *n, const sequence *q) {
    for (int32_t i = 0; i < *n; i++) {
        if (list[i] != q) continue;
        memmove(&list[i], &list[i + 1], sizeof *list * (size_t)(*n - i - 1));
        (*n)--;
        return;
    }
}

/* The most blocks of group g that a sequence of n tokens ever holds: of a sliding group, those the
 * window and one step's tokens can touch. */
static int64_t blocks_at_most(const tri_sched *s, int32_t g, int64_t n_tokens) {
    const tri_sched_group *group = &s->config.groups[g];
    int64_t all = (n_tokens + group->tokens_per_block - 1) / group->tokens_per_block;
    if (group->window == 0) return all;
    int64_t span = (int64_t)group->window + s->config.max_num_tokens;
    int64_t windowed = (span + group->tokens_per_block - 1) / group->tokens_per_block + 1;
    return windowed < all ? windowed : all;
}

tri_status tri_sched_check(const tri_sched *s, const tri_sched_request *r, tri_error *err) {
    if (r->n_tokens < 1 || r->max_tokens < 1) {
        return TRI_FAIL(err, TRI_E_ARGUMENT, "%d prompt tokens, max_tokens %d: both at least 1",
            r->n_tokens, r->max_tokens);
    }
    const tri_sched_config *c = &s->config;
    int64_t total = (int64_t)r->n_tokens + r->max_tokens;
    if (total > c->max_seq_len) {
        return TRI_FAIL(err, TRI_E_LIMIT,
            "prompt of %d tokens and max_tokens %d: %" PRId64 " together, max_seq_len is %" PRId64
            "; shorten the prompt, ask for fewer tokens or raise max_seq_len",
            r->n_tokens, r->max_tokens, total, c->max_seq_len);
    }
    if (!c->chunked_context && r->n_tokens > c->max_num_tokens) {
        return TRI_FAIL(err, TRI_E_LIMIT,
            "prompt of %d tokens, max_num_tokens is %d and chunked context is off", r->n_tokens,
            c->max_num_tokens);
    }
    for (int32_t g = 0; g < c->n_groups; g++) {
        if (c->groups[g].recurrent) continue;
        int64_t need = blocks_at_most(s, g, total);
        if (need > c->groups[g].n_blocks) {
            return TRI_FAIL(err, TRI_E_LIMIT,
                "%" PRId64 " tokens need %" PRId64 " KV blocks of %d tokens, the cache has %d; "
                "raise the KV cache's max_tokens to at least %" PRId64,
                total, need, c->groups[g].tokens_per_block, c->groups[g].n_blocks,
                need * c->groups[g].tokens_per_block);
        }
    }
    return TRI_OK;
}

tri_status tri_sched_add(tri_sched *s, const tri_sched_request *r, tri_error *err) {
    TRI_TRY(tri_sched_check(s, r, err));
    sequence *q = NULL;
    for (int32_t i = 0; i < s->n_sequences && !q; i++) {
        if (!s->sequences[i].used) q = &s->sequences[i];
    }
    if (!q) {
        return TRI_FAIL(err, TRI_E_BUSY,
            "%d requests running and %d waiting, max_queue_size is %d; try again later",
            s->n_running, s->n_waiting, s->config.max_queue_size);
    }
    int32_t cap = r->n_tokens + r->max_tokens;
    int32_t *tokens = malloc(sizeof(int32_t) * (size_t)cap);
    if (!tokens) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for %d tokens", cap);
    memcpy(tokens, r->tokens, sizeof(int32_t) * (size_t)r->n_tokens);
    *q = (sequence){.id = r->id,
        .arrival = s->n_added++,
        .tokens = tokens,
        .n_prompt = r->n_tokens,
        .n_tokens = r->n_tokens,
        .cap_tokens = cap,
        .priority = r->priority,
        .all_rows = r->all_rows,
        .used = true,
        .sampling = r->sampling};
    queue_insert(s, q);
    return TRI_OK;
}

static void release_lane(tri_sched *s, sequence *q) {
    for (int32_t g = 0; g < s->config.n_groups; g++) {
        if (s->config.groups[g].recurrent) {
            tri_block_pool_give(&s->pools[g], q->lane->slots[g]);
        } else {
            tri_block_list_clear(&q->lane->lists[g], &s->pools[g]);
        }
    }
    s->free_lanes[s->n_free_lanes++] = q->lane;
    q->lane = NULL;
    q->n_computed = 0;
}

void tri_sched_remove(tri_sched *s, uint64_t id) {
    for (int32_t i = 0; i < s->n_sequences; i++) {
        sequence *q = &s->sequences[i];
        if (!q->used || q->id != id) continue;
        if (q->lane) {
            list_remove(s->running, &s->n_running, q);
            release_lane(s, q);
        } else {
            list_remove(s->waiting, &s->n_waiting, q);
        }
        for (int32_t e = 0; e < s->n_entries; e++) {
            if (s->entries[e].sequence == q) s->entries[e].sequence = NULL;
        }
        for (int32_t r = 0; r < s->n_flights; r++) {
            if (s->flights[r].sequence == q) s->flights[r].sequence = NULL;
        }
        free(q->tokens);
        *q = (sequence){0};
        return;
    }
}

static void preempt(tri_sched *s, sequence *q) {
    list_remove(s->running, &s->n_running, q);
    release_lane(s, q);
    queue_insert(s, q);
    s->n_preempted++;
}

void tri_sched_recompute(tri_sched *s) {
    while (s->n_running)
        preempt(s, s->running[s->n_running - 1]);
}

static void admit(tri_sched *s, sequence *q) {
    q->lane = s->free_lanes[--s->n_free_lanes];
    for (int32_t g = 0; g < s->config.n_groups; g++) {
        if (s->config.groups[g].recurrent) q->lane->slots[g] = tri_block_pool_take(&s->pools[g]);
    }
    list_remove(s->waiting, &s->n_waiting, q);
    s->running[s->n_running++] = q;
}

/* ---- choosing ---- */

static bool blocks_free_for(const tri_sched *s, const sequence *q, int64_t end) {
    for (int32_t g = 0; g < s->config.n_groups; g++) {
        const tri_sched_group *group = &s->config.groups[g];
        if (group->recurrent) continue;
        if (tri_block_list_missing(&q->lane->lists[g], group->tokens_per_block, end) >
            s->pools[g].n_free) {
            return false;
        }
    }
    return true;
}

/* Blocks that fell out of every window go back before new ones are taken. */
static void trim_windows(tri_sched *s, sequence *q) {
    for (int32_t g = 0; g < s->config.n_groups; g++) {
        const tri_sched_group *group = &s->config.groups[g];
        if (group->recurrent || group->window == 0) continue;
        int64_t first = (int64_t)q->n_computed - group->window + 1;
        if (first > 0) {
            tri_block_list_trim(&q->lane->lists[g], &s->pools[g], group->tokens_per_block, first);
        }
    }
}

static bool is_scheduled(const tri_sched *s, const sequence *q) {
    for (int32_t i = 0; i < s->n_entries; i++) {
        if (s->entries[i].sequence == q) return true;
    }
    return false;
}

/* Maps positions [0, end) of q, preempting the youngest that is not yet in this step.  False: q
 * itself had to wait. */
static bool map_blocks(tri_sched *s, sequence *q, int64_t end, bool may_preempt) {
    trim_windows(s, q);
    while (!blocks_free_for(s, q, end)) {
        if (!may_preempt) return false;
        int32_t i = s->n_running - 1;
        while (i >= 0 && (s->running[i] == q || is_scheduled(s, s->running[i])))
            i--;
        if (i < 0) return false;
        preempt(s, s->running[i]);
    }
    for (int32_t g = 0; g < s->config.n_groups; g++) {
        const tri_sched_group *group = &s->config.groups[g];
        if (group->recurrent) continue;
        tri_block_list_grow(&q->lane->lists[g], &s->pools[g], group->tokens_per_block, end);
    }
    return true;
}

typedef struct budget {
    int32_t tokens, rows;
} budget;

/* How many tokens of q go into a step with this budget, and how many rows that wants. */
static int32_t query_tokens(const tri_sched *s, const sequence *q, budget b, int32_t *n_rows) {
    int32_t left = q->n_tokens - q->n_computed;
    if (q->awaits && (left > 1 || q->n_tokens == q->cap_tokens)) return 0;
    int32_t n = left < b.tokens ? left : b.tokens;
    if (n < left && !s->config.chunked_context) return 0;
    if (q->all_rows && q->n_computed < q->n_prompt) {
        n = n < b.rows ? n : b.rows;
        *n_rows = n;
    } else {
        *n_rows = n == left ? 1 : 0;
        if (*n_rows > b.rows) return 0;
    }
    return n;
}

static bool schedule(tri_sched *s, sequence *q, budget *b, bool may_preempt) {
    int32_t n_rows = 0;
    int32_t n = query_tokens(s, q, *b, &n_rows);
    if (n < 1 || !map_blocks(s, q, (int64_t)q->n_computed + n, may_preempt)) return false;
    s->entries[s->n_entries++] = (entry){.sequence = q, .n_query = n, .n_rows = n_rows};
    b->tokens -= n;
    b->rows -= n_rows;
    return true;
}

static void choose(tri_sched *s) {
    budget b = {s->config.max_num_tokens, s->config.max_num_rows};
    s->n_entries = 0;
    /* Decodes first, oldest first: prompts never hold them up.  Scheduling may preempt the
     * youngest, so that the list shrinks from its end while it is walked. */
    for (int32_t decode = 1; decode >= 0; decode--) {
        for (int32_t i = 0; i < s->n_running && b.tokens > 0; i++) {
            sequence *q = s->running[i];
            bool decodes = q->n_tokens - q->n_computed == 1;
            if (decodes != (decode == 1) || is_scheduled(s, q)) continue;
            schedule(s, q, &b, true);
        }
    }
    /* New ones in order; the first that does not fit holds back those behind it.  They never
     * preempt. */
    while (s->n_waiting && s->n_free_lanes && b.tokens > 0 && b.rows > 0) {
        sequence *q = s->waiting[0];
        admit(s, q);
        if (!schedule(s, q, &b, false)) {
            preempt(s, q);
            s->n_preempted--;
            break;
        }
    }
}

/* ---- writing the step ---- */

static int32_t *i32_at(tri_step *step, uint32_t offset) {
    return (int32_t *)(void *)((uint8_t *)step + offset);
}

static void write_rows(
    tri_sched *s, tri_step *step, const entry *e, int32_t sequence_index, int32_t first_token) {
    const sequence *q = e->sequence;
    int32_t *rows = i32_at(step, step->rows);
    tri_sched_row *own = s->rows[s->turn];
    tri_step_sampling *sampling = (tri_step_sampling *)(void *)((uint8_t *)step + step->sampling);
    for (int32_t i = 0; i < e->n_rows; i++) {
        int32_t token = e->n_query - e->n_rows + i;
        int32_t position = q->n_computed + token;
        rows[s->n_rows] = first_token + token;
        sampling[s->n_rows] = q->sampling;
        sampling[s->n_rows].sequence = sequence_index;
        sampling[s->n_rows].counter = (uint64_t)position + 1;
        own[s->n_rows] = (tri_sched_row){
            .id = q->id, .position = position, .sampled = position + 1 == q->n_tokens};
        s->n_rows++;
    }
}

static void write_sequence(tri_sched *s, tri_step *step, int32_t index, int32_t first_token) {
    const entry *e = &s->entries[index];
    const sequence *q = e->sequence;
    memcpy(i32_at(step, step->tokens) + first_token, q->tokens + q->n_computed,
        sizeof(int32_t) * (size_t)e->n_query);
    for (int32_t axis = 0; axis < step->n_position_axes; axis++) {
        int32_t *positions = i32_at(step, step->positions) + (int64_t)axis * step->n_tokens;
        for (int32_t i = 0; i < e->n_query; i++)
            positions[first_token + i] = q->n_computed + i;
    }
    i32_at(step, step->cu_seqlens)[index] = first_token;
    i32_at(step, step->context_lens)[index] = q->n_computed + e->n_query;
    i32_at(step, step->prompt_lens)[index] = q->n_prompt;
    i32_at(step, step->adapter_ids)[index] = -1;
    for (int32_t g = 0; g < s->config.n_groups; g++) {
        const tri_step_group *group = &step->groups[g];
        if (s->config.groups[g].recurrent) {
            i32_at(step, group->state_slots)[index] = q->lane->slots[g];
        } else {
            const tri_block_list *list = &q->lane->lists[g];
            memcpy(i32_at(step, group->block_tables) + (int64_t)index * group->max_blocks,
                list->entries, sizeof(int32_t) * (size_t)list->n_entries);
        }
    }
    write_rows(s, step, e, index, first_token);
}

/* Few different widths, since a device keeps what it made for one: the next power of two. */
static int32_t table_width(int32_t n, int32_t most) {
    enum { LEAST = 16 };
    int32_t width = LEAST;
    if (n == 0) return 0;
    while (width < n && width < most)
        width *= 2;
    return width < most ? width : most;
}

tri_status tri_sched_next(tri_sched *s, void *memory, int64_t capacity_bytes, tri_step **step,
    const tri_sched_row **rows, tri_error *err) {
    choose(s);
    s->turn = 1 - s->turn;
    s->n_rows = 0;
    if (!s->n_entries) {
        *step = NULL;
        return TRI_OK;
    }
    tri_step_shape shape = {
        .n_sequences = s->n_entries, .n_groups = s->config.n_groups, .n_position_axes = 1};
    for (int32_t i = 0; i < s->n_entries; i++) {
        shape.n_tokens += s->entries[i].n_query;
        shape.n_rows += s->entries[i].n_rows;
        for (int32_t g = 0; g < s->config.n_groups; g++) {
            int32_t n = s->entries[i].sequence->lane->lists[g].n_entries;
            if (n > shape.max_blocks[g]) shape.max_blocks[g] = n;
        }
    }
    for (int32_t g = 0; g < s->config.n_groups; g++)
        shape.max_blocks[g] = table_width(shape.max_blocks[g], s->max_blocks[g]);
    if (tri_step_bytes(&shape) > capacity_bytes) {
        return TRI_FAIL(err, TRI_E_INTERNAL, "a step of %" PRId64 " bytes, room for %" PRId64,
            tri_step_bytes(&shape), capacity_bytes);
    }
    tri_step *out = tri_step_init(memory, capacity_bytes, &shape);
    out->id = ++s->n_steps;
    out->n_rows_before = s->n_flights > 0 ? s->n_flights : 0;
    int32_t first_token = 0;
    for (int32_t i = 0; i < s->n_entries; i++) {
        write_sequence(s, out, i, first_token);
        first_token += s->entries[i].n_query;
    }
    i32_at(out, out->cu_seqlens)[s->n_entries] = first_token;
    *step = out;
    *rows = s->rows[s->turn];
    return TRI_OK;
}

uint64_t tri_sched_sequence_id(const tri_sched *s, int32_t index) {
    TRI_ASSERT(index >= 0 && index < s->n_entries);
    return s->entries[index].sequence ? s->entries[index].sequence->id : 0;
}

void tri_sched_submitted(tri_sched *s) {
    const tri_sched_row *rows = s->rows[s->turn];
    TRI_ASSERT(s->n_flights < 0);
    s->n_flights = s->n_rows;
    int32_t row = 0;
    for (int32_t i = 0; i < s->n_entries; i++) {
        const entry *e = &s->entries[i];
        sequence *q = e->sequence;
        for (int32_t k = 0; k < e->n_rows; k++)
            s->flights[row + k] = (flight){0};
        row += e->n_rows;
        if (!q || !q->lane) continue;
        q->n_computed += e->n_query;
        bool sampled = e->n_rows && rows[row - 1].sampled;
        if (!sampled || q->n_tokens == q->cap_tokens) continue;
        s->flights[row - 1] = (flight){.sequence = q, .token = q->n_tokens};
        q->tokens[q->n_tokens++] = tri_step_token_of_row(row - 1);
        q->awaits = true;
    }
    s->n_entries = 0;
}

void tri_sched_done(tri_sched *s, const int32_t *tokens) {
    if (s->n_flights < 0) tri_sched_submitted(s);
    for (int32_t r = 0; r < s->n_flights; r++) {
        sequence *q = s->flights[r].sequence;
        if (!q) continue;
        q->tokens[s->flights[r].token] = tokens[r];
        q->awaits = false;
    }
    s->n_flights = -1;
}

void tri_sched_get_stats(const tri_sched *s, tri_sched_stats *stats) {
    *stats = (tri_sched_stats){
        .n_running = s->n_running, .n_waiting = s->n_waiting, .n_preempted = s->n_preempted};
    for (int32_t g = 0; g < s->config.n_groups; g++) {
        stats->blocks_used[g] = s->pools[g].n_blocks - s->pools[g].n_free;
    }
}
