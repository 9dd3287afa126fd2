/* Sources of Hugging Face directories and dummy ones: what rows are served, to which rank, in which
 * type.  The oracle is the files' own bytes, cut up here by plain loops. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/log.h"
#include "models/source_internal.h"
#include "support/weights.h"

/* ---- files as they lie ---- */

typedef struct hf_files {
    tri_arena arena;
    tri_safetensors_set set;
} hf_files;

static void open_files(hf_files *f, const char *family) {
    char path[512];
    tri_error err = {0};
    *f = (hf_files){0};
    tri_arena_init(&f->arena, 0);
    (void)snprintf(path, sizeof path, "%s/golden/%s", TRI_TESTS_DIR, family);
    golden_ok(tri_safetensors_set_open(&f->set, path, &f->arena, &err), &err);
}

static void close_files(hf_files *f) {
    tri_safetensors_set_close(&f->set);
    tri_arena_deinit(&f->arena);
}

/* The weight's bytes are those of bytes [first, first + n) of these tensors, one after the other.
 */
static void assert_made_of(const tri_source *s, const char *name, const hf_files *f,
    const char *const *tensors, int n_tensors) {
    weight_bytes w = weights_read(s, 0, name);
    int64_t at = 0;
    for (int i = 0; i < n_tensors; i++) {
        const tri_safetensor *t = tri_safetensors_set_find(&f->set, tensors[i]);
        assert_non_null(t);
        assert_int_equal(t->dtype, w.info->type.dtype);
        assert_true(at + t->n_bytes <= w.n_bytes);
        assert_memory_equal(w.bytes + at, t->data, (size_t)t->n_bytes);
        at += t->n_bytes;
    }
    assert_int_equal(at, w.n_bytes);
    free(w.bytes);
}
#define ASSERT_MADE_OF(s, name, f, ...)                                                            \
    assert_made_of(s, name, f, (const char *const[]){__VA_ARGS__},                                 \
        (int)(sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *)))

static void test_names_follow_tensorrt_llm(void **state) {
    (void)state;
    const char *family = "families/llama_bias";
    tri_source *s = weights_open(family, TRI_N_DTYPES, 0, 0);
    hf_files f;
    open_files(&f, family);
#define L "transformer.layers.2."
#define H "model.layers.2."
    ASSERT_MADE_OF(s, "transformer.vocab_embedding.weight", &f, "model.embed_tokens.weight");
    ASSERT_MADE_OF(s, L "input_layernorm.weight", &f, H "input_layernorm.weight");
    ASSERT_MADE_OF(s, L "attention.qkv.weight", &f, H "self_attn.q_proj.weight",
        H "self_attn.k_proj.weight", H "self_attn.v_proj.weight");
    ASSERT_MADE_OF(s, L "attention.qkv.bias", &f, H "self_attn.q_proj.bias",
        H "self_attn.k_proj.bias", H "self_attn.v_proj.bias");
    ASSERT_MADE_OF(s, L "attention.dense.weight", &f, H "self_attn.o_proj.weight");
    ASSERT_MADE_OF(s, L "attention.dense.bias", &f, H "self_attn.o_proj.bias");
    ASSERT_MADE_OF(s, L "post_layernorm.weight", &f, H "post_attention_layernorm.weight");
    ASSERT_MADE_OF(s, L "mlp.fc.weight", &f, H "mlp.gate_proj.weight");
    ASSERT_MADE_OF(s, L "mlp.gate.weight", &f, H "mlp.up_proj.weight");
    ASSERT_MADE_OF(s, L "mlp.gate.bias", &f, H "mlp.up_proj.bias");
    ASSERT_MADE_OF(s, L "mlp.proj.weight", &f, H "mlp.down_proj.weight");
    ASSERT_MADE_OF(s, "transformer.ln_f.weight", &f, "model.norm.weight");
    ASSERT_MADE_OF(s, "lm_head.weight", &f, "lm_head.weight");
    assert_int_equal(tri_source_n_weights(s, 0), 3 * (7 + 5) + 3);
    assert_int_equal(tri_source_get_kind(s), TRI_SOURCE_HF);
    assert_int_equal(tri_source_config(s)->dtype, TRI_F16);
    close_files(&f);
    tri_source_close(s);
}

static void test_gemma_keeps_its_extra_norms(void **state) {
    (void)state;
    const char *family = "families/gemma3";
    tri_source *s = weights_open(family, TRI_N_DTYPES, 0, 0);
    hf_files f;
    open_files(&f, family);
    ASSERT_MADE_OF(
        s, L "pre_feedforward_layernorm.weight", &f, H "pre_feedforward_layernorm.weight");
    ASSERT_MADE_OF(
        s, L "post_feedforward_layernorm.weight", &f, H "post_feedforward_layernorm.weight");
    ASSERT_MADE_OF(s, L "post_layernorm.weight", &f, H "post_attention_layernorm.weight");
    ASSERT_MADE_OF(s, L "attention.q_layernorm.weight", &f, H "self_attn.q_norm.weight");
    ASSERT_MADE_OF(s, L "attention.k_layernorm.weight", &f, H "self_attn.k_norm.weight");
    assert_int_equal(tri_source_find(s, 0, "lm_head.weight"), -1); /* tied */
    close_files(&f);
    tri_source_close(s);
}

static void test_phi3_is_split(void **state) {
    (void)state;
    const char *family = "families/phi3";
    tri_source *s = weights_open(family, TRI_N_DTYPES, 0, 0);
    hf_files f;
    open_files(&f, family);
    ASSERT_MADE_OF(s, L "attention.qkv.weight", &f, H "self_attn.qkv_proj.weight");
    const tri_safetensor *both = tri_safetensors_set_find(&f.set, H "mlp.gate_up_proj.weight");
    weight_bytes fc = weights_read(s, 0, L "mlp.fc.weight");
    weight_bytes gate = weights_read(s, 0, L "mlp.gate.weight");
    assert_int_equal(fc.n_bytes + gate.n_bytes, both->n_bytes);
    assert_memory_equal(fc.bytes, both->data, (size_t)fc.n_bytes);
    assert_memory_equal(gate.bytes, both->data + fc.n_bytes, (size_t)gate.n_bytes);
    free(fc.bytes);
    free(gate.bytes);
    close_files(&f);
    tri_source_close(s);
}

/* ---- tensor parallelism ---- */

/* Rows [first, first + n) x columns [c, c + k) of the whole are the shard's rows from `at` on. */
static void assert_block(const weight_bytes *shard, int64_t at, const weight_bytes *whole,
    int64_t first, int64_t n, int64_t c, int64_t k) {
    int64_t elem = tri_dtype_get(whole->info->type.dtype)->block_bytes;
    bool vector = whole->info->type.n_dims == 1;
    int64_t whole_row = vector ? elem : whole->info->row_bytes;
    int64_t shard_row = vector ? elem : shard->info->row_bytes;
    assert_int_equal(shard_row, k * elem);
    assert_true(
        (at + n) * shard_row <= shard->n_bytes && (first + n) * whole_row <= whole->n_bytes);
    for (int64_t r = 0; r < n; r++)
        if (memcmp(shard->bytes + (at + r) * shard_row,
                whole->bytes + (first + r) * whole_row + c * elem, (size_t)(k * elem)) != 0)
            fail_msg("%s: row %d differs", shard->info->name, (int)r);
}

static int64_t n_rows(const weight_bytes *w) {
    return w->info->type.dims[0];
}

static void check_shard(const tri_model_config *c, const weight_bytes *shard,
    const weight_bytes *whole, int64_t tp, int64_t rank) {
    const char *name = whole->info->name;
    bool bias = strstr(name, ".bias") != NULL;
    int64_t rows = n_rows(whole),
            columns = whole->info->type.n_dims == 1 ? 1 : whole->info->type.dims[1];
    if (strstr(name, "attention.qkv")) {
        int64_t d = c->head_size, h = c->n_heads, kv = c->n_kv_heads;
        int64_t n_kv = kv > tp ? kv / tp : 1, first_kv = kv > tp ? rank * n_kv : rank / (tp / kv);
        assert_int_equal(n_rows(shard), (h / tp + 2 * n_kv) * d);
        assert_block(shard, 0, whole, rank * (h / tp) * d, h / tp * d, 0, columns);
        assert_block(shard, h / tp * d, whole, (h + first_kv) * d, n_kv * d, 0, columns);
        assert_block(
            shard, (h / tp + n_kv) * d, whole, (h + kv + first_kv) * d, n_kv * d, 0, columns);
    } else if (strstr(name, "mlp.fc") || strstr(name, "mlp.gate")) {
        assert_int_equal(n_rows(shard), rows / tp);
        assert_block(shard, 0, whole, rank * (rows / tp), rows / tp, 0, columns);
    } else if (!bias && (strstr(name, "attention.dense") || strstr(name, "mlp.proj"))) {
        assert_int_equal(n_rows(shard), rows);
        assert_block(shard, 0, whole, 0, rows, rank * (columns / tp), columns / tp);
    } else if (strstr(name, "lm_head")) {
        int64_t each = (rows + tp - 1) / tp,
                real = rows - rank * each < each ? rows - rank * each : each;
        assert_int_equal(n_rows(shard), each);
        assert_block(shard, 0, whole, rank * each, real, 0, columns);
        for (int64_t i = real * shard->info->row_bytes; i < shard->n_bytes; i++)
            assert_int_equal(shard->bytes[i], 0);
    } else {
        assert_int_equal(n_rows(shard), rows);
        assert_block(shard, 0, whole, 0, rows, 0, columns);
    }
}

static void check_shards(const char *family, tri_dtype dtype, int32_t tp) {
    tri_source *whole = weights_open(family, dtype, 1, 1);
    tri_source *cut = weights_open(family, dtype, tp, 1);
    const tri_model_config *c = tri_source_config(cut);
    bool tied = c->tie_word_embeddings;
    assert_int_equal(c->mapping.tp_size, tp);
    for (int32_t rank = 0; rank < tp; rank++) {
        /* the head of a tied model is cut from the embedding, which every rank has whole */
        assert_int_equal(
            tri_source_n_weights(cut, rank), tri_source_n_weights(whole, 0) + (tied ? 1 : 0));
        for (int32_t i = 0; i < tri_source_n_weights(cut, rank); i++) {
            const char *name = tri_source_get(cut, rank, i)->name;
            bool head = tied && strcmp(name, "lm_head.weight") == 0;
            weight_bytes w =
                weights_read(whole, 0, head ? "transformer.vocab_embedding.weight" : name);
            weight_bytes part = weights_read(cut, rank, name);
            tri_source_weight info = *w.info;
            info.name = name;
            w.info = &info;
            check_shard(c, &part, &w, tp, rank);
            free(w.bytes);
            free(part.bytes);
        }
    }
    tri_source_close(whole);
    tri_source_close(cut);
}

static void test_shards(void **state) {
    (void)state;
    check_shards("families/llama_mha", TRI_N_DTYPES, 4); /* 261 words: three rows of padding */
    check_shards("families/llama_bias", TRI_N_DTYPES, 2);
    check_shards("families/llama_bias", TRI_F32, 4);  /* 2 kv heads, each on two ranks */
    check_shards("families/llama_tied", TRI_BF16, 3); /* 1 kv head on all */
    check_shards("families/qwen3_bias", TRI_N_DTYPES, 2);
    check_shards("families/gemma3", TRI_N_DTYPES, 4);
    check_shards("families/phi3", TRI_F16, 2);
}

static void test_parallel_embedding(void **state) {
    (void)state;
    const tri_weight_rule rule = {"transformer.vocab_embedding", .shard = TRI_SHARD_VOCAB};
    tri_model_config c = {.vocab_size = 10, .hidden_size = 8, .mapping = {4, 1}};
    tri_error err = {0};
    tri_shard s;
    golden_ok(tri_shard_take(&c, &rule, rule.canonical, false, 3, &s, &err), &err);
    assert_int_equal(s.n_rows, 10);
    assert_int_equal(s.n_columns, 8);
    c.use_parallel_embedding = true;
    golden_ok(tri_shard_take(&c, &rule, rule.canonical, false, 3, &s, &err), &err);
    assert_int_equal(s.first[0], 9);
    assert_int_equal(s.n[0], 1);
    assert_int_equal(s.pad_rows, 2);
    assert_int_equal(s.n_rows, 3);
    c.embedding_sharding_dim = 1;
    golden_ok(tri_shard_take(&c, &rule, rule.canonical, false, 3, &s, &err), &err);
    assert_int_equal(s.n_rows, 10);
    assert_int_equal(s.first_column, 6);
    assert_int_equal(s.n_columns, 2);
    c.mapping.tp_size = 3;
    assert_int_equal(tri_shard_take(&c, &rule, rule.canonical, false, 0, &s, &err), TRI_E_LIMIT);
    assert_non_null(strstr(err.message, "8 columns"));
}

static void test_uneven_cuts_are_refused(void **state) {
    (void)state;
    char path[512];
    tri_error err = {0};
    tri_source *s = NULL;
    (void)snprintf(path, sizeof path, "%s/golden/families/llama_mha", TRI_TESTS_DIR);
    tri_source_options options = {.dtype = TRI_N_DTYPES, .tp_size = 3}; /* of 4 heads */
    assert_int_not_equal(tri_source_open(&s, path, &options, &err), TRI_OK);
    assert_null(s);
    options = (tri_source_options){.dtype = TRI_N_DTYPES, .pp_size = 2}; /* of 3 layers */
    assert_int_not_equal(tri_source_open(&s, path, &options, &err), TRI_OK);
    options = (tri_source_options){.dtype = TRI_Q4_0};
    assert_int_equal(tri_source_open(&s, path, &options, &err), TRI_E_ARGUMENT);
    options = (tri_source_options){.dtype = TRI_N_DTYPES, .tp_size = -1};
    assert_int_equal(tri_source_open(&s, path, &options, &err), TRI_E_ARGUMENT);
}

/* ---- pipeline parallelism ---- */

static void test_stages(void **state) {
    (void)state;
    tri_source *whole = weights_open("families/qwen2", TRI_N_DTYPES, 1, 1);
    tri_source *staged = weights_open("families/qwen2", TRI_N_DTYPES, 1, 2);
    assert_int_equal(tri_source_n_weights(staged, 0) + tri_source_n_weights(staged, 1),
        tri_source_n_weights(whole, 0));
    assert_int_equal(tri_source_find(staged, 1, "transformer.vocab_embedding.weight"), -1);
    assert_int_equal(tri_source_find(staged, 0, "transformer.ln_f.weight"), -1);
    assert_int_equal(tri_source_find(staged, 0, "lm_head.weight"), -1);
    weight_bytes a = weights_read(whole, 0, "transformer.layers.3.attention.qkv.bias");
    weight_bytes b = weights_read(staged, 1, "transformer.layers.1.attention.qkv.bias");
    assert_int_equal(a.n_bytes, b.n_bytes);
    assert_memory_equal(a.bytes, b.bytes, (size_t)a.n_bytes);
    free(a.bytes);
    free(b.bytes);
    tri_source_close(whole);
    tri_source_close(staged);
}

/* ---- dtypes ---- */

static void test_conversions(void **state) {
    (void)state;
    const char *name = L "attention.qkv.weight";
    /* stored as float32, and exact in bfloat16 and float16 (the generator sees to it) */
    tri_source *f32 = weights_open("families/qwen3_bias", TRI_N_DTYPES, 0, 0);
    weight_bytes x = weights_read(f32, 0, name);
    assert_int_equal(x.info->type.dtype, TRI_F32);
    tri_dtype dtypes[] = {TRI_BF16, TRI_F16};
    for (int i = 0; i < 2; i++) {
        tri_source *s = weights_open("families/qwen3_bias", dtypes[i], 0, 0);
        weight_bytes y = weights_read(s, 0, name);
        assert_int_equal(y.info->type.dtype, dtypes[i]);
        assert_int_equal(tri_source_config(s)->dtype, dtypes[i]);
        assert_int_equal(y.n_bytes * 2, x.n_bytes);
        for (int64_t k = 0; k < x.n_bytes / 4; k++) {
            float want;
            uint16_t got;
            memcpy(&want, x.bytes + 4 * k, 4);
            memcpy(&got, y.bytes + 2 * k, 2);
            float value = dtypes[i] == TRI_BF16 ? tri_bf16_to_f32(got) : tri_f16_to_f32(got);
            assert_true(value >= want && value <= want);
        }
        free(y.bytes);
        tri_source_close(s);
    }
    free(x.bytes);
    tri_source_close(f32);
}

/* ---- files that do not fit the config ---- */

/* Copies llama_mha into dir, without tensor `drop`, with a tensor `extra` (each may be NULL). */
static void copy_model(const char *dir, const char *drop, const char *extra) {
    char path[600], config[600];
    tri_error err = {0};
    hf_files f;
    tri_safetensors_writer *w = NULL;
    const int64_t two = 2;
    const float zeros[2] = {0};
    open_files(&f, "families/llama_mha");
    tri_safetensors *file = &f.set.files[0];
    (void)snprintf(path, sizeof path, "%s/model.safetensors", dir);
    golden_ok(tri_safetensors_writer_open(&w, path, &err), &err);
    for (int32_t i = 0; i < file->n_tensors; i++) {
        const tri_safetensor *t = &file->tensors[i];
        if (drop && strcmp(t->name, drop) == 0) continue;
        golden_ok(
            tri_safetensors_writer_declare(w, t->name, t->dtype, t->dims, t->n_dims, &err), &err);
    }
    if (extra) golden_ok(tri_safetensors_writer_declare(w, extra, TRI_F32, &two, 1, &err), &err);
    golden_ok(tri_safetensors_writer_begin(w, 8, &err), &err);
    for (int32_t i = 0; i < file->n_tensors; i++) {
        const tri_safetensor *t = &file->tensors[i];
        if (drop && strcmp(t->name, drop) == 0) continue;
        golden_ok(tri_safetensors_writer_write(w, t->data, (size_t)t->n_bytes, &err), &err);
    }
    if (extra) golden_ok(tri_safetensors_writer_write(w, zeros, sizeof zeros, &err), &err);
    golden_ok(tri_safetensors_writer_commit(w, &err), &err);
    tri_str text;
    (void)snprintf(
        config, sizeof config, "%s/golden/families/llama_mha/config.json", TRI_TESTS_DIR);
    golden_ok(tri_file_read(config, 1 << 20, &f.arena, &text, &err), &err);
    (void)snprintf(path, sizeof path, "%s/config.json", dir);
    golden_ok(tri_file_replace(path, text.ptr, text.len, &err), &err);
    close_files(&f);
}

static void test_missing_tensor_is_named_twice(void **state) {
    (void)state;
    char *dir = weights_make_dir();
    copy_model(dir, H "mlp.up_proj.weight", NULL);
    tri_error err = {0};
    tri_source *s = NULL;
    tri_source_options options = {.dtype = TRI_N_DTYPES};
    assert_int_equal(tri_source_open(&s, dir, &options, &err), TRI_E_NOT_FOUND);
    assert_non_null(strstr(err.message, H "mlp.up_proj.weight"));
    assert_non_null(strstr(err.message, L "mlp.gate.weight"));
    weights_remove_dir(dir);
}

static char logged[4096];

static void keep_log(void *user, tri_log_level level, const char *line) {
    (void)user;
    if (level == TRI_LOG_WARN) (void)snprintf(logged, sizeof logged, "%s", line);
}

static void test_unused_tensors_are_named(void **state) {
    (void)state;
    static const struct {
        const char *extra;
        bool warns;
    } cases[] = {{NULL, false}, {"vision.weight", true},
        {"model.layers.0.self_attn.rotary_emb.inv_freq", false}}; /* a buffer of old files */
    tri_log_configure(TRI_LOG_WARN, keep_log, NULL);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *dir = weights_make_dir();
        tri_error err = {0};
        tri_source *s = NULL;
        tri_source_options options = {.dtype = TRI_N_DTYPES};
        copy_model(dir, NULL, cases[i].extra);
        logged[0] = '\0';
        golden_ok(tri_source_open(&s, dir, &options, &err), &err);
        assert_int_equal(strstr(logged, "unused_tensors=1") != NULL, cases[i].warns);
        if (cases[i].warns) assert_non_null(strstr(logged, cases[i].extra));
        tri_source_close(s);
        weights_remove_dir(dir);
    }
    tri_log_configure(TRI_LOG_WARN, NULL, NULL);
}

static void test_wrong_shapes_are_told(void **state) {
    (void)state;
    char *dir = weights_make_dir();
    char path[600];
    tri_error err = {0};
    tri_arena arena;
    tri_str text;
    tri_source *s = NULL;
    tri_source_options options = {.dtype = TRI_N_DTYPES};
    tri_arena_init(&arena, 0);
    copy_model(dir, NULL, NULL);
    (void)snprintf(path, sizeof path, "%s/config.json", dir);
    golden_ok(tri_file_read(path, 1 << 20, &arena, &text, &err), &err);
    char *config = tri_arena_strndup(&arena, text.ptr, text.len);
    char *at = strstr(config, "\"intermediate_size\": 160");
    assert_non_null(at);
    memcpy(at, "\"intermediate_size\": 168", strlen("\"intermediate_size\": 168"));
    golden_ok(tri_file_replace(path, config, text.len, &err), &err);
    assert_int_equal(tri_source_open(&s, dir, &options, &err), TRI_E_FORMAT);
    assert_non_null(strstr(err.message, "model.layers.0.mlp.gate_proj.weight"));
    assert_non_null(strstr(err.message, "[160, 64]"));
    assert_non_null(strstr(err.message, "[168, 64]"));
    tri_arena_deinit(&arena);
    weights_remove_dir(dir);
}

static void test_paths_that_are_no_model(void **state) {
    (void)state;
    char *dir = weights_make_dir();
    tri_error err = {0};
    tri_source *s = NULL;
    tri_source_options options = {.dtype = TRI_N_DTYPES};
    assert_int_equal(tri_source_open(&s, dir, &options, &err), TRI_E_NOT_FOUND);
    assert_non_null(strstr(err.message, "config.json"));
    assert_non_null(strstr(err.message, dir));
    assert_int_equal(tri_source_open(&s, "/nonexistent/x", &options, &err), TRI_E_NOT_FOUND);
    assert_int_equal(tri_source_open(&s, __FILE__, &options, &err), TRI_E_FORMAT);
    static const struct {
        const char *file, *content, *said;
    } cases[] = {{"empty.gguf", "", "empty"}, {"torn.gguf", "GGU", "GGUF"},
        {"rank0.engine", "x", "rank of an engine"}};
    char path[700];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", dir, cases[i].file);
        golden_ok(tri_file_replace(path, cases[i].content, strlen(cases[i].content), &err), &err);
        assert_int_not_equal(tri_source_open(&s, path, &options, &err), TRI_OK);
        assert_non_null(strstr(err.message, cases[i].said));
    }
    static const char engine[] = "{\"pretrained_config\": {}, \"build_config\": {}}";
    (void)snprintf(path, sizeof path, "%s/config.json", dir);
    golden_ok(tri_file_replace(path, engine, strlen(engine), &err), &err);
    assert_int_equal(tri_source_open(&s, dir, &options, &err), TRI_E_ARGUMENT);
    assert_non_null(strstr(err.message, "it is an engine, already built: give the model"));
    (void)snprintf(path, sizeof path, "%s/rank0.engine", dir);
    golden_ok(tri_path_remove_tree(path, &err), &err);
    assert_int_equal(tri_source_open(&s, dir, &options, &err), TRI_E_ARGUMENT);
    assert_non_null(strstr(err.message, "rank0.engine is missing"));
    weights_remove_dir(dir);
}

/* ---- dummy ---- */

static tri_source *open_dummy(const char *family, tri_dtype dtype, int32_t tp, int32_t pp) {
    char path[512];
    tri_error err = {0};
    tri_source *s = NULL;
    tri_source_options options = {.dtype = dtype, .tp_size = tp, .pp_size = pp, .dummy = true};
    (void)snprintf(path, sizeof path, "%s/golden/%s", TRI_TESTS_DIR, family);
    golden_ok(tri_source_open(&s, path, &options, &err), &err);
    return s;
}

/* 192 x 96 values: the mean is within 5 / sqrt(n) deviations of 0, the deviation within 5 / sqrt(2
 * n) of 1 / sqrt(96), in all but one of a million sets of normal numbers (these are always the
 * same). */
static void test_dummy_is_normal(void **state) {
    (void)state;
    tri_source *s = open_dummy("families/phi3", TRI_F32, 1, 1);
    weight_bytes w = weights_read(s, 0, L "attention.qkv.weight");
    const float *x = (const float *)(void *)w.bytes;
    int64_t n = w.n_bytes / 4;
    double sum = 0, deviation = golden_deviation(x, n) * sqrt(96), beyond = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += x[i];
        beyond += fabs((double)x[i]) * sqrt(96) > 1.959964; /* 5 % of a normal distribution */
    }
    assert_int_equal(n, 192 * 96);
    assert_true(fabs(sum / (double)n) * sqrt(96) < 5 / sqrt((double)n));
    assert_true(fabs(deviation - 1) < 5 / sqrt(2 * (double)n));
    assert_true(fabs(beyond / (double)n - 0.05) < 5 * sqrt(0.05 * 0.95 / (double)n));
    free(w.bytes);
    /* other weights are other numbers */
    weight_bytes fc = weights_read(s, 0, L "mlp.fc.weight");
    weight_bytes gate = weights_read(s, 0, L "mlp.gate.weight");
    assert_memory_not_equal(fc.bytes, gate.bytes, (size_t)fc.n_bytes);
    free(fc.bytes);
    free(gate.bytes);
    tri_source_close(s);
}

static void test_dummy_norms_change_nothing(void **state) {
    (void)state;
    tri_source *s = open_dummy("families/phi3", TRI_F32, 1, 1);
    tri_source *gemma = open_dummy("families/gemma2", TRI_F32, 1, 1); /* multiplies by 1 + w */
    weight_bytes one = weights_read(s, 0, L "post_layernorm.weight");
    weight_bytes zero = weights_read(gemma, 0, L "post_layernorm.weight");
    for (int64_t i = 0; i < one.info->type.dims[0]; i++)
        assert_true(fabsf(((const float *)(void *)one.bytes)[i] - 1) < 1e-9F);
    for (int64_t i = 0; i < zero.info->type.dims[0]; i++)
        assert_true(fabsf(((const float *)(void *)zero.bytes)[i]) < 1e-9F);
    free(one.bytes);
    free(zero.bytes);
    tri_source_close(s);
    tri_source_close(gemma);
}

/* Shards of dummies are cut from one and the same model. */
static void test_dummy_shards(void **state) {
    (void)state;
    tri_source *whole = open_dummy("families/qwen2", TRI_N_DTYPES, 1, 1);
    tri_source *cut = open_dummy("families/qwen2", TRI_N_DTYPES, 2, 2);
    for (int32_t rank = 0; rank < 4; rank++)
        for (int32_t i = 0; i < tri_source_n_weights(cut, rank); i++) {
            const char *name = tri_source_get(cut, rank, i)->name;
            char in_whole[96];
            int layer, at = 0;
            (void)snprintf(in_whole, sizeof in_whole, "%s", name);
            if (sscanf(name, "transformer.layers.%d%n", &layer, &at) == 1)
                (void)snprintf(in_whole, sizeof in_whole, "transformer.layers.%d%s",
                    layer + rank / 2 * 2, name + at);
            weight_bytes w = weights_read(whole, 0, in_whole), part = weights_read(cut, rank, name);
            check_shard(tri_source_config(cut), &part, &w, 2, rank % 2);
            free(w.bytes);
            free(part.bytes);
        }
    tri_source_close(whole);
    tri_source_close(cut);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_follow_tensorrt_llm),
        cmocka_unit_test(test_gemma_keeps_its_extra_norms),
        cmocka_unit_test(test_phi3_is_split),
        cmocka_unit_test(test_shards),
        cmocka_unit_test(test_parallel_embedding),
        cmocka_unit_test(test_uneven_cuts_are_refused),
        cmocka_unit_test(test_stages),
        cmocka_unit_test(test_conversions),
        cmocka_unit_test(test_missing_tensor_is_named_twice),
        cmocka_unit_test(test_unused_tensors_are_named),
        cmocka_unit_test(test_wrong_shapes_are_told),
        cmocka_unit_test(test_paths_that_are_no_model),
        cmocka_unit_test(test_dummy_is_normal),
        cmocka_unit_test(test_dummy_norms_change_nothing),
        cmocka_unit_test(test_dummy_shards),
    };
    return cmocka_run_group_tests_name("models/source", tests, NULL, NULL);
}
