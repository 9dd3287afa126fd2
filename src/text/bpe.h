/* bpe.h - byte-pair merging, over raw bytes or over characters.
 *
 * Over bytes pieces are raw bytes (the printable alphabet of byte-level vocabularies is undone at
 * load), so that encoding never maps characters.  Merges are found by (left id, right id); the
 * lowest rank goes first, then the leftmost.  Sennrich et al. 2016, arXiv:1508.07909.
 *
 * A loader calls create with every piece, then gives the merges in one of two ways: one by one with
 * their ranks (reserve_merges, add_merge), or derived from the ranks of the pieces themselves. */
#ifndef TRI_TEXT_BPE_H
#define TRI_TEXT_BPE_H

#include "base/arena.h"
#include "base/buf.h"

enum { TRI_BPE_MAX_AFFIX = 256 }; /* bytes of prefix or suffix */

typedef struct tri_bpe tri_bpe; /* in an arena, immutable after its merges are in */

typedef struct tri_bpe_config {
    int32_t n_pieces;             /* ids */
    bool bytes;                   /* words begin as single bytes; false: as characters */
    bool byte_fallback, fuse_unk; /* <0xE2> pieces; one unk for a run of unknown characters */
    bool ignore_merges;           /* a word that is a piece is taken whole */
    int32_t unk_id;               /* -1: what the vocabulary lacks is dropped */
    tri_str prefix, suffix; /* of characters inside a word, of its last one; borrowed from arena */
} tri_bpe_config;

/* pieces: by id, ptr NULL where an id has none that text can become; their bytes are borrowed (from
 * the arena).  The last of equal pieces keeps the bytes. */
tri_status tri_bpe_create(tri_bpe **bpe, const tri_bpe_config *config, const tri_str *pieces,
    tri_arena *arena, tri_error *err);
int32_t tri_bpe_find(const tri_bpe *bpe, tri_str piece); /* -1: none */
/* Whether a word may be cut before this character (U+2581, say) wherever another comes before it:
 * no piece holds the two together, so no merge ever joins them. */
bool tri_bpe_cuts_before(const tri_bpe *bpe, tri_str character);

tri_status tri_bpe_reserve_merges(tri_bpe *bpe, int64_t n, tri_arena *arena, tri_error *err);
/* At most as many as were reserved; a pair given again takes the later rank. */
void tri_bpe_add_merge(tri_bpe *bpe, int32_t rank, int32_t left, int32_t right, int32_t merged);
/* The same by text.  False: one of the three pieces is not in the vocabulary. */
bool tri_bpe_add_merge_of(tri_bpe *bpe, int32_t rank, tri_str left, tri_str right);
/* Many at once, which waits less for memory: how many were added, all when none of them lacks a
 * piece. */
typedef struct tri_bpe_merge_text {
    int32_t rank;
    tri_str left, right;
} tri_bpe_merge_text;
enum { TRI_BPE_MERGES_AT_ONCE = 32 };
int32_t tri_bpe_add_merges_of(tri_bpe *bpe, const tri_bpe_merge_text *merges, int32_t n);
/* Every two pieces that make a piece merge, at its rank (ranks: by id; negative: never made so).
 * Equal ranks go leftmost first.  tiktoken and tekken: rank = id; SentencePiece: the dense rank of
 * scores, highest first. */
tri_status tri_bpe_derive_merges(
    tri_bpe *bpe, const int32_t *ranks, tri_arena *arena, tri_error *err);

/* Scratch of one thread, growing to the longest word or block of one. */
typedef struct tri_bpe_scratch {
    struct tri_bpe_symbol *symbols;
    uint64_t *heap;
    int32_t *ends;
    size_t n_symbols, n_heap, n_ends; /* room */
} tri_bpe_scratch;

void tri_bpe_scratch_deinit(tri_bpe_scratch *scratch);
/* Appends the ids (int32_t) of one word to out.  O(n log n), and for long words of most
 * vocabularies linear, in scratch that does not grow with the word. */
tri_status tri_bpe_encode(
    const tri_bpe *bpe, tri_bpe_scratch *scratch, tri_str word, tri_buf *out, tri_error *err);

#endif
