#include "text/ranks.h"

#include <string.h>

#include "text/base64.h"
#include "text/bpe.h"

enum { MAX_TOKEN_BYTES = 1 << 16 };

tri_status tri_ranks_init(tri_ranks *r, tri_tokenizer *t, int32_t n_ids, int32_t first_id,
    int32_t n_ranks, tri_error *err) {
    TRI_ASSERT(first_id >= 0 && n_ranks >= 0 && first_id <= n_ids - n_ranks);
    *r = (tri_ranks){.t = t, .n_ids = n_ids, .first_id = first_id, .n_ranks = n_ranks};
    TRI_TRY(tri_tokenizer_reserve_tokens(t, n_ids, err));
    r->pieces = TRI_NEW_N(&t->arena, tri_str, n_ids);
    t->added = TRI_NEW_N(&t->arena, tri_added_token, n_ids - n_ranks + 1);
    if (!r->pieces || !t->added)
        return TRI_FAIL(err, TRI_E_MEMORY, "no memory for %d tokens", n_ids);
    return TRI_OK;
}

tri_status tri_ranks_set(tri_ranks *r, int32_t rank, tri_str base64, tri_error *err) {
    TRI_ASSERT(rank >= 0 && rank < r->n_ranks);
    char bytes[MAX_TOKEN_BYTES];
    size_t n = 0;
    int32_t id = r->first_id + rank;
    if (base64.len > sizeof bytes || !tri_base64_decode(base64, bytes, &n) || n == 0) {
        return TRI_FAIL(err, TRI_E_FORMAT, "rank %d: '%.*s' is not the base64 of 1 to %d bytes",
            rank, (int)(base64.len < 40 ? base64.len : 40), base64.ptr, MAX_TOKEN_BYTES / 4 * 3);
    }
    if (r->pieces[id].ptr) return TRI_FAIL(err, TRI_E_FORMAT, "rank %d is given twice", rank);
    TRI_TRY(tri_tokenizer_set_token(r->t, id, (tri_str){bytes, n}, err));
    r->pieces[id] = r->t->tokens[id];
    return TRI_OK;
}

tri_status tri_ranks_add_special(tri_ranks *r, int32_t id, tri_str text, tri_error *err) {
    tri_tokenizer *t = r->t;
    if (id < 0 || id >= r->n_ids || (id >= r->first_id && id < r->first_id + r->n_ranks)) {
        return TRI_FAIL(err, TRI_E_FORMAT,
            "special token '%.*s' has id %d; ranked tokens have ids %d to %d, and there are %d ids",
            (int)(text.len < 60 ? text.len : 60), text.ptr, id, r->first_id,
            r->first_id + r->n_ranks - 1, r->n_ids);
    }
    if (t->tokens[id].ptr) {
        return TRI_FAIL(err, TRI_E_FORMAT, "two special tokens have id %d: '%s' and '%.*s'", id,
            t->tokens[id].ptr, (int)(text.len < 60 ? text.len : 60), text.ptr);
    }
    TRI_TRY(tri_tokenizer_set_token(t, id, text, err));
    if (text.len) {
        t->added[t->n_added++] =
            (tri_added_token){.text = t->tokens[id], .id = id, .special = true};
    }
    return TRI_OK;
}

static tri_status check(const tri_ranks *r, tri_error *err) {
    bool seen[256] = {false};
    int32_t n_bytes = 0;
    for (int32_t rank = 0; rank < r->n_ranks; rank++) {
        tri_str piece = r->pieces[r->first_id + rank];
        if (!piece.ptr) {
            return TRI_FAIL(
                err, TRI_E_FORMAT, "rank %d is missing; the largest is %d", rank, r->n_ranks - 1);
        }
        if (piece.len != 1 || seen[(uint8_t)piece.ptr[0]]) continue;
        seen[(uint8_t)piece.ptr[0]] = true;
        n_bytes++;
    }
    if (n_bytes < 256) {
        return TRI_FAIL(err, TRI_E_FORMAT,
            "%d of the 256 single bytes have a rank; without the others not every text has tokens",
            n_bytes);
    }
    return TRI_OK;
}

static tri_status check_twins(const tri_ranks *r, tri_error *err) {
    for (int32_t rank = 0; rank < r->n_ranks; rank++) {
        int32_t found = tri_bpe_find(r->t->bpe, r->pieces[r->first_id + rank]) - r->first_id;
        if (found == rank) continue;
        return TRI_FAIL(err, TRI_E_FORMAT, "ranks %d and %d have the same bytes",
            found < rank ? found : rank, found < rank ? rank : found);
    }
    return TRI_OK;
}

tri_status tri_ranks_finish(
    tri_ranks *r, tri_str expression, const int32_t *prefix, int32_t n_prefix, tri_error *err) {
    TRI_ASSERT(n_prefix < TRI_MAX_TEMPLATE);
    tri_tokenizer *t = r->t;
    TRI_TRY(check(r, err));
    tri_pre_tokenizer *split = &t->pre_tokenizers[t->n_pre_tokenizers];
    *split = (tri_pre_tokenizer){.kind = TRI_PRE_SPLIT, .behavior = TRI_SPLIT_ISOLATED};
    TRI_TRY(tri_pattern_compile(&split->pattern, expression, err));
    t->n_pre_tokenizers++;
    t->model = TRI_MODEL_BPE;
    t->raw_bytes = true;
    t->decoders[t->n_decoders++] = (tri_decode_step){.kind = TRI_DECODE_BYTES};
    TRI_TRY(tri_bpe_create(&t->bpe,
        &(tri_bpe_config){.n_pieces = r->n_ids, .bytes = true, .ignore_merges = true, .unk_id = -1},
        r->pieces, &t->arena, err));
    TRI_TRY(check_twins(r, err));
    int32_t *ranks = TRI_NEW_N(&t->arena, int32_t, r->n_ids);
    if (!ranks) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for %d ranks", r->n_ids);
    for (int32_t id = 0; id < r->n_ids; id++)
        ranks[id] = r->pieces[id].ptr ? id : -1;
    TRI_TRY(tri_bpe_derive_merges(t->bpe, ranks, &t->arena, err));
    if (n_prefix == 0) return TRI_OK;
    for (int32_t i = 0; i < n_prefix; i++)
        t->single[t->n_single++] = (tri_template_item){.id = prefix[i]};
    t->single[t->n_single++] = (tri_template_item){.id = -1};
    return TRI_OK;
}
