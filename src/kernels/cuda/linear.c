#include "kernels/cuda/linear.h"

#include <stdio.h>

enum {
    WARPS = 8,
    MAX_STAGES = 8,
    BLOCK_BYTES = 227 << 10,      /* of shared memory, one block a multiprocessor */
    HALF_BLOCK_BYTES = 112 << 10, /* two: this kernel's and the next one's, already filling */
    TWO_BLOCKS_ROWS = 16,         /* most rows for which there are registers for two */
    MIN_STAGES = 2
};

typedef struct pass_shape {
    int32_t tiles, chunk_bytes, row_warps;
} pass_shape;

/* In order of preference.  chunk_bytes: of a row of w. */
static const pass_shape shapes[] = {{2, 512, 1}, {4, 512, 1}, {2, 1024, 1}, {4, 512, 2}};

static int32_t bucket(int32_t rows) {
    static const int32_t buckets[] = {1, 8, 16, 32, 64};
    for (size_t i = 0; i < sizeof buckets / sizeof buckets[0]; i++) {
        if (rows <= buckets[i]) return buckets[i];
    }
    return 0;
}

/* Bytes as linear_stream.cu lays them out. */
static int32_t stage_bytes(const tri_cuda_linear_config *c, int32_t elem_bytes) {
    int32_t w_stride = c->chunk * elem_bytes + 64;
    int32_t x_stride = c->chunk * 2 + (elem_bytes == 1 ? 16 : 64);
    return c->tiles * 16 * w_stride + c->rows * x_stride;
}
static int32_t sum_bytes(const tri_cuda_linear_config *c) {
    return c->warps / c->row_warps * 8 * (c->tiles * 16 + 4) * 4;
}

bool tri_cuda_linear_candidate(const tri_cuda_linear_desc *desc, int32_t rows,
    int32_t n_multiprocessors, int32_t i, tri_cuda_linear_config *config, char reason[128]) {
    if (i < 0 || i >= (int32_t)(sizeof shapes / sizeof shapes[0])) return false;
    int32_t elem_bytes = desc->weight_dtype == TRI_BF16 ? 2 : 1;
    tri_cuda_linear_config c = {.rows = bucket(rows),
        .tiles = shapes[i].tiles,
        .chunk = shapes[i].chunk_bytes / elem_bytes,
        .row_warps = shapes[i].row_warps,
        .warps = WARPS,
        .grid = n_multiprocessors,
        .norm_parts = n_multiprocessors};
    reason[0] = 0;
    *config = c;
    if (!c.rows) {
        (void)snprintf(reason, 128, "%d rows, at most %d", (int)rows, TRI_CUDA_LINEAR_ROWS);
    } else if (desc->weight_dtype != TRI_BF16 && desc->weight_dtype != TRI_F8_E4M3) {
        (void)snprintf(reason, 128, "weights are bf16 or e4m3");
    } else if (desc->k * elem_bytes % 16) {
        (void)snprintf(reason, 128, "rows of %" PRId64 " weights are not 16-byte aligned", desc->k);
    } else if (desc->norm_out && (c.tiles != 2 || desc->gated || !desc->add)) {
        (void)snprintf(reason, 128, "sums of squares need two tiles a pass and a residual");
    }
    if (reason[0]) return true;
    int32_t room = (c.rows <= TWO_BLOCKS_ROWS ? HALF_BLOCK_BYTES : BLOCK_BYTES) - 1024;
    c.stages = (room - sum_bytes(&c)) / stage_bytes(&c, elem_bytes);
    if (c.stages < MIN_STAGES) /* alone on its multiprocessor, then */
        c.stages = (BLOCK_BYTES - 1024 - sum_bytes(&c)) / stage_bytes(&c, elem_bytes);
    if (c.stages > MAX_STAGES) c.stages = MAX_STAGES;
    c.shared_bytes = sum_bytes(&c) + c.stages * stage_bytes(&c, elem_bytes);
    if (c.stages < MIN_STAGES) (void)snprintf(reason, 128, "two stages do not fit");
    *config = c;
    return true;
}

void tri_cuda_linear_program(const tri_cuda_linear_desc *desc, const tri_cuda_linear_config *config,
    tri_cuda_program *program, tri_cuda_grid *grid) {
    *program = (tri_cuda_program){.entry = "linear_stream"};
    const struct {
        const char *name;
        int64_t value;
    } defines[] = {
        {"P_N", desc->n},
        {"P_K", desc->k},
        {"P_M", config->rows},
        {"P_GRID", config->grid},
        {"P_TILES", config->tiles},
        {"P_CHUNK", config->chunk},
        {"P_STAGES", config->stages},
        {"P_WARPS", config->warps},
        {"P_ROW_WARPS", config->row_warps},
        {"P_FP8", desc->weight_dtype == TRI_F8_E4M3},
        {"P_SCALE", desc->scaled},
        {"P_GATED", desc->gated},
        {"P_ADD", desc->add},
        {"P_FLOAT_OUT", desc->float_out},
        {"P_NORM_IN", desc->norm_in},
        {"P_NORM_OUT", desc->norm_out},
        {"P_NORM_PARTS", config->norm_parts},
        {"P_NORM_STRIDE", TRI_CUDA_NORM_STRIDE},
    };
    for (size_t i = 0; i < sizeof defines / sizeof defines[0]; i++)
        tri_cuda_define(program, defines[i].name, defines[i].value);
    *grid = (tri_cuda_grid){.grid_x = (uint32_t)config->grid,
        .grid_y = 1,
        .block = (uint32_t)(config->warps * 32 + 32),
        .shared_bytes = (uint32_t)config->shared_bytes};
}

tri_plugin_cost tri_cuda_linear_cost(const tri_cuda_linear_desc *desc, int32_t rows) {
    double m = rows, n = (double)desc->n, k = (double)desc->k, w = desc->gated ? 2 * n : n;
    double elem_bytes = desc->weight_dtype == TRI_BF16 ? 2 : 1;
    return (tri_plugin_cost){.bytes = w * k * elem_bytes + 2 * m * k +
                                      m * n *
                                          (desc->add            ? 8
                                              : desc->float_out ? 4
                                                                : 2),
        .flops = 2 * m * w * k};
}
