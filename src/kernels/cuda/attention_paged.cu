/* attention_paged.cu - causal attention over a paged cache, any mix of prompts and decoding tokens.
 *
 * Shapes   q, y [T, H D] float32 or bf16; cache as in plugin.h, bf16 or f16, with the step's k and v.
 *          A row is one query head of one token: row r of a sequence and key head h is head
 *          h H / G + r % (H / G) of token r / (H / G)
 * Math     q rounded to the cache's type; scores in float32.  Tile: 64 positions, its softmax with
 *          float32 sums, weights rounded to the cache's type for the product with v.  Tiles are
 *          folded in order to runs of 256 positions from position 0, runs in order to the result.
 *          All work below is these operations in this order, so nothing depends on company, on how
 *          a prompt is cut, or on the grid
 * Grid     (any), block 128.  Every block lists the step's work for itself, before it waits:
 *          tiles     sequences of many rows: 64 rows of a key head, a warp has 16 of them and goes
 *                    over all positions; the block shares the copies of k and v
 *          units     sequences of at most 16 rows a key head (8 with heads over 128; or one token): a
 *                    block has the rows, each warp a tile of a run.  A unit is the whole context,
 *                    or, where there is too little work so, some runs, each of which leaves a part;
 *                    the block that ends a sequence's last missing unit folds the parts
 * Defines  P_HEADS = H, P_KV_HEADS = G, P_D = D, P_BLOCK tokens a cache block, P_F16 the cache's type,
 *          P_Q_BF16, P_Y_BF16, P_SOFTCAP (0/1), P_STAGES places for a half tile of k and v each (1, 2),
 *          P_RESIDENT blocks a multiprocessor, P_COUNTERS         from kernels/cuda/attention_paged.c
 * Needs    D % 8 == 0, D <= 256; cache rows 16-byte aligned; q and y 8-byte aligned; P_COUNTERS >=
 *          sequences * G * ceil(H / G / 16); sequences fit a list in the room of shares; launches of
 *          one module come one after another, since they share its counters
 * Bound    decode: memory, 4 G D bytes a position; prompts: 4 H D operations a pair of positions */
#include "attention.cuh"

/* ---- many rows ---- */

typedef struct rows_state { /* of rows g and g + 8 */
    float most[2], sum[2];
    float out[N_TILES][4];
} rows_state;

DEVICE void clear(rows_state *f) {
#pragma unroll
    for (int r = 0; r < 2; r++) {
        f->most[r] = MINUS_INFINITY;
        f->sum[r] = 0.0f;
    }
#pragma unroll
    for (int i = 0; i < N_TILES; i++) {
#pragma unroll
        for (int e = 0; e < 4; e++)
            f->out[i][e] = 0.0f;
    }
}

/* The tile's product with v, folded into the run's. */
DEVICE void fold_tile(rows_state *run, const tile_sums *f, u32 values, const u32 p[16], int lane) {
    float2 w[2];
    u32 at = values + lane_offset(lane, true);
#pragma unroll
    for (int r = 0; r < 2; r++)
        w[r] = fold(&run->most[r], &run->sum[r], f->most[r], f->sum[r]);
#pragma unroll
    for (int i = 0; i < N_TILES; i += 4) {
        float out[4][4] = {};
        __syncwarp(); /* else the compiler loads ahead until registers spill */
#pragma unroll
        for (int k = 0; k < 4; k++) {
            if (i + 4 <= N_TILES)
                weigh(at + k * 16 * PITCH + i * 16, p + 4 * k, out);
            else
                weigh_few(at + k * 16 * PITCH + i * 16, p + 4 * k, out);
        }
#pragma unroll
        for (int j = 0; j < 4; j++) {
            if (i + j >= N_TILES) continue;
#pragma unroll
            for (int e = 0; e < 4; e++)
                run->out[i + j][e] = folded(run->out[i + j][e], out[j][e], w[e / 2]);
        }
    }
}

/* The run folded into the total, and cleared. */
DEVICE void fold_run(const paged_arguments *a, rows_state *run, rows_state *total) {
    float2 w[2];
    bool fresh = total->most[0] == MINUS_INFINITY && total->most[1] == MINUS_INFINITY;
#pragma unroll
    for (int r = 0; r < 2; r++)
        w[r] = fold(&total->most[r], &total->sum[r], run->most[r], run->sum[r]);
#pragma unroll
    for (int i = 0; i < N_TILES; i++) {
#if TOTAL_IN_MEMORY
        float4 *at = &a->totals[((i64)blockIdx.x * N_TILES + i) * THREADS + thread_index()];
        float4 v = fresh ? make_float4(0.0f, 0.0f, 0.0f, 0.0f) : *at;
        *at = make_float4(folded(v.x, run->out[i][0], w[0]), folded(v.y, run->out[i][1], w[0]),
            folded(v.z, run->out[i][2], w[1]), folded(v.w, run->out[i][3], w[1]));
#else
        (void)fresh;
#    pragma unroll
        for (int e = 0; e < 4; e++)
            total->out[i][e] = folded(total->out[i][e], run->out[i][e], w[e / 2]);
#endif
    }
    clear(run);
}

typedef struct tile_rows { /* 64 rows of one key head; in shared memory */
    sequence q;
    int head, first_row;
    int first, end; /* tiles of positions that any row sees */
} tile_rows;

DEVICE void set_rows(const paged_arguments *a, int index, tile_rows *u) {
    int tile = index / P_KV_HEADS, s = find(TILES, a->n_sequences, tile);
    sequence q = sequence_of(a, s);
    int first_row = (TILES[s + 1] - 1 - tile) * ROWS; /* the longest first */
    int last_row = min(first_row + ROWS, q.n_rows) - 1;
    u->q = q;
    u->head = index % P_KV_HEADS;
    u->first_row = first_row;
    u->first = first_seen(a, q.first_position + first_row / GROUP) / TILE;
    u->end = (q.first_position + last_row / GROUP) / TILE + 1;
}

DEVICE void store_rows(const paged_arguments *a, const tile_rows *u, const rows_state *total) {
    int g = thread_index() % 32 / 4, t = thread_index() % 4;
    int first = u->first_row + thread_index() / 32 * 16;
#pragma unroll
    for (int r = 0; r < 2; r++) {
        int row = first + g + r * 8;
        if (row >= u->q.n_rows) continue;
        u8 *y =
            a->y + row_offset(u->q.first_token, row, u->head, a->y_stride, P_Y_BF16 ? 2 : 4);
        float inverse = 1.0f / total->sum[r];
#pragma unroll
        for (int i = 0; i < N_TILES; i++) {
            if (i * 8 >= P_D) continue;
#if TOTAL_IN_MEMORY
            float4 v = a->totals[((i64)blockIdx.x * N_TILES + i) * THREADS + thread_index()];
            float x = r ? v.z : v.x, z = r ? v.w : v.y;
#else
            float x = total->out[i][2 * r], z = total->out[i][2 * r + 1];
#endif
            store_pair(y, i * 8 + 2 * t, x * inverse, z * inverse);
        }
    }
}

/* Tile `tile` of a sequence's positions to a stage: warps take halves of k, then of v. */
DEVICE void copy_tile(const paged_arguments *a, const tile_rows *u, int tile, u32 stage) {
    int warp = thread_index() / 32, lane = thread_index() % 32;
    int position = tile * TILE + warp % 2 * HALF + lane;
    int entry = position < u->q.context ? u->q.blocks[position / P_BLOCK] : -1;
    i64 row = place_of(a, entry, position, u->head);
    copy_half(stage + warp * PLACE, a->cache + (warp / 2 ? a->v_offset : 0), row, lane);
    copy_async_commit();
}

/* A tile's part in the warp's 16 rows. */
DEVICE void add_tile(
    const paged_arguments *a, const tile_rows *u, int tile, u32 stage, rows_state *run) {
    int warp = thread_index() / 32, lane = thread_index() % 32, own = u->first_row + warp * 16;
    int lowest = u->q.first_position + own / GROUP;
    int highest = u->q.first_position + (own + 15) / GROUP;
    u32 queries = shared_address(QUERIES) + warp * 16 * PITCH, p[16];
    float s[8][4];
    if (own >= u->q.n_rows || tile * TILE > highest) return;
    score_half(queries, stage, s, lane);
    score_half(queries, stage + PLACE, s + 4, lane);
    if (tile * TILE + TILE - 1 > lowest || tile * TILE <= highest - a->window) {
        int row = own + lane / 4;
        int positions[2] = {
            u->q.first_position + row / GROUP, u->q.first_position + (row + 8) / GROUP};
        mask(a, s, tile * TILE, positions, lane % 4);
    }
    tile_sums f = soften(a, s, p);
    fold_tile(run, &f, stage + 2 * PLACE, p, lane);
}

DEVICE void attend_rows(const paged_arguments *a, const tile_rows *u) {
    u32 places = shared_address(memory);
    rows_state run, total;
    clear(&run);
    clear(&total);
    load_queries(a, u->q.first_token, u->head, u->first_row + thread_index() / 32 * 16, u->q.n_rows);
    copy_tile(a, u, u->first, places + (P_STAGES == 2 ? u->first % 2 * 4 * PLACE : 0));
#pragma unroll 1
    for (int tile = u->first; tile < u->end; tile++) {
        u32 stage = places + (P_STAGES == 2 ? tile % 2 * 4 * PLACE : 0);
        COPY_ASYNC_WAIT(0);
        __syncthreads(); /* the tile of all warps; the other stage is read by all */
        if (P_STAGES == 2 && tile + 1 < u->end)
            copy_tile(a, u, tile + 1, places + (tile + 1) % 2 * 4 * PLACE);
        add_tile(a, u, tile, stage, &run);
        if (tile % RUN_TILES == RUN_TILES - 1 || tile == u->end - 1) fold_run(a, &run, &total);
        if (P_STAGES == 1 && tile + 1 < u->end) {
            __syncthreads(); /* the stage is read by all */
            copy_tile(a, u, tile + 1, places);
        }
    }
    store_rows(a, u, &total);
}

DEVICE void attend_tiles(const paged_arguments *a) {
    __shared__ tile_rows rows;
    int n = TILES[a->n_sequences] * P_KV_HEADS;
#pragma unroll 1
    for (int i = blockIdx.x; i < n; i += gridDim.x) {
        if (threadIdx.x == 0) set_rows(a, i, &rows);
        __syncthreads(); /* the item, before it is read */
        attend_rows(a, &rows);
        __syncthreads(); /* item and stages are read by all before the next is written */
    }
}

/* ---- few rows ---- */

/* The number'th unit of this block; one without runs behind the last. */
DEVICE void set_unit(const paged_arguments *a, const plan *p, int number) {
    int index = blockIdx.x + number * gridDim.x;
    unit *u = &LIST[number % LISTED];
    u->of = u->run = u->end = u->context = u->first_position = 0;
    if (index >= UNITS(a)[a->n_sequences]) return;
    int s = find(UNITS(a), a->n_sequences, index), i = index - UNITS(a)[s];
    sequence q = sequence_of(a, s);
    work w = work_of(a, &q, p->unit_runs);
    int pair = i % w.n_pairs, segment = i / w.n_pairs, first = first_run(a, &q);
    u->of = s;
    u->context = q.context;
    u->first_position = q.first_position;
    u->first_run = first;
    u->n_runs = w.n_runs;
    u->n_segments = w.n_segments;
    u->part = PARTS(a)[s] + pair * w.n_runs;
    u->head = pair % P_KV_HEADS;
    u->group = pair / P_KV_HEADS;
    u->n_rows = min(UNIT_ROWS, q.n_rows - u->group * UNIT_ROWS);
    u->run = first + segment * w.n_runs / w.n_segments;
    u->end = first + (segment + 1) * w.n_runs / w.n_segments;
}

typedef struct cursor { /* a run of a unit */
    int number, run;
} cursor;

DEVICE const unit *unit_at(cursor c) {
    return &LIST[c.number % LISTED];
}
DEVICE cursor next_run(cursor c) {
    cursor n = {c.number, c.run + 1};
    if (n.run < unit_at(c)->end) return n;
    n.number++;
    n.run = unit_at(n)->run;
    return n;
}

/* Of this warp's tile in a run, and this lane's position in a half. */
DEVICE int tile_offset(void) {
    return thread_index() / 32 * TILE + thread_index() % 32;
}

/* Whether any row sees tile `tile` of the run. */
DEVICE bool has_tile(const paged_arguments *a, const unit *u, int run, int tile) {
    int first = (run * RUN_TILES + tile) * TILE;
    return first < u->context && first + TILE > first_seen(a, u->first_position);
}

typedef struct totals { /* of UNIT_ROWS rows: four columns each of some rows a thread */
    float most[N_PIECES], sum[N_PIECES];
    float4 value[N_PIECES];
} totals;

DEVICE void clear_totals(totals *f) {
#pragma unroll
    for (int j = 0; j < N_PIECES; j++) {
        f->most[j] = MINUS_INFINITY;
        f->sum[j] = 0.0f;
        f->value[j] = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    }
}

/* Row and first column of this thread's piece j; row 16 where it has none. */
DEVICE int2 piece_of(int j) {
    int e = thread_index() + j % PER_THREAD * THREADS;
    return make_int2(e < 8 * CHUNKS ? j / PER_THREAD * 8 + e / CHUNKS : 16, e % CHUNKS * 4);
}

DEVICE float4 folded_4(float4 v, float4 more, float2 weights) {
    return make_float4(folded(v.x, more.x, weights), folded(v.y, more.y, weights),
        folded(v.z, more.z, weights), folded(v.w, more.w, weights));
}

/* The warps' tiles of the run, in `present` by bits, to the run, and that to the total. */
DEVICE void fold_piece(int present, int j, totals *total) {
    int2 at = piece_of(j);
    float most = MINUS_INFINITY, sum = 0.0f;
    float4 value = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
#pragma unroll
    for (int w = 0; w < WARPS; w++) {
        if (!(present >> w & 1)) continue;
        float2 more = SHARE_SUMS[w * 16 + at.x];
        float2 weights = fold(&most, &sum, more.x, more.y);
        value = folded_4(value,
            *(const float4 *)(SHARES + (w * 8 + at.x % 8) * SHARE_PITCH + at.y), weights);
    }
    float2 weights = fold(&total->most[j], &total->sum[j], most, sum);
    total->value[j] = folded_4(total->value[j], value, weights);
}

DEVICE void fold_shares(const paged_arguments *a, const unit *u, int run, const tile_sums *f,
    const float out[N_TILES][4], totals *total) {
    int warp = thread_index() / 32, lane = thread_index() % 32;
    int g = lane / 4, t = lane % 4, present = 0;
#pragma unroll
    for (int w = 0; w < WARPS; w++)
        present |= has_tile(a, u, run, w) << w;
#pragma unroll
    for (int half = 0; half < UNIT_ROWS / 8; half++) {
        if (half * 8 >= u->n_rows) continue;
        __syncthreads(); /* the last shares are read */
        if (present >> warp & 1) {
            if (t == 0)
                SHARE_SUMS[warp * 16 + half * 8 + g] = make_float2(f->most[half], f->sum[half]);
            float *row = SHARES + (warp * 8 + g) * SHARE_PITCH + 2 * t;
#pragma unroll
            for (int i = 0; i < N_TILES; i++)
                *(float2 *)(row + i * 8) = make_float2(out[i][2 * half], out[i][2 * half + 1]);
        }
        __syncthreads(); /* shares before they are read */
#pragma unroll
        for (int j = half * PER_THREAD; j < (half + 1) * PER_THREAD; j++)
            if (piece_of(j).x < u->n_rows) fold_piece(present, j, total);
    }
}

DEVICE void store_piece(const paged_arguments *a, const unit *u, int2 at, float4 v, float sum) {
    int row = u->group * UNIT_ROWS + at.x;
    u8 *y = a->y + row_offset(a->cu_seqlens[u->of], row, u->head, a->y_stride, P_Y_BF16 ? 2 : 4);
    float inverse = 1.0f / sum;
    store_pair(y, at.y, v.x * inverse, v.y * inverse);
    store_pair(y, at.y + 2, v.z * inverse, v.w * inverse);
}

DEVICE void store_totals(const paged_arguments *a, const unit *u, const totals *total) {
#pragma unroll
    for (int j = 0; j < N_PIECES; j++) {
        int2 at = piece_of(j);
        if (at.x < u->n_rows) store_piece(a, u, at, total->value[j], total->sum[j]);
    }
}

DEVICE void store_part(
    const paged_arguments *a, const plan *p, const unit *u, int run, const totals *total) {
#pragma unroll
    for (int j = 0; j < N_PIECES; j++) {
        int2 at = piece_of(j);
        if (at.x >= u->n_rows) continue;
        i64 row = (i64)(u->part + run - u->first_run) * p->part_rows + at.x;
        if (at.y == 0) a->part_sums[row] = make_float2(total->most[j], total->sum[j]);
        *(float4 *)(a->parts + row * P_D + at.y) = total->value[j];
    }
}

/* All parts of the unit's rows to the result. */
DEVICE void fold_parts(const paged_arguments *a, const plan *p, const unit *u) {
#pragma unroll 1
    for (int e = thread_index(); e < u->n_rows * CHUNKS; e += THREADS) {
        int2 at = make_int2(e / CHUNKS, e % CHUNKS * 4);
        float most = MINUS_INFINITY, sum = 0.0f;
        float4 value = make_float4(0.0f, 0.0f, 0.0f, 0.0f), v[PARTS_AT_ONCE];
        float2 more[PARTS_AT_ONCE];
#pragma unroll 1
        for (int i0 = 0; i0 < u->n_runs; i0 += PARTS_AT_ONCE) {
#pragma unroll
            for (int i = 0; i < PARTS_AT_ONCE; i++) { /* all loads, then their use */
                if (i0 + i >= u->n_runs) continue;
                i64 row = (i64)(u->part + i0 + i) * p->part_rows + at.x;
                more[i] = __ldcg(&a->part_sums[row]);
                v[i] = __ldcg((const float4 *)(a->parts + row * P_D + at.y));
            }
#pragma unroll
            for (int i = 0; i < PARTS_AT_ONCE; i++) {
                if (i0 + i >= u->n_runs) continue;
                value = folded_4(value, v[i], fold(&most, &sum, more[i].x, more[i].y));
            }
        }
        store_piece(a, u, at, value, sum);
    }
}

/* Whether this block is the last of these rows' units to be done. */
DEVICE bool is_last(const unit *u, u32 *flag) {
    __syncthreads(); /* the parts of all threads before the count that announces them */
    if (thread_index() == 0) {
        u32 *counter = &finished[(u->of * ROW_GROUPS + u->group) * P_KV_HEADS + u->head];
        *flag = add_and_synchronize(counter, 1) == (u32)u->n_segments - 1;
        if (*flag) *counter = 0;
    }
    __syncthreads(); /* the flag; and what thread 0 may read now, all may */
    return *flag != 0;
}

/* One warp's copies run ahead of its sums by P_STAGES halves: k, k, v, v of a tile, then of the
 * next run's. */
typedef struct ahead {
    int entries[2]; /* of the halves of a tile, a position a lane */
} ahead;

DEVICE ahead look_ahead(const paged_arguments *a, cursor c) {
    const unit *u = unit_at(c);
    const int *blocks = a->block_tables + (i64)u->of * a->max_blocks;
    ahead f;
#pragma unroll
    for (int h = 0; h < 2; h++) {
        int position = c.run * (RUN_TILES * TILE) + h * HALF + tile_offset();
        f.entries[h] = position < u->context ? blocks[position / P_BLOCK] : -1;
    }
    return f;
}

/* Copy number i of a tile's four, or none; a group either way. */
DEVICE void copy_ahead(const paged_arguments *a, cursor c, const ahead *f, bool any, int i) {
    int warp = thread_index() / 32, lane = thread_index() % 32;
    u32 to = shared_address(memory) + (warp * P_STAGES + i % P_STAGES) * PLACE;
    __syncwarp(); /* what the place held is read */
    if (any) {
        int position = c.run * (RUN_TILES * TILE) + i % 2 * HALF + tile_offset();
        i64 row = place_of(a, f->entries[i % 2], position, unit_at(c)->head);
        copy_half(to, a->cache + (i / 2 ? a->v_offset : 0), row, lane);
    }
    copy_async_commit();
}

/* Half i has come. */
DEVICE void await_half(void) {
    COPY_ASYNC_WAIT(P_STAGES - 1);
    __syncwarp();
}

/* One tile of few rows: its sums, and its product with v to `out`.  Copies of the next begin. */
DEVICE tile_sums attend_tile(const paged_arguments *a, cursor now, const ahead *rows, cursor next,
    const ahead *next_rows, bool next_own, float out[N_TILES][4]) {
    int warp = thread_index() / 32, lane = thread_index() % 32;
    u32 places = shared_address(memory) + warp * P_STAGES * PLACE, weights[16];
    u32 queries = shared_address(QUERIES) + now.number % 2 * 16 * PITCH;
    int first = (now.run * RUN_TILES + warp) * TILE;
    const unit *u = unit_at(now);
    float s[8][4];
#pragma unroll
    for (int h = 0; h < 2; h++) {
        await_half();
        score_half(queries, places + h % P_STAGES * PLACE, s + 4 * h, lane);
        copy_ahead(a, now, rows, true, h + P_STAGES);
    }
    if (first + TILE > u->first_position || first <= u->context - 1 - a->window) {
        int row = u->group * UNIT_ROWS + lane / 4;
        int positions[2] = {u->first_position + row / GROUP, u->first_position + (row + 8) / GROUP};
        mask(a, s, first, positions, lane % 4);
    }
    tile_sums f = soften(a, s, weights);
#pragma unroll
    for (int h = 0; h < 2; h++) {
        await_half();
        u32 at = places + h % P_STAGES * PLACE + lane_offset(lane, true);
#pragma unroll
        for (int i = 0; i < N_TILES; i += 2) {
            if (i % 4 == 0) __syncwarp(); /* as in fold_tile */
            weigh_few(at + i * 16, weights + 8 * h, out + i);
            weigh_few(at + 16 * PITCH + i * 16, weights + 8 * h + 4, out + i);
        }
        if (h + P_STAGES < 2)
            copy_ahead(a, now, rows, true, 3);
        else
            copy_ahead(a, next, next_rows, next_own, h + P_STAGES - 2);
    }
    return f;
}

/* Queries of a unit: a warp has four of 16 rows; in registers between fetch and put. */
typedef struct fetched {
    query_word words[4][FETCHED];
} fetched;

DEVICE void fetch_queries(const paged_arguments *a, cursor c, fetched *f) {
    const unit *u = unit_at(c);
    int lane = thread_index() % 32, first_token = u->end > u->run ? a->cu_seqlens[u->of] : 0;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        int r = thread_index() / 32 * 4 + i, row = u->group * UNIT_ROWS + r;
        const u8 *from =
            a->q + row_offset(first_token, row, u->head, a->q_stride, P_Q_BF16 ? 2 : 4);
        bool any = u->end > u->run && r < u->n_rows;
#pragma unroll
        for (int j = 0; j < FETCHED; j++)
            f->words[i][j] = query_word_at(from, any, lane * 2 + j * 64);
    }
}

DEVICE void put_queries(cursor c, const fetched *f) {
    int lane = thread_index() % 32;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        u8 *to = QUERIES + (c.number % 2 * 16 + thread_index() / 32 * 4 + i) * PITCH;
#pragma unroll
        for (int j = 0; j < FETCHED; j++) {
            int column = lane * 2 + j * 64;
            if (column < WIDTH) *(u32 *)(to + column * 2) = query_pair(f->words[i][j]);
        }
    }
}

/* After a run: what becomes of the total; `ends`: the unit's last. */
DEVICE void end_run_of(const paged_arguments *a, const plan *p, cursor c, bool ends, totals *total) {
    __shared__ u32 flag;
    const unit *u = unit_at(c);
    if (u->n_segments == 1) {
        if (!ends) return;
        store_totals(a, u, total);
    } else {
        store_part(a, p, u, c.run, total);
        if (ends && is_last(u, &flag)) fold_parts(a, p, u);
    }
    clear_totals(total);
}

DEVICE void attend_units(const paged_arguments *a, const plan *p) {
    totals total;
    cursor now = {0, LIST[0].run};
    ahead rows = look_ahead(a, now);
    if (LIST[0].run == LIST[0].end) return;
    for (int i = 0; i < P_STAGES; i++)
        copy_ahead(a, now, &rows, has_tile(a, unit_at(now), now.run, thread_index() / 32), i);
    fetched queries;
    fetch_queries(a, now, &queries);
    put_queries(now, &queries);
    clear_totals(&total);
    __syncthreads(); /* queries, before they are read */
#pragma unroll 1
    while (now.run < unit_at(now)->end) {
        const unit *u = unit_at(now);
        cursor next = next_run(now);
        bool next_own = has_tile(a, unit_at(next), next.run, thread_index() / 32);
        bool ends = next.number != now.number, refill = ends && next.number % (LISTED / 2) == 0;
        ahead next_rows = look_ahead(a, next);
        if (ends && P_D <= 128) fetch_queries(a, next, &queries);
        tile_sums f = {};
        float out[N_TILES][4] = {};
        if (has_tile(a, u, now.run, thread_index() / 32)) {
            f = attend_tile(a, now, &rows, next, &next_rows, next_own, out);
        } else {
            for (int i = 0; i < P_STAGES; i++)
                copy_ahead(a, next, &next_rows, next_own, i);
        }
        if (ends && P_D > 128) fetch_queries(a, next, &queries); /* no registers before */
        if (ends) put_queries(next, &queries); /* fold_shares has barriers, before they are read */
        fold_shares(a, u, now.run, &f, out, &total);
        end_run_of(a, p, now, ends, &total);
        __syncthreads(); /* shares and unit are read by all */
        if (refill && thread_index() < LISTED / 2)
            set_unit(a, p, next.number + LISTED / 2 + thread_index());
        if (refill) __syncthreads(); /* the units, before they are read */
        now = next;
        rows = next_rows;
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, P_RESIDENT) attention_paged(
    const __grid_constant__ paged_arguments a) {
    __shared__ plan p;
    grid_launch_dependents();
    clear_padding();
    make_plan(&a, &p); /* of the step's own arrays, older than any kernel of it */
    if (threadIdx.x < LISTED) set_unit(&a, &p, threadIdx.x);
    __syncthreads(); /* the units, before they are read */
    grid_wait();
    attend_tiles(&a);
    attend_units(&a, &p);
}
