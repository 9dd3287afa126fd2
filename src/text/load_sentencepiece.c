/* load_sentencepiece.c - tokenizer.model: SentencePiece's ModelProto, BPE, Unigram and characters.
 *
 * Only the fields of sentencepiece_model.proto that decide ids and text are read; the wire format
 * is read by hand, every length checked against what is left. */
#include <string.h>

#include "base/json.h"
#include "text/pipeline.h"
#include "text/spm.h"
#include "text/spm_bpe.h"

/* ---- the wire format ---- */

typedef struct message {
    const uint8_t *at, *end;
} message;

typedef struct field {
    uint32_t number;
    uint32_t wire; /* 0 varint, 1 eight bytes, 2 length-delimited, 5 four bytes */
    uint64_t value;
    tri_str bytes;
} field;

static bool read_varint(message *m, uint64_t *value) {
    uint64_t v = 0;
    for (uint32_t shift = 0; shift < 64; shift += 7) {
        if (m->at == m->end) return false;
        uint8_t byte = *m->at++;
        v |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) {
            *value = v;
            return true;
        }
    }
    return false;
}

static bool read_fixed(message *m, size_t n, uint64_t *value) {
    if ((size_t)(m->end - m->at) < n) return false;
    *value = 0;
    for (size_t i = 0; i < n; i++)
        *value |= (uint64_t)m->at[i] << (8 * i);
    m->at += n;
    return true;
}

/* The next field; *more false at the end. */
static tri_status next_field(message *m, field *f, bool *more, tri_error *err) {
    uint64_t tag = 0, n = 0;
    *f = (field){0};
    *more = m->at != m->end;
    if (!*more) return TRI_OK;
    bool ok = read_varint(m, &tag) && tag >> 3 > 0 && tag >> 3 < 1u << 29;
    f->number = (uint32_t)(tag >> 3);
    f->wire = (uint32_t)(tag & 7);
    if (ok && f->wire == 0) {
        ok = read_varint(m, &f->value);
    } else if (ok && f->wire == 1) {
        ok = read_fixed(m, 8, &f->value);
    } else if (ok && f->wire == 5) {
        ok = read_fixed(m, 4, &f->value);
    } else if (ok && f->wire == 2) {
        ok = read_varint(m, &n) && n <= (uint64_t)(m->end - m->at);
        if (ok) {
            f->bytes = (tri_str){(const char *)m->at, (size_t)n};
            m->at += n;
        }
    } else {
        ok = false; /* groups are not in use */
    }
    if (!ok) {
        return TRI_FAIL(err, TRI_E_FORMAT,
            "no SentencePiece model, or a broken one: field %" PRIu32 " of wire type %" PRIu32
            " ends %td bytes before its message",
            f->number, f->wire, m->end - m->at);
    }
    return TRI_OK;
}

static message message_of(tri_str bytes) {
    const uint8_t *at = (const uint8_t *)bytes.ptr;
    return (message){at, at + bytes.len};
}

static float float_of(uint64_t bits) {
    uint32_t low = (uint32_t)bits;
    float value;
    memcpy(&value, &low, sizeof value);
    return value;
}

/* ---- the model ---- */

enum { MODEL_UNIGRAM = 1, MODEL_BPE, MODEL_WORD, MODEL_CHAR };
enum { MAX_PIECES = 1 << 24 };

typedef struct model {
    int32_t n;
    tri_str *pieces; /* copies in the tokenizer's arena */
    float *scores;
    uint8_t *types;
    int32_t unk_id;
    int64_t kind;
    bool byte_fallback;
    tri_spm_rules rules;
    tri_str charsmap, unk_surface, bos_piece, eos_piece; /* borrowed from the file */
    int64_t bos_id, eos_id;
} model;

static tri_status read_piece(
    tri_tokenizer *t, model *m, int32_t id, tri_str bytes, tri_error *err) {
    message in = message_of(bytes);
    uint64_t type = TRI_PIECE_NORMAL;
    tri_str piece = {0};
    field f;
    bool more;
    for (;;) {
        TRI_TRY(next_field(&in, &f, &more, err));
        if (!more) break;
        if (f.number == 1 && f.wire == 2) piece = f.bytes;
        if (f.number == 2 && f.wire == 5) m->scores[id] = float_of(f.value);
        if (f.number == 3 && f.wire == 0) type = f.value;
    }
    enum { MAX_PIECE_BYTES = 8000 }; /* SentencePiece's own limit */
    if (!piece.len || piece.len >= MAX_PIECE_BYTES || memchr(piece.ptr, 0, piece.len)) {
        return TRI_FAIL(err, TRI_E_FORMAT,
            "piece %d has %zu bytes, or a NUL among them; pieces have 1 to %d bytes", id, piece.len,
            MAX_PIECE_BYTES - 1);
    }
    if (type < TRI_PIECE_NORMAL || type > TRI_PIECE_BYTE) {
        return TRI_FAIL(
            err, TRI_E_FORMAT, "piece %d has type %" PRIu64 "; the types are 1 to 6", id, type);
    }
    if (type == TRI_PIECE_UNKNOWN) {
        if (m->unk_id >= 0) {
            return TRI_FAIL(
                err, TRI_E_FORMAT, "pieces %d and %d are both of the unknown type", m->unk_id, id);
        }
        m->unk_id = id;
    }
    if (type == TRI_PIECE_BYTE && tri_spm_byte_of(piece) < 0) {
        return TRI_FAIL(
            err, TRI_E_FORMAT, "piece %d is of the byte type, but not <0x00>..<0xFF>", id);
    }
    m->types[id] = (uint8_t)type;
    TRI_TRY(tri_tokenizer_set_token(t, id, piece, err));
    m->pieces[id] = t->tokens[id];
    return TRI_OK;
}

static tri_status read_trainer(model *m, tri_str bytes, tri_error *err) {
    message in = message_of(bytes);
    field f;
    bool more;
    for (;;) {
        TRI_TRY(next_field(&in, &f, &more, err));
        if (!more) return TRI_OK;
        if (f.wire == 0) {
            if (f.number == 3) m->kind = (int64_t)f.value;
            if (f.number == 24) m->rules.whitespace_as_suffix = f.value != 0;
            if (f.number == 35) m->byte_fallback = f.value != 0;
            if (f.number == 41) m->bos_id = (int64_t)f.value;
            if (f.number == 42) m->eos_id = (int64_t)f.value;
        } else if (f.wire == 2) {
            if (f.number == 44) m->unk_surface = f.bytes;
            if (f.number == 46) m->bos_piece = f.bytes;
            if (f.number == 47) m->eos_piece = f.bytes;
        }
    }
}

static tri_status read_normalizer(model *m, tri_str bytes, tri_error *err) {
    message in = message_of(bytes);
    field f;
    bool more;
    for (;;) {
        TRI_TRY(next_field(&in, &f, &more, err));
        if (!more) return TRI_OK;
        if (f.number == 2 && f.wire == 2) m->charsmap = f.bytes;
        if (f.number == 3 && f.wire == 0) m->rules.add_dummy_prefix = f.value != 0;
        if (f.number == 4 && f.wire == 0) m->rules.remove_extra_whitespaces = f.value != 0;
        if (f.number == 5 && f.wire == 0) m->rules.escape_whitespaces = f.value != 0;
    }
}

static tri_status check_denormalizer(tri_str bytes, tri_error *err) {
    model unused = {0};
    TRI_TRY(read_normalizer(&unused, bytes, err));
    if (!unused.charsmap.len) return TRI_OK;
    return TRI_FAIL(err, TRI_E_UNSUPPORTED,
        "denormalizer_spec: a model that rewrites decoded text is not supported");
}

static tri_status count_pieces(tri_str file, int32_t *n, tri_error *err) {
    message in = message_of(file);
    field f;
    bool more;
    *n = 0;
    for (;;) {
        TRI_TRY(next_field(&in, &f, &more, err));
        if (!more) break;
        if (f.number != 1 || f.wire != 2) continue;
        if (++*n > MAX_PIECES) return TRI_FAIL(err, TRI_E_LIMIT, "more than %d pieces", MAX_PIECES);
    }
    if (*n == 0) return TRI_FAIL(err, TRI_E_FORMAT, "no SentencePiece model: it has no pieces");
    return TRI_OK;
}

static tri_status read_model(tri_tokenizer *t, model *m, tri_str file, tri_error *err) {
    message in = message_of(file);
    field f;
    bool more;
    TRI_TRY(count_pieces(file, &m->n, err));
    TRI_TRY(tri_tokenizer_reserve_tokens(t, m->n, err));
    m->pieces = TRI_NEW_N(&t->arena, tri_str, m->n);
    m->scores = TRI_NEW_N(&t->arena, float, m->n);
    m->types = TRI_NEW_N(&t->arena, uint8_t, m->n);
    if (!m->pieces || !m->scores || !m->types)
        return TRI_FAIL(err, TRI_E_MEMORY, "no memory for %d pieces", m->n);
    for (int32_t id = 0;;) {
        TRI_TRY(next_field(&in, &f, &more, err));
        if (!more) break;
        if (f.wire != 2) continue;
        if (f.number == 1) TRI_TRY(read_piece(t, m, id++, f.bytes, err));
        if (f.number == 2) TRI_TRY(read_trainer(m, f.bytes, err));
        if (f.number == 3) TRI_TRY(read_normalizer(m, f.bytes, err));
        if (f.number == 5) TRI_TRY(check_denormalizer(f.bytes, err));
    }
    if (m->unk_id < 0) return TRI_FAIL(err, TRI_E_FORMAT, "no piece is of the unknown type");
    return TRI_OK;
}

/* ---- into the pipeline ---- */

static tri_status add_normalizer(tri_tokenizer *t, const model *m, tri_error *err) {
    tri_spm_normalizer *n = TRI_NEW(&t->arena, tri_spm_normalizer);
    if (!n) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for a normalizer");
    n->rules = m->rules;
    if (m->charsmap.len) {
        tri_str copy;
        tri_charsmap *map;
        TRI_TRY(tri_tokenizer_copy(t, m->charsmap, &copy, err));
        TRI_TRY(tri_charsmap_open(&map, copy, &t->arena, err));
        n->charsmap = map;
    }
    TRI_TRY(tri_spm_user_defined(&n->user_defined, m->pieces, m->types, m->n, &t->arena, err));
    t->normalizers[t->n_normalizers++] = (tri_normalizer){.kind = TRI_NORM_SENTENCEPIECE, .spm = n};
    return TRI_OK;
}

static tri_status add_model(tri_tokenizer *t, const model *m, tri_error *err) {
    if (m->kind == MODEL_BPE || m->kind == MODEL_CHAR) {
        t->model = TRI_MODEL_SPM_BPE;
        return tri_spm_bpe_create(&t->spm_bpe,
            &(tri_spm_bpe_desc){.pieces = m->pieces,
                .scores = m->scores,
                .types = m->types,
                .n = m->n,
                .unk_id = m->unk_id,
                .byte_fallback = m->byte_fallback,
                .characters = m->kind == MODEL_CHAR},
            &t->arena, err);
    }
    if (m->kind != MODEL_UNIGRAM) {
        return TRI_FAIL(err, TRI_E_UNSUPPORTED,
            "model_type is %s (%" PRId64 "); BPE, UNIGRAM and CHAR are supported",
            m->kind == MODEL_WORD ? "WORD" : "unknown", m->kind);
    }
    double *scores = TRI_NEW_N(&t->arena, double, m->n);
    if (!scores) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for %d scores", m->n);
    for (int32_t id = 0; id < m->n; id++)
        scores[id] = (double)m->scores[id];
    t->model = TRI_MODEL_UNIGRAM;
    return tri_unigram_create(&t->unigram,
        &(tri_unigram_desc){.pieces = m->pieces,
            .scores = scores,
            .types = m->types,
            .n = m->n,
            .unk_id = m->unk_id,
            .byte_fallback = m->byte_fallback},
        &t->arena, err);
}

static tri_status add_decoder(tri_tokenizer *t, const model *m, tri_error *err) {
    tri_spm_decoding *d = TRI_NEW(&t->arena, tri_spm_decoding);
    if (!d) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for a decoder");
    *d = (tri_spm_decoding){
        .rules = m->rules, .n_pieces = m->n, .pieces = m->pieces, .types = m->types};
    TRI_TRY(tri_tokenizer_copy(t, m->unk_surface, &d->unk_surface, err));
    t->decoders[t->n_decoders++] = (tri_decode_step){.kind = TRI_DECODE_SENTENCEPIECE, .spm = d};
    return TRI_OK;
}

static int32_t find_control(const model *m, tri_str piece) {
    for (int32_t id = 0; id < m->n; id++)
        if (m->types[id] == TRI_PIECE_CONTROL && tri_str_equal(m->pieces[id], piece)) return id;
    return -1;
}

/* What add_special_tokens puts around a text; -1: nothing. */
typedef struct frame {
    int32_t bos, eos;
} frame;

/* The piece that the configuration names, as a text or as an object with `content`; the model's own
 * where it names none, or one that is no piece. */
static int32_t named_piece(const model *m, const tri_json *config, const char *key, int32_t own) {
    const tri_json *value = tri_json_get(config, key);
    if (tri_json_is(value, TRI_JSON_OBJECT)) value = tri_json_get(value, "content");
    if (!tri_json_is(value, TRI_JSON_STRING)) return own;
    for (int32_t id = 0; id < m->n; id++)
        if (tri_str_equal(m->pieces[id], value->text)) return id;
    return own;
}

/* The file does not say; tokenizer_config.json does by add_bos_token and add_eos_token, as
 * transformers' LlamaTokenizer has them.  Where it says nothing models with a bos get it in front,
 * as Llama and Mistral; those trained without one get their eos behind, as T5. */
static tri_status read_frame(const model *m, tri_str text, frame *out, tri_error *err) {
    tri_arena scratch;
    const tri_json *config = NULL;
    tri_arena_init(&scratch, 0);
    tri_status rc = text.len ? tri_json_parse(text, &scratch, &config, err) : TRI_OK;
    int32_t bos = m->bos_id >= 0 ? find_control(m, m->bos_piece) : -1;
    int32_t eos = m->eos_id >= 0 ? find_control(m, m->eos_piece) : -1;
    bool add_bos = true, add_eos = bos < 0;
    if (!rc) rc = tri_json_read_bool(config, "add_bos_token", &add_bos, err);
    if (!rc) rc = tri_json_read_bool(config, "add_eos_token", &add_eos, err);
    if (rc) {
        tri_error_context(err, "tokenizer_config.json");
    } else {
        out->bos = add_bos ? named_piece(m, config, "bos_token", bos) : -1;
        out->eos = add_eos ? named_piece(m, config, "eos_token", eos) : -1;
    }
    tri_arena_deinit(&scratch);
    return rc;
}

/* Control pieces are special tokens. */
static tri_status add_specials(tri_tokenizer *t, const model *m, tri_str config, tri_error *err) {
    frame f = {-1, -1};
    int32_t n = 0;
    for (int32_t id = 0; id < m->n; id++)
        n += m->types[id] == TRI_PIECE_CONTROL;
    t->added = TRI_NEW_N(&t->arena, tri_added_token, n + 1);
    if (!t->added) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for %d control pieces", n);
    for (int32_t id = 0; id < m->n; id++) {
        if (m->types[id] != TRI_PIECE_CONTROL) continue;
        t->added[t->n_added++] =
            (tri_added_token){.text = m->pieces[id], .id = id, .special = true};
    }
    TRI_TRY(read_frame(m, config, &f, err));
    if (f.bos < 0 && f.eos < 0) return TRI_OK;
    if (f.bos >= 0) t->single[t->n_single++] = (tri_template_item){.id = f.bos};
    t->single[t->n_single++] = (tri_template_item){.id = -1};
    if (f.eos >= 0) t->single[t->n_single++] = (tri_template_item){.id = f.eos};
    return TRI_OK;
}

tri_status tri_load_sentencepiece(
    tri_tokenizer *t, tri_str file, tri_str tokenizer_config, tri_error *err) {
    model m = {.unk_id = -1,
        .kind = MODEL_UNIGRAM,
        .bos_id = 1,
        .eos_id = 2,
        .unk_surface = TRI_STR(" \xE2\x81\x87 "),
        .bos_piece = TRI_STR("<s>"),
        .eos_piece = TRI_STR("</s>"),
        .rules = {.add_dummy_prefix = true,
            .remove_extra_whitespaces = true,
            .escape_whitespaces = true}};
    TRI_TRY(read_model(t, &m, file, err));
    TRI_TRY(add_normalizer(t, &m, err));
    TRI_TRY(add_model(t, &m, err));
    TRI_TRY(add_decoder(t, &m, err));
    return add_specials(t, &m, tokenizer_config, err);
}
