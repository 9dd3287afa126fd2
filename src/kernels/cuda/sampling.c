#include "kernels/cuda/sampling.h"

#include <stdlib.h>
#include <string.h>

#include "base/step.h"
#include "kernels/cuda/families.h"
#include "kernels/cuda/family.h"

enum {
    COUNT_THREADS = 1024,
    THREADS = 256,           /* of penalties and mask */
    VECTORS = 4,             /* a thread of theirs */
    MAX_ROWS = 65535,        /* rows of a grid */
    MAX_VOCABULARY = 1 << 19 /* of sample.cu's sums */
};
enum {                          /* of sample.cu */
    CLUSTER = 8,                /* the largest that every chip with clusters can do */
    FEW_THREADS = 512,          /* two blocks a multiprocessor */
    MANY_THREADS = 1024,        /* one */
    FIXED_BYTES = 45 << 10,     /* static shared memory and what the system takes */
    TWO_BLOCKS_BYTES = 70 << 10 /* most dynamic shared memory for two blocks */
};
enum { LOGITS = 0, COUNTS = 1, TOKENS_OUT = 0, LOGPROBS_OUT = 1 }; /* operands and results */

_Static_assert(sizeof(tri_step_sampling) == 56 && offsetof(tri_step_sampling, seed) == 32 &&
                   offsetof(tri_step_sampling, mask_slot) == 52,
    "as inc/sampling.cuh has it");

/* ---- programs ---- */

static void begin_program(tri_cuda_program *program, const char *entry, int64_t vocabulary) {
    *program = (tri_cuda_program){.entry = entry};
    tri_cuda_define(program, "P_VOCAB", vocabulary);
    tri_cuda_define(program, "P_SAMPLING_AT", offsetof(tri_step, sampling));
    tri_cuda_define(program, "P_SAMPLING_BYTES", sizeof(tri_step_sampling));
}

void tri_cuda_count_tokens_program(int64_t vocabulary, tri_cuda_program *program) {
    begin_program(program, "count_tokens", vocabulary);
    tri_cuda_define(program, "P_THREADS", COUNT_THREADS);
    tri_cuda_define(program, "P_PROMPT_LENS_AT", offsetof(tri_step, prompt_lens));
}

static void pieces_program(const char *entry, int64_t vocabulary, tri_cuda_program *program) {
    begin_program(program, entry, vocabulary);
    tri_cuda_define(program, "P_THREADS", THREADS);
    tri_cuda_define(program, "P_VECTORS", VECTORS);
}
void tri_cuda_penalties_program(int64_t vocabulary, tri_cuda_program *program) {
    pieces_program("penalties", vocabulary, program);
}
void tri_cuda_mask_program(int64_t vocabulary, tri_cuda_program *program) {
    pieces_program("mask", vocabulary, program);
}

/* Dynamic shared memory for a block's share of a row. */
static int64_t share_bytes(int64_t vocabulary, int32_t cluster, int32_t threads) {
    int64_t vectors = (vocabulary + 3) / 4, in_turn = (int64_t)cluster * threads;
    return (vectors + in_turn - 1) / in_turn * threads * 16;
}

/* Of "sm_90a": 9. */
static int32_t major_of(const char *arch) {
    int32_t number = 0;
    if (strncmp(arch, "sm_", 3) != 0) return 0;
    for (const char *c = arch + 3; *c >= '0' && *c <= '9' && number < 1000; c++)
        number = 10 * number + (*c - '0');
    return number / 10;
}

tri_cuda_sample_config tri_cuda_sample_choose(const tri_cuda_sample_desc *desc, const char *arch) {
    int32_t major = major_of(arch);
    int64_t room = (major == 9 || major == 10 ? 227 << 10 : 99 << 10) - FIXED_BYTES;
    tri_cuda_sample_config c = {.cluster = major >= 9 ? CLUSTER : 1, .threads = FEW_THREADS};
    int64_t few = share_bytes(desc->vocabulary, c.cluster, FEW_THREADS);
    int64_t many = share_bytes(desc->vocabulary, c.cluster, MANY_THREADS);
    if (few <= TWO_BLOCKS_BYTES && few <= room) {
        c.resident = true;
        c.shared_bytes = (uint32_t)few;
    } else if (many <= room) {
        c.resident = true;
        c.threads = MANY_THREADS;
        c.shared_bytes = (uint32_t)many;
    }
    return c;
}

void tri_cuda_sample_program(const tri_cuda_sample_desc *desc, const tri_cuda_sample_config *config,
    tri_cuda_program *program) {
    begin_program(program, "sample", desc->vocabulary);
    tri_cuda_define(program, "P_THREADS", config->threads);
    tri_cuda_define(program, "P_CLUSTER", config->cluster);
    tri_cuda_define(program, "P_RESIDENT", config->resident);
    tri_cuda_define(program, "P_COUNTS", desc->counts);
    tri_cuda_define(program, "P_MASKS", desc->masks);
}

/* ---- what is asked ---- */

static int32_t supports(const tri_plugin_desc *desc, char *reason, size_t reason_bytes) {
    bool counting = strcmp(desc->op, "count_tokens") == 0;
    const tri_plugin_type *counts = tri_desc_input(desc, COUNTS);
    if (counts && counts->dtype != TRI_U16)
        return tri_reject(reason, reason_bytes, "counts are not 16 bits");
    if (counting) return 0;
    if (tri_require_f32(desc, LOGITS, reason, reason_bytes)) return 1;
    int64_t vocabulary = tri_plugin_columns(&desc->inputs[LOGITS]);
    if (desc->max_rows > MAX_ROWS)
        return tri_reject(reason, reason_bytes, "%d rows a step, at most %d can be",
            (int)desc->max_rows, MAX_ROWS);
    if (strcmp(desc->op, "sample") == 0 && vocabulary > MAX_VOCABULARY)
        return tri_reject(reason, reason_bytes, "%" PRId64 " tokens, at most %d can be", vocabulary,
            MAX_VOCABULARY);
    return 0;
}

static void cost(
    const tri_plugin_desc *desc, const tri_plugin_extents *extents, tri_plugin_cost *c) {
    if (strcmp(desc->op, "count_tokens") == 0) {
        *c = (tri_plugin_cost){.bytes = 8.0 * extents->n_tokens};
        return;
    }
    double elements = extents->n_rows * (double)tri_plugin_columns(&desc->inputs[LOGITS]);
    bool sampling = strcmp(desc->op, "sample") == 0;
    *c = (tri_plugin_cost){.bytes = (sampling ? 4 : 8) * elements, .flops = 10 * elements};
}

/* ---- launches ---- */

typedef struct launcher { /* the state of any of these kernels */
    tri_cuda_kernel kernel;
    int64_t vocabulary;
    tri_cuda_sample_config sample;
    bool counts;
} launcher;

static int32_t create(const tri_plugin_desc *desc, void **state) {
    launcher *s = calloc(1, sizeof *s);
    if (!s) return 1;
    bool counting = strcmp(desc->op, "count_tokens") == 0;
    s->vocabulary =
        counting ? desc->inputs[COUNTS].dims[0] : tri_plugin_columns(&desc->inputs[LOGITS]);
    s->counts = tri_desc_input(desc, COUNTS) != NULL;
    if (counting) {
        tri_cuda_count_tokens_program(s->vocabulary, &s->kernel.program);
    } else if (strcmp(desc->op, "penalties") == 0) {
        tri_cuda_penalties_program(s->vocabulary, &s->kernel.program);
    } else if (strcmp(desc->op, "mask") == 0) {
        tri_cuda_mask_program(s->vocabulary, &s->kernel.program);
    } else {
        const tri_cuda_sample_desc d = {.vocabulary = s->vocabulary,
            .counts = s->counts,
            .masks = tri_desc_int(desc, "masked", 0) != 0};
        s->sample = tri_cuda_sample_choose(&d, desc->device->arch);
        tri_cuda_sample_program(&d, &s->sample, &s->kernel.program);
        s->kernel.shared_bytes = s->sample.shared_bytes;
    }
    *state = s;
    return 0;
}

/* True: the launch was only to be prepared. */
static bool prepares(launcher *s, tri_cuda_queue *queue) {
    if (queue->preparing) tri_cuda_kernel_prepare(&s->kernel, queue);
    return queue->preparing;
}

typedef struct count_slots { /* of inc/sampling.cuh, as what follows */
    uint64_t base;
    int64_t stride_bytes;
    uint64_t slots;
} count_slots;

typedef struct mask_slots {
    uint64_t words;
    int64_t stride_words;
    int32_t n;
} mask_slots;

static count_slots counts_of(const tri_plugin_launch *l) {
    const tri_plugin_state *counts = l->states[COUNTS];
    return (count_slots){.base = tri_cuda_address(counts->base),
        .stride_bytes = counts->slot_stride_bytes,
        .slots = tri_cuda_address(counts->slots)};
}
static mask_slots masks_of(const tri_plugin_launch *l) {
    return (mask_slots){.words = tri_cuda_address(l->step->masks),
        .stride_words = l->step->mask_stride_words,
        .n = l->step->n_mask_slots};
}

typedef struct count_arguments { /* of count_tokens.cu */
    uint64_t step, tokens, cu_seqlens, context_lens;
    count_slots counts;
} count_arguments;

static void count_tokens_launch(void *state, const tri_plugin_launch *l) {
    launcher *s = state;
    tri_cuda_queue *queue = l->team;
    if (prepares(s, queue) || l->step->extents.n_sequences < 1) return;
    const count_arguments a = {.step = tri_cuda_address(l->step->step),
        .tokens = tri_cuda_address(l->inputs[0].data),
        .cu_seqlens = tri_cuda_address(l->step->cu_seqlens),
        .context_lens = tri_cuda_address(l->step->context_lens),
        .counts = counts_of(l)};
    const tri_cuda_grid grid = {
        .grid_x = (uint32_t)l->step->extents.n_sequences, .grid_y = 1, .block = COUNT_THREADS};
    tri_cuda_kernel_enqueue(&s->kernel, queue, &grid, &a);
}

typedef struct logits_arguments { /* what those of penalties.cu and mask.cu begin with */
    uint64_t step, x, y;
    int64_t x_stride, y_stride; /* elements */
} logits_arguments;

static logits_arguments logits_of(const tri_plugin_launch *l) {
    return (logits_arguments){.step = tri_cuda_address(l->step->step),
        .x = tri_cuda_address(l->inputs[LOGITS].data),
        .y = tri_cuda_address(l->outputs[0].data),
        .x_stride = l->inputs[LOGITS].row_stride_bytes / (int64_t)sizeof(float),
        .y_stride = l->outputs[0].row_stride_bytes / (int64_t)sizeof(float)};
}

static void enqueue_pieces(const launcher *s, const tri_plugin_launch *l, const void *arguments) {
    int64_t vectors = (s->vocabulary + 3) / 4, piece = (int64_t)THREADS * VECTORS;
    const tri_cuda_grid grid = {.grid_x = (uint32_t)((vectors + piece - 1) / piece),
        .grid_y = (uint32_t)l->step->extents.n_rows,
        .block = THREADS};
    tri_cuda_kernel_enqueue(&s->kernel, l->team, &grid, arguments);
}

static void penalties_launch(void *state, const tri_plugin_launch *l) {
    if (prepares(state, l->team) || l->step->extents.n_rows < 1) return;
    const struct {
        logits_arguments logits;
        count_slots counts;
    } a = {logits_of(l), counts_of(l)};
    enqueue_pieces(state, l, &a);
}

static void mask_launch(void *state, const tri_plugin_launch *l) {
    if (prepares(state, l->team) || l->step->extents.n_rows < 1) return;
    const struct {
        logits_arguments logits;
        mask_slots masks;
    } a = {logits_of(l), masks_of(l)};
    enqueue_pieces(state, l, &a);
}

typedef struct sample_arguments { /* of sample.cu */
    uint64_t step, logits;
    int64_t logits_stride; /* elements */
    uint64_t tokens, logprobs;
    int64_t token_stride, logprob_stride; /* bytes */
    count_slots counts;
    mask_slots masks;
} sample_arguments;

static void sample_launch(void *state, const tri_plugin_launch *l) {
    launcher *s = state;
    tri_cuda_queue *queue = l->team;
    if (prepares(s, queue) || l->step->extents.n_rows < 1) return;
    sample_arguments a = {.step = tri_cuda_address(l->step->step),
        .logits = tri_cuda_address(l->inputs[LOGITS].data),
        .logits_stride = l->inputs[LOGITS].row_stride_bytes / (int64_t)sizeof(float),
        .tokens = tri_cuda_address(l->outputs[TOKENS_OUT].data),
        .logprobs = tri_cuda_address(l->outputs[LOGPROBS_OUT].data),
        .token_stride = l->outputs[TOKENS_OUT].row_stride_bytes,
        .logprob_stride = l->outputs[LOGPROBS_OUT].row_stride_bytes,
        .masks = masks_of(l)};
    if (s->counts) a.counts = counts_of(l);
    const tri_cuda_grid grid = {.grid_x = (uint32_t)s->sample.cluster,
        .grid_y = (uint32_t)l->step->extents.n_rows,
        .block = (uint32_t)s->sample.threads,
        .shared_bytes = s->sample.shared_bytes};
    tri_cuda_kernel_enqueue(&s->kernel, queue, &grid, &a);
}

/* ---- registration ---- */

#define SAMPLING_KERNEL(op, numerics_)                                                             \
    static const tri_plugin_kernel op##_kernel = {                                                 \
        TRI_CUDA_KERNEL(#op, #op "_cuda", "sm_80", numerics_), .supports = supports, .cost = cost, \
        .create = create, .destroy = free, .launch = op##_launch};
SAMPLING_KERNEL(count_tokens, "integer")
SAMPLING_KERNEL(penalties, "f64")
SAMPLING_KERNEL(mask, "exact")
SAMPLING_KERNEL(sample, "f32_fixed44")

const tri_plugin_kernel *const tri_cuda_sampling_kernels[] = {
    &count_tokens_kernel, &penalties_kernel, &mask_kernel, &sample_kernel, NULL};
