/* cuda_sampling.c - from logits to tokens on CUDA, at the vocabulary of Llama 3.
 *
 *   cuda_sampling      CSV on stdout; compiles its programs first
 *
 * A time is of a graph of CHAIN dependent launches on the same logits, normal with a deviation of
 * 3; median of 15 replays, divided by CHAIN.  Few rows come from L2, as they do behind the layer
 * that makes them.  floor: the logits read once, at 4.63 TB/s. */
#include "cuda_lab.h"

#include "base/rng.h"
#include "device/bound.h"
#include "kernels/kernels.h"

enum { VOCABULARY = 128256, MAX_ROWS = 256, CHAIN = 20, WORDS = VOCABULARY / 32 };

typedef struct work { /* one kernel on one kind of step */
    const tri_plugin_kernel *kernel;
    void *state;
    tri_plugin_launch launch;
} work;

typedef struct memory {
    uint64_t logits, adjusted, tokens, logprobs, counts, step;
} memory;

static void run_chain(lab *l, void *arg) {
    const work *w = arg;
    (void)l;
    for (int32_t i = 0; i < CHAIN; i++)
        w->kernel->launch(w->state, &w->launch);
}

static const tri_plugin_device device = {
    .struct_size = sizeof device, .kind = "cuda", .arch = LAB_ARCH, .n_threads = 132};

/* op on logits, with counts and masked=1 where it is fused. */
static void open_work(lab *l, const tri_kernels *kernels, const char *op, bool fused, work *w) {
    char name[64];
    const tri_plugin_type logits = {
        .dtype = TRI_F32, .n_dims = 2, .dims = {TRI_DIM_R, VOCABULARY}, .layout = "row"};
    const tri_plugin_type counts = {.dtype = TRI_U16, .n_dims = 1, .dims = {VOCABULARY}};
    const tri_plugin_type inputs[2] = {logits, counts};
    const tri_plugin_field masked = {.name = "masked", .i = fused};
    const tri_plugin_desc desc = {.struct_size = sizeof desc,
        .op = op,
        .n_inputs = fused || strcmp(op, "sample") != 0 ? 2 : 1,
        .n_outputs = 1,
        .n_fields = 1,
        .inputs = inputs,
        .outputs = &logits,
        .fields = &masked,
        .device = &device,
        .max_rows = MAX_ROWS};
    tri_error err = {0};
    (void)snprintf(name, sizeof name, "%s_cuda", op);
    w->kernel = tri_kernels_find(kernels, name);
    if (w->kernel->create(&desc, &w->state)) exit(1);
    l->queue.preparing = true;
    w->launch.team = &l->queue;
    w->kernel->launch(w->state, &w->launch);
    l->queue.preparing = false;
    if (tri_cuda_queue_status(&l->queue, op, &err)) lab_die(&err);
}

static void *pointer(uint64_t address) {
    return (void *)(uintptr_t)address;
}

/* One decode step of n sequences, all sampled alike. */
static tri_step *make_step(int32_t n, tri_step_sampling how) {
    const tri_step_shape shape = {
        .n_tokens = n, .n_sequences = n, .n_rows = n, .n_groups = 1, .n_position_axes = 1};
    int64_t n_bytes = tri_step_bytes(&shape);
    tri_step *step = tri_step_init(calloc(1, (size_t)n_bytes), n_bytes, &shape);
    for (int32_t i = 0; i < n; i++) {
        tri_step_sampling *p = (tri_step_sampling *)(uintptr_t)tri_step_rows_sampling(step) + i;
        *p = how;
        p->sequence = i;
        p->seed = 7;
        p->counter = (uint64_t)i;
        ((int32_t *)(uintptr_t)TRI_STEP_I32(step, cu_seqlens))[i + 1] = i + 1;
        ((int32_t *)(uintptr_t)TRI_STEP_I32(step, context_lens))[i] = 100;
        ((int32_t *)(uintptr_t)tri_step_at(step, step->groups[0].state_slots))[i] = i;
    }
    return step;
}

static const struct {
    const char *name;
    tri_step_sampling how;
} kinds[] = {
    {"greedy", {.mask_slot = -1}},
    {"top_p=0.9", {.temperature = 1, .top_p = 0.9f, .mask_slot = -1}},
    {"top_k=50", {.temperature = 1, .top_k = 50, .mask_slot = -1}},
    {"temperature=1", {.temperature = 1, .mask_slot = -1}},
    {"temperature=100", {.temperature = 100, .mask_slot = -1}},
    {"greedy penalised", {.repetition_penalty = 1.1f, .mask_slot = -1}},
    {"greedy masked", {.mask_slot = 0}},
};
static const int32_t rows[] = {1, 32, 256};

static void measure(lab *l, work *w, const char *what, const char *kind, const memory *m,
    uint64_t masks, int32_t n, tri_step_sampling how) {
    tri_step *step = make_step(n, how);
    tri_plugin_step on_device = {.struct_size = sizeof on_device,
        .masks = pointer(masks),
        .mask_stride_words = WORDS,
        .n_mask_slots = 1};
    tri_plugin_state counts = {.struct_size = sizeof counts,
        .base = pointer(m->counts),
        .slot_stride_bytes = VOCABULARY * 2,
        .n_slots = MAX_ROWS,
        .slots = pointer(m->step + step->groups[0].state_slots)};
    const tri_plugin_state *states[] = {NULL, &counts};
    bool samples = strcmp(w->kernel->op, "sample") == 0;
    const tri_plugin_tensor inputs[] = {{pointer(m->logits), VOCABULARY * 4}, {NULL, 0}};
    /* penalties and mask: over their operand */
    const tri_plugin_tensor outputs[] = {
        {pointer(samples ? m->tokens : m->logits), samples ? 4 : VOCABULARY * 4},
        {pointer(m->logprobs), 4}};
    lab_upload(l, m->step, step, step->n_bytes);
    tri_step_bind(&on_device, step, (uintptr_t)m->step, 0);
    w->launch.step = &on_device;
    w->launch.inputs = inputs;
    w->launch.outputs = outputs;
    w->launch.states = states;
    double us = lab_time(l, run_chain, w) * 1e3 / CHAIN, floor_us = n * VOCABULARY * 4.0 / 4.63e6;
    printf("%s,%s,%d,%d,%.2f,%.2f\n", what, kind, n, VOCABULARY, us, floor_us);
    free(step);
}

static void upload_logits(lab *l, uint64_t to) {
    float *logits = malloc(sizeof(float) * VOCABULARY);
    for (int32_t r = 0; r < MAX_ROWS; r++) {
        for (int64_t v = 0; v < VOCABULARY && r < 4; v++)
            logits[v] = 3 * tri_rng_normal((uint64_t)r, (uint64_t)v);
        lab_upload(l, to + (uint64_t)r * VOCABULARY * 4, logits, VOCABULARY * 4);
    }
    free(logits);
}

int main(void) {
    lab l;
    tri_error err = {0};
    tri_kernels *kernels;
    work fused, sample, penalties, mask;
    lab_open(&l, ".", false);
    if (tri_cuda_modules_create(&l.queue.modules, l.cu, LAB_ARCH, &err)) lab_die(&err);
    if (tri_kernels_create(&kernels, &err)) lab_die(&err);
    fused = sample = penalties = mask = (work){0};
    open_work(&l, kernels, "sample", true, &fused);
    open_work(&l, kernels, "sample", false, &sample);
    open_work(&l, kernels, "penalties", false, &penalties);
    open_work(&l, kernels, "mask", false, &mask);
    int64_t row_bytes = (int64_t)VOCABULARY * 4;
    const memory m = {.logits = lab_alloc(&l, MAX_ROWS * row_bytes),
        .tokens = lab_alloc(&l, MAX_ROWS * 4),
        .logprobs = lab_alloc(&l, MAX_ROWS * 4),
        .counts = lab_alloc(&l, MAX_ROWS * row_bytes / 2),
        .step = lab_alloc(&l, 1 << 20)};
    uint64_t masks = lab_alloc(&l, WORDS * 4);
    uint32_t *words = malloc(WORDS * 4);
    for (int32_t i = 0; i < WORDS; i++)
        words[i] = 0x5A5A5A5Au;
    lab_upload(&l, masks, words, WORDS * 4);
    upload_logits(&l, m.logits);
    printf("kernel,sampling,rows,vocabulary,us,floor_us\n");
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
            measure(&l, &fused, "sample fused", kinds[k].name, &m, masks, rows[i], kinds[k].how);
    }
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        measure(&l, &sample, "sample alone", "greedy", &m, masks, rows[i], kinds[0].how);
        measure(
            &l, &penalties, "penalties idle in place", "greedy", &m, masks, rows[i], kinds[0].how);
        measure(&l, &mask, "mask idle in place", "greedy", &m, masks, rows[i], kinds[0].how);
    }
    return 0;
}
