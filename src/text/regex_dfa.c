#include "text/regex_dfa.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_TABLE_BYTES = 8 << 20, FIRST_STATES = 16, MAX_THREADS = 2 << 20 };

typedef struct tri_dfa_thread {
    int32_t at;
    int32_t loop; /* whose next iteration this has begun without reading since, or -1 */
} tri_dfa_thread;

static void drop(tri_dfa *dfa) {
    dfa->n_states = 1;
    dfa->n_threads = 0;
    memset(dfa->slots, 0, (size_t)dfa->n_slots * sizeof *dfa->slots);
    memset(dfa->starts, 0, sizeof dfa->starts);
    dfa->n_drops++;
}

tri_status tri_dfa_init(tri_dfa *dfa, const tri_program *program, const tri_symbols *symbols,
    int32_t look_bits, tri_error *err) {
    uint32_t stride = (uint32_t)(symbols->n + 1) << look_bits;
    size_t n = (size_t)program->n;
    *dfa = (tri_dfa){.program = program,
        .symbols = symbols,
        .look_bits = look_bits,
        .stride = stride,
        .n_states = 1,
        .cap_states = FIRST_STATES,
        .max_states = (int32_t)(MAX_TABLE_BYTES / (stride * sizeof(uint32_t))),
        .cap_threads = 2 * program->n + 64,
        .n_slots = 4 * FIRST_STATES};
    dfa->table = malloc((size_t)FIRST_STATES * stride * sizeof *dfa->table);
    dfa->states = calloc(FIRST_STATES, sizeof *dfa->states);
    dfa->threads = malloc((size_t)dfa->cap_threads * sizeof *dfa->threads);
    dfa->slots = calloc((size_t)dfa->n_slots, sizeof *dfa->slots);
    dfa->stack = malloc((4 * n + 1) * sizeof *dfa->stack);
    dfa->list = malloc((n + 1) * sizeof *dfa->list);
    dfa->seen = calloc(n, sizeof *dfa->seen);
    dfa->seen_again = calloc(n, sizeof *dfa->seen_again);
    dfa->listed = calloc(n, sizeof *dfa->listed);
    if (!dfa->table || !dfa->states || !dfa->threads || !dfa->slots || !dfa->stack || !dfa->list ||
        !dfa->seen || !dfa->seen_again || !dfa->listed) {
        tri_dfa_deinit(dfa);
        return TRI_FAIL(err, TRI_E_MEMORY, "no memory for a regular expression's automaton");
    }
    return TRI_OK;
}

void tri_dfa_deinit(tri_dfa *dfa) {
    free(dfa->table);
    free(dfa->states);
    free(dfa->threads);
    free(dfa->slots);
    free(dfa->stack);
    free(dfa->list);
    free(dfa->seen);
    free(dfa->seen_again);
    free(dfa->listed);
    *dfa = (tri_dfa){0};
}

/* ---- states ---- */

static void insert_slot(tri_dfa *dfa, int32_t state) {
    uint32_t mask = (uint32_t)dfa->n_slots - 1, i = dfa->states[state].hash & mask;
    while (dfa->slots[i])
        i = (i + 1) & mask;
    dfa->slots[i] = state;
}

/* Twice the states.  False: at the limit, or no memory; nothing changed then. */
static bool grow_states(tri_dfa *dfa) {
    int32_t cap = 2 * dfa->cap_states;
    if (cap > dfa->max_states) return false;
    uint32_t *table = realloc(dfa->table, (size_t)cap * dfa->stride * sizeof *table);
    if (!table) return false;
    dfa->table = table;
    tri_dfa_state *states = realloc(dfa->states, (size_t)cap * sizeof *states);
    if (!states) return false;
    dfa->states = states;
    int32_t *slots = calloc((size_t)cap * 4, sizeof *slots);
    if (!slots) return false;
    free(dfa->slots);
    dfa->slots = slots;
    dfa->n_slots = 4 * cap;
    dfa->cap_states = cap;
    for (int32_t i = 1; i < dfa->n_states; i++)
        insert_slot(dfa, i);
    return true;
}

static bool grow_threads(tri_dfa *dfa) {
    if (dfa->cap_threads > MAX_THREADS) return false;
    int32_t *threads = realloc(dfa->threads, 2 * (size_t)dfa->cap_threads * sizeof *threads);
    if (!threads) return false;
    dfa->threads = threads;
    dfa->cap_threads *= 2;
    return true;
}

/* The row of the state with these threads: dfa->list[0..n). */
static uint32_t row_of(tri_dfa *dfa, int32_t n, uint32_t kind) {
    if (n == 0) return TRI_DFA_DEAD;
    size_t n_bytes = (size_t)n * sizeof *dfa->list;
    uint32_t hash = 2166136261u ^ kind;
    for (int32_t i = 0; i < n; i++)
        hash = (hash ^ (uint32_t)dfa->list[i]) * 0x9E3779B1u;
    hash ^= hash >> 15;
    uint32_t mask = (uint32_t)dfa->n_slots - 1;
    for (uint32_t i = hash & mask; dfa->slots[i]; i = (i + 1) & mask) {
        const tri_dfa_state *s = &dfa->states[dfa->slots[i]];
        if (s->hash == hash && s->n == n && s->kind == kind &&
            memcmp(dfa->threads + s->first, dfa->list, n_bytes) == 0)
            return (uint32_t)dfa->slots[i] * dfa->stride;
    }
    if (dfa->n_states == dfa->cap_states && !grow_states(dfa)) drop(dfa);
    while (dfa->n_threads + n > dfa->cap_threads)
        if (!grow_threads(dfa)) drop(dfa); /* an empty pool holds any one state */

    int32_t state = dfa->n_states++;
    dfa->states[state] =
        (tri_dfa_state){.first = dfa->n_threads, .n = n, .hash = hash, .kind = kind};
    memcpy(dfa->threads + dfa->n_threads, dfa->list, n_bytes);
    dfa->n_threads += n;
    uint32_t row = (uint32_t)state * dfa->stride;
    for (uint32_t i = 0; i < dfa->stride; i++)
        dfa->table[row + i] = TRI_DFA_UNKNOWN;
    insert_slot(dfa, state);
    return row;
}

uint32_t tri_dfa_start(tri_dfa *dfa, uint32_t symbol_before) {
    uint32_t kind = dfa->program->asks_last[0] ? dfa->program->kind[symbol_before] : 0;
    if (dfa->starts[kind]) return dfa->starts[kind];
    dfa->list[0] = 0;
    uint32_t row = row_of(dfa, 1, kind);
    dfa->starts[kind] = row;
    return row;
}

/* ---- transitions ---- */

typedef struct place { /* what assertions may ask about */
    uint32_t symbol, before, looks;
} place;

static void next_generation(tri_dfa *dfa) {
    if (++dfa->generation) return;
    memset(dfa->seen, 0, (size_t)dfa->program->n * sizeof *dfa->seen);
    memset(dfa->seen_again, 0, (size_t)dfa->program->n * sizeof *dfa->seen_again);
    memset(dfa->listed, 0, (size_t)dfa->program->n * sizeof *dfa->listed);
    dfa->generation = 1;
}

static bool holds(const tri_dfa *dfa, const tri_instruction *code, const place *at) {
    const uint8_t *member = dfa->symbols->member + 256 * (size_t)code->a;
    if (code->op == TRI_OP_LOOK) return (at->looks >> code->a & 1) == code->b;
    return member[code->op == TRI_OP_BEHIND ? at->before : at->symbol];
}

static void read_symbol(tri_dfa *dfa, const tri_instruction *code, const place *at, int32_t *n) {
    if (!dfa->symbols->member[256 * (size_t)code->a + at->symbol]) return;
    if (dfa->listed[code->next] == dfa->generation) return;
    dfa->listed[code->next] = dfa->generation;
    dfa->list[(*n)++] = code->next;
}

/* Follows one thread's forks in order of preference; threads that can read the symbol join the
 * list behind it.  True: a match is reached, and what comes after it does not count.  A thread
 * that comes to the end of a loop's body having read nothing in it leaves the loop, as backtrackers
 * do; so that it gets there, instructions are seen once before and once within such an iteration.
 */
static bool follow(tri_dfa *dfa, int32_t thread, const place *at, int32_t *n) {
    const tri_instruction *code = dfa->program->code;
    int32_t depth = 0;
    bool match = false;
    dfa->stack[depth++] = (tri_dfa_thread){thread, -1};
    while (depth > 0) {
        int32_t i = dfa->stack[--depth].at, loop = dfa->stack[depth].loop;
        uint32_t *seen = loop < 0 ? dfa->seen : dfa->seen_again;
        if (seen[i] == dfa->generation) continue;
        seen[i] = dfa->generation;
        int32_t next = code[i].next, other = code[i].alternative;
        switch ((tri_op)code[i].op) {
        case TRI_OP_SET:
            read_symbol(dfa, &code[i], at, n);
            break;
        case TRI_OP_SPLIT:
            dfa->stack[depth++] = (tri_dfa_thread){other, loop};
            dfa->stack[depth++] = (tri_dfa_thread){next, loop};
            break;
        case TRI_OP_LOOP: {
            int32_t body = code[i].a ? other : next, out = code[i].a ? next : other;
            tri_dfa_thread leave = {out, loop == i ? -1 : loop}, again = {body, i};
            if (loop >= 0) {
                dfa->stack[depth++] = leave;
                break;
            }
            dfa->stack[depth++] = code[i].a ? again : leave;
            dfa->stack[depth++] = code[i].a ? leave : again;
            break;
        }
        case TRI_OP_JUMP:
            dfa->stack[depth++] = (tri_dfa_thread){next, loop};
            break;
        case TRI_OP_AHEAD:
        case TRI_OP_BEHIND:
        case TRI_OP_LOOK:
            if (holds(dfa, &code[i], at)) dfa->stack[depth++] = (tri_dfa_thread){next, loop};
            break;
        case TRI_OP_MATCH:
            if (!dfa->program->search) return true;
            match = true;
            break;
        }
    }
    return match;
}

uint32_t tri_dfa_fill(tri_dfa *dfa, uint32_t row, uint32_t column) {
    const tri_program *p = dfa->program;
    tri_dfa_state state = dfa->states[row / dfa->stride];
    place at = {.symbol = column >> dfa->look_bits,
        .before = p->symbol_of_kind[state.kind],
        .looks = column & ((1u << dfa->look_bits) - 1)};
    next_generation(dfa);
    int32_t n = 0;
    bool match = false;
    for (int32_t i = 0; i < state.n && !(match && !p->search); i++)
        match |= follow(dfa, dfa->threads[state.first + i], &at, &n);
    if (at.symbol == (uint32_t)dfa->symbols->n) n = 0; /* nothing is read past the edge */
    if (p->search && dfa->listed[0] != dfa->generation) dfa->list[n++] = 0;

    uint32_t kind = 0;
    for (int32_t i = 0; i < n && !kind; i++)
        if (p->asks_last[dfa->list[i]]) kind = p->kind[at.symbol];
    uint32_t n_drops = dfa->n_drops;
    uint32_t t = row_of(dfa, n, kind) << 1 | match;
    if (n_drops == dfa->n_drops) dfa->table[row + column] = t;
    return t;
}
