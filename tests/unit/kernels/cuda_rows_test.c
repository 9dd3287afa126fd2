/* rms_norm.cu, embedding.cu and rope_kv_write.cu against float64.  Skips where there is no GPU.
 *
 * Results are float32 sums rounded once to bf16, 2^-8 of a value at most, so 2^-8 / sqrt(3) of the
 * norm where the roundings are evenly spread. */
#include "unit/kernels/cuda_gpu.h"

#include "kernels/cuda/linear.h"
#include "kernels/cuda/rows.h"

static gpu g;
static bool have_gpu;
static const double tolerance = 2.26e-3;

static double from_bf16(uint16_t x) {
    return (double)tri_bf16_to_f32(x);
}

/* ---- rms_norm ---- */

static void check_norm(int32_t rows, int32_t columns, bool residual) {
    enum { PAD = 8 };
    int64_t stride = columns + PAD, n = rows * stride;
    float *x = random_f32(n, 3.0f, 1), *r = random_f32(n, 1.0f, 2),
          *w = random_f32(columns, 1.0f, 3);
    float *after = malloc((size_t)n * 4), *values = malloc((size_t)columns * 4);
    double *expected = malloc((size_t)columns * sizeof *expected);
    uint16_t *y = malloc((size_t)n * 2);
    uint64_t x_at = gpu_array(&g, x, n * 4), y_at = gpu_array(&g, NULL, n * 2);
    const tri_cuda_norm_arguments a = {.x = x_at,
        .r = gpu_array(&g, r, n * 4),
        .w = gpu_array(&g, w, columns * 4),
        .y = y_at,
        .x_stride = stride,
        .r_stride = stride,
        .y_stride = stride,
        .eps = 0.5f};
    tri_cuda_program program;
    tri_cuda_grid grid;
    tri_cuda_norm_program(columns, residual, rows, &program, &grid);
    tri_cuda_enqueue(&g.queue, gpu_function(&g, &program, 0), &grid, &a);
    gpu_read(&g, y, y_at, n * 2);
    gpu_read(&g, after, x_at, n * 4);
    for (int32_t t = 0; t < rows; t++) {
        double squares = 0;
        for (int32_t c = 0; c < columns; c++) {
            int64_t i = t * stride + c;
            float sum = residual ? x[i] + r[i] : x[i];
            assert_true(after[i] == sum);
            expected[c] = (double)sum;
            squares += (double)sum * (double)sum;
        }
        for (int32_t c = 0; c < columns; c++) {
            expected[c] *= (double)w[c] / sqrt(squares / columns + 0.5);
            values[c] = tri_bf16_to_f32(y[t * stride + c]);
        }
        assert_true(relative_error(values, expected, columns) <= tolerance);
        for (int32_t c = columns; c < stride; c++) { /* between rows */
            assert_int_equal(y[t * stride + c], 0xffff);
            assert_true(after[t * stride + c] == x[t * stride + c]);
        }
    }
    free(x);
    free(r);
    free(w);
    free(after);
    free(values);
    free(expected);
    free(y);
    gpu_clear(&g);
}

static void test_norm(void **unused) {
    (void)unused;
    if (!have_gpu) skip();
    check_norm(3, 4096, false);
    check_norm(5, 4096, true);
    check_norm(2, 576, true);
    check_norm(1, 4, false);
    check_norm(2, 8200, true);
}

/* ---- embedding ---- */

static void test_embedding(void **unused) {
    (void)unused;
    if (!have_gpu) skip();
    enum { T = 5, C = 578, V = 40, PARTS = 7 };
    static const int32_t tokens[T] = {0, 39, -1, 7, 40};
    uint16_t *table = random_bf16(V * C, 2.0f, 1), *w = random_bf16(C, 1.0f, 2);
    float x[T * C], parts[PARTS * TRI_CUDA_NORM_STRIDE];
    uint16_t y16[T * C];
    uint64_t x_at = gpu_array(&g, NULL, sizeof x), y_at = gpu_array(&g, NULL, sizeof y16);
    uint64_t parts_at = gpu_array(&g, NULL, sizeof parts);
    const tri_cuda_embedding_arguments a = {.tokens = gpu_array(&g, tokens, sizeof tokens),
        .table = gpu_array(&g, table, V * C * 2),
        .w = gpu_array(&g, w, C * 2),
        .x = x_at,
        .y16 = y_at,
        .parts = parts_at};
    tri_cuda_program program;
    tri_cuda_grid grid;
    tri_cuda_embedding_program(C, V, PARTS, T, &program, &grid);
    tri_cuda_enqueue(&g.queue, gpu_function(&g, &program, 0), &grid, &a);
    gpu_read(&g, x, x_at, sizeof x);
    gpu_read(&g, y16, y_at, sizeof y16);
    gpu_read(&g, parts, parts_at, sizeof parts);
    for (int32_t t = 0; t < T; t++) {
        bool is_there = tokens[t] >= 0 && tokens[t] < V;
        double squares = 0, sum = 0;
        for (int32_t c = 0; c < C; c++) {
            float v = is_there ? tri_bf16_to_f32(table[tokens[t] * C + c]) : 0.0f;
            assert_true(x[t * C + c] == v);
            assert_int_equal(y16[t * C + c], tri_f32_to_bf16(v * tri_bf16_to_f32(w[c])));
            squares += (double)v * (double)v;
        }
        for (int32_t p = 0; p < PARTS; p++)
            sum += (double)parts[p * TRI_CUDA_NORM_STRIDE + t];
        assert_true(fabs(sum - squares) <= 1e-5 * squares);
    }
    free(table);
    free(w);
    gpu_clear(&g);
}

/* ---- rope_kv_write ---- */

static void test_rope(void **unused) {
    (void)unused;
    if (!have_gpu) skip();
    enum { T = 5, H = 3, G = 1, D = 64, HALF = 24, BLOCK = 4, BLOCKS = 6, TABLE = 3 };
    enum { ROW = (H + 2 * G) * D, BLOCK_ELEMS = 2 * G * BLOCK * D };
    static const int32_t positions[T] = {0, 5, 6, 1000, 31999};
    static const int32_t places[T] = {0, 5, 6, 3, 7}, slots[T] = {0, 0, 0, 1, 1};
    static const int32_t tables[2 * TABLE] = {
        4, 2, -1, 0, -1, -1}; /* the last token has no place */
    uint16_t *qkv = random_bf16(T * ROW, 1.0f, 1);
    uint16_t after[T * ROW], cache[BLOCKS * BLOCK_ELEMS], poison[BLOCKS * BLOCK_ELEMS];
    float frequencies[HALF];
    for (int32_t i = 0; i < HALF; i++)
        frequencies[i] = powf(10000.0f, -(float)i / HALF);
    memset(poison, 0x5a, sizeof poison);
    uint64_t qkv_at = gpu_array(&g, qkv, T * ROW * 2), at = gpu_array(&g, poison, sizeof poison);
    const tri_cuda_rope_arguments a = {.qkv = qkv_at,
        .positions = gpu_array(&g, positions, sizeof positions),
        .cache_positions = gpu_array(&g, places, sizeof places),
        .slots = gpu_array(&g, slots, sizeof slots),
        .frequencies = gpu_array(&g, frequencies, sizeof frequencies),
        .cache = at,
        .block_stride = BLOCK_ELEMS * 2,
        .v_offset = BLOCK_ELEMS,
        .block_tables = gpu_array(&g, tables, sizeof tables),
        .max_blocks = TABLE,
        .magnitude = 1.25f};
    const tri_cuda_rope_desc d = {H, G, D, HALF, BLOCK};
    tri_cuda_program program;
    tri_cuda_grid grid;
    tri_cuda_rope_program(&d, T, &program, &grid);
    tri_cuda_enqueue(&g.queue, gpu_function(&g, &program, 0), &grid, &a);
    gpu_read(&g, after, qkv_at, sizeof after);
    gpu_read(&g, cache, at, sizeof cache);
    for (int32_t t = 0; t < T; t++) {
        for (int32_t h = 0; h < H + 2 * G; h++) {
            const uint16_t *x = qkv + t * ROW + h * D, *y = after + t * ROW + h * D;
            float got[D];
            double expected[D];
            int32_t block = tables[slots[t] * TABLE + places[t] / BLOCK];
            if (h >= H) {
                if (block < 0) continue;
                uint16_t *own =
                    cache + block * BLOCK_ELEMS + (h > H) * BLOCK_ELEMS / 2 + places[t] % BLOCK * D;
                y = own;
            }
            for (int32_t i = 0; i < D; i++) {
                got[i] = tri_bf16_to_f32(y[i]);
                expected[i] = from_bf16(x[i]);
            }
            for (int32_t i = 0; i < HALF && h < H + G; i++) {
                double angle = (double)((float)positions[t] * frequencies[i]);
                double lo = from_bf16(x[i]), hi = from_bf16(x[i + HALF]);
                expected[i] = 1.25 * (lo * cos(angle) - hi * sin(angle));
                expected[i + HALF] = 1.25 * (hi * cos(angle) + lo * sin(angle));
            }
            assert_true(relative_error(got, expected, D) <= tolerance);
        }
    }
    int32_t n_touched = 0;
    for (int32_t i = 0; i < BLOCKS * BLOCK_ELEMS; i += D)
        n_touched += memcmp(&cache[i], &poison[i], D * 2) != 0;
    assert_int_equal(n_touched, 2 * 4); /* k and v of the four tokens with a place */
    free(qkv);
    gpu_clear(&g);
}

int main(void) {
    have_gpu = gpu_open(&g);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_norm),
        cmocka_unit_test(test_embedding),
        cmocka_unit_test(test_rope),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
