#include "kernels/cuda/linear.h"

#include <stdio.h>

enum {
    WARPS = 8,
    MAX_STAGES = 8,
    BLOCK_BYTES = 227 << 10,      /* of shared memory, one block a multiprocessor */
    HALF_BLOCK_BYTES = 113 << 10, /* two: this kernel's and the next one's, already filling */
    TWO_BLOCKS_ROWS = 16,         /* most rows for which there are registers for two */
    MIN_STAGES = 2,
    LINE_BYTES = 128,
    TILE_ROWS = 16,
    MAX_SUMS = 128,   /* tiles times rows of a warp: what its registers hold */
    SAME_NUMERICS = 3 /* the first of the shapes, which sum alike */
};

typedef struct pass_shape {
    int32_t tiles, chunk_bytes, row_warps;
} pass_shape;

/* In order of preference.  chunk_bytes: of a row of w. */
static const pass_shape shapes[] = {{2, 512, 1}, {4, 512, 1}, {3, 512, 1}, {2, 1024, 1}};

static int32_t bucket(int32_t rows) {
    static const int32_t buckets[] = {8, 16, 32, 64};
    for (size_t i = 0; i < sizeof buckets / sizeof buckets[0]; i++) {
        if (rows <= buckets[i]) return buckets[i];
    }
    return 0;
}

/* Bytes as linear_stream.cu lays them out. */
static int32_t stage_bytes(const tri_cuda_linear_config *c, int32_t elem_bytes) {
    return c->tiles * 16 * c->chunk * elem_bytes + c->rows * c->chunk * 2;
}
/* Of what is not the ring: partial sums, barriers, sums of squares. */
static int32_t fixed_bytes(const tri_cuda_linear_config *c) {
    return c->warps / c->row_warps * 8 * (c->tiles * 16 + 4) * 4 + 1024;
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
    } else if (desc->k % 8) {
        (void)snprintf(reason, 128, "rows of %" PRId64 " are not 16-byte aligned", desc->k);
    } else if (c.tiles / c.row_warps * c.rows > MAX_SUMS) {
        (void)snprintf(reason, 128, "%d tiles of %d rows would spill", (int)c.tiles, (int)c.rows);
    } else if (desc->gate && c.tiles % 2) {
        (void)snprintf(reason, 128, "gated layers take tiles by two");
    } else if (desc->norm_out && (c.tiles != 2 || desc->gate || !desc->add)) {
        (void)snprintf(reason, 128, "sums of squares need two tiles a pass and a residual");
    }
    if (reason[0]) return true;
    /* A block's own reserve and the alignment of the ring are 1 KB each. */
    int32_t stage = stage_bytes(&c, elem_bytes), rest = fixed_bytes(&c) + 2048;
    int32_t room = c.rows <= TWO_BLOCKS_ROWS ? HALF_BLOCK_BYTES : BLOCK_BYTES;
    c.stages = (room - rest) / stage;
    if (c.stages < MIN_STAGES) c.stages = (BLOCK_BYTES - rest) / stage; /* alone, then */
    if (c.stages > MAX_STAGES) c.stages = MAX_STAGES;
    c.shared_bytes = c.stages * stage + 1024;
    if (c.stages < MIN_STAGES) (void)snprintf(reason, 128, "two stages do not fit");
    *config = c;
    return true;
}

/* 16-row units that the busiest block has room for in its passes: what is beyond its share stays
 * empty in the ring. */
static int64_t unit_slots(const tri_cuda_linear_desc *desc, const tri_cuda_linear_config *c) {
    int64_t units = (desc->n + TILE_ROWS - 1) / TILE_ROWS, pass = c->tiles / (desc->gate ? 2 : 1);
    int64_t share = (units + c->grid - 1) / c->grid;
    return (share + pass - 1) / pass * pass;
}

tri_status tri_cuda_linear_choose(const tri_cuda_linear_desc *desc, int32_t rows,
    int32_t n_multiprocessors, tri_cuda_linear_config *config, tri_error *err) {
    char reason[128], reasons[SAME_NUMERICS * 130] = "";
    size_t n = 0;
    bool found = false;
    for (int32_t i = 0; i < SAME_NUMERICS; i++) {
        tri_cuda_linear_config c;
        tri_cuda_linear_candidate(desc, rows, n_multiprocessors, i, &c, reason);
        if (reason[0]) {
            n += (size_t)snprintf(reasons + n, sizeof reasons - n, "%s%s", n ? "; " : "", reason);
        } else if (!found || unit_slots(desc, &c) < unit_slots(desc, config)) {
            *config = c;
            found = true;
        }
    }
    if (!found) return TRI_FAIL(err, TRI_E_UNSUPPORTED, "linear: %s", reasons);
    return TRI_OK;
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
        {"P_RAGGED", desc->k * (desc->weight_dtype == TRI_BF16 ? 2 : 1) % LINE_BYTES != 0},
        {"P_LATE", desc->late},
        {"P_FP8", desc->weight_dtype == TRI_F8_E4M3},
        {"P_SCALE", desc->scaled ? desc->one_scale ? 2 : 1 : 0},
        {"P_BIAS", desc->bias},
        {"P_GATE", desc->gate},
        {"P_ADD", desc->add},
        {"P_FLOAT_OUT", desc->float_out},
        {"P_NORM_IN", desc->norm_in},
        {"P_NORM_OUT", desc->norm_out},
        {"P_NORM_PARTS", config->norm_parts},
    };
    for (size_t i = 0; i < sizeof defines / sizeof defines[0]; i++)
        tri_cuda_define(program, defines[i].name, defines[i].value);
    *grid = (tri_cuda_grid){.grid_x = (uint32_t)config->grid,
        .grid_y = 1,
        .block = (uint32_t)(config->warps * 32 + 32),
        .shared_bytes = (uint32_t)config->shared_bytes};
}

/* Boxes of n_box rows and one chunk of columns, as lines of 128 bytes: [line][row][128].  Ragged
 * rows are mapped by columns, and copied line by line. */
static tri_status map_rows(const tri_cu *cu, int32_t elem_bytes, uint64_t address, int64_t n_rows,
    int64_t k, int64_t stride_bytes, int32_t n_box, int32_t chunk, bool ragged,
    tri_cu_tensor_map *map, tri_error *err) {
    uint32_t line = (uint32_t)(LINE_BYTES / elem_bytes);
    uint64_t lines = ragged ? 1 : (uint64_t)k / line;
    const uint64_t dims[3] = {ragged ? (uint64_t)k : line, (uint64_t)n_rows, lines};
    const uint64_t strides[2] = {(uint64_t)stride_bytes, LINE_BYTES};
    const uint32_t box[3] = {line, (uint32_t)n_box, ragged ? 1 : (uint32_t)chunk / line};
    const uint32_t steps[3] = {1, 1, 1};
    TRI_CU_TRY(cu,
        tensor_map(map, elem_bytes == 1 ? TRI_CU_MAP_U8 : TRI_CU_MAP_BF16, 3,
            (void *)(uintptr_t)address, dims, strides, box, steps, 0, TRI_CU_MAP_SWIZZLE_128,
            TRI_CU_MAP_PROMOTE_256, 0),
        "linear: tensor map", err);
    return TRI_OK;
}

tri_status tri_cuda_linear_map(const tri_cu *cu, const tri_cuda_linear_desc *desc,
    const tri_cuda_linear_config *config, uint64_t w, uint64_t x, int64_t x_stride, int32_t n_rows,
    tri_cuda_linear_arguments *arguments, tri_error *err) {
    int32_t elem_bytes = desc->weight_dtype == TRI_BF16 ? 2 : 1;
    bool ragged = desc->k * elem_bytes % LINE_BYTES != 0;
    TRI_TRY(map_rows(cu, elem_bytes, w, desc->gate ? 2 * desc->n : desc->n, desc->k,
        desc->k * elem_bytes, TILE_ROWS, config->chunk, ragged, &arguments->w_map, err));
    return map_rows(cu, 2, x, n_rows, desc->k, x_stride * 2, config->rows, config->chunk, ragged,
        &arguments->x_map, err);
}
