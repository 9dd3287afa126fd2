/* encode_parallel.c - one long stretch on several threads, with the ids that one thread gives.
 *
 * Each thread starts at its share's first character as if a word began there, and goes on some way
 * into the next share, noting where words ended and how many ids it had by then.  Two neighbours
 * are joined at an end that both noted: from there on pre-tokenization depends on nothing before
 * (pretokenize.h).  Where they noted none in common, the first goes on alone until it meets one. */
#include <stdlib.h>
#include <string.h>

#include "base/thread.h"
#include "text/encode.h"

enum {
    MAX_THREADS = 64,
    HEAD_ENDS = 4096,    /* ends noted at the beginning of a share, at most */
    OVERLAP = 1 << 12,   /* bytes gone on into the next share */
    MIN_SHARE = 1 << 16, /* bytes worth a thread */
};

typedef struct word_end {
    size_t at, ids_bytes; /* of encoder->ids by then */
} word_end;

typedef struct share {
    tri_encoder *encoder;
    size_t begin, end, goal;      /* goal: where to stop noting the tail */
    tri_buf head, tail;           /* word_end: first ends after begin; ends past the share's end */
    const struct share *next;     /* while catching up: stop at one of its ends */
    size_t next_at;               /* the first of next's head not passed yet */
    size_t joined_at;             /* index into next's head, SIZE_MAX: none */
    size_t first_byte, last_byte; /* of encoder->ids: what counts */
    size_t first_at;              /* the end from which its words are right */
    bool ended;                   /* it ran to the end of the text */
    tri_status status;
    tri_error error;
} share;

typedef struct job {
    const tri_tokenizer *t;
    tri_stretch stretch;
    share *shares;
    bool has_parts; /* else: shares end where a word may be cut */
} job;

typedef struct walker { /* what tri_pretokenize_part hands back: an encoder with its share */
    tri_encoder *encoder;
    share *share;
} walker;

static tri_status encode_word(void *user, tri_str word, tri_error *err) {
    const walker *w = user;
    return tri_encode_word(w->encoder, word, err);
}

static const word_end *ends_of(const tri_buf *buffer, size_t *n) {
    *n = buffer->len / sizeof(word_end);
    return (const word_end *)(const void *)buffer->ptr;
}

static bool note_end(void *user, size_t at) {
    share *s = ((const walker *)user)->share;
    word_end end = {at, s->encoder->ids.len};
    if (s->head.len < HEAD_ENDS * sizeof end) tri_buf_append(&s->head, &end, sizeof end);
    if (at > s->end) tri_buf_append(&s->tail, &end, sizeof end);
    return at >= s->goal;
}

static bool catch_up(void *user, size_t at) {
    share *s = ((const walker *)user)->share;
    size_t n;
    const word_end *ends = ends_of(&s->next->head, &n);
    while (s->next_at < n && ends[s->next_at].at < at)
        s->next_at++;
    if (s->next_at < n && ends[s->next_at].at == at) {
        s->joined_at = s->next_at;
        return true;
    }
    return false;
}

static void encode_share(void *arg, int32_t thread, int32_t n_threads) {
    const job *j = arg;
    share *s = &j->shares[thread];
    (void)n_threads;
    if (j->has_parts) {
        walker w = {s->encoder, s};
        tri_part part = {j->stretch, s->begin, note_end};
        if (s->begin > 0) part.stretch.n_zero = 0;
        s->status =
            tri_pretokenize_part(j->t, &s->encoder->pretokenize, &part, encode_word, &w, &s->error);
    } else {
        s->status = tri_encode_word(
            s->encoder, (tri_str){j->stretch.text.ptr + s->begin, s->end - s->begin}, &s->error);
    }
    if (!s->status) s->status = tri_buf_status(&s->encoder->ids, &s->error);
    if (!s->status) s->status = tri_buf_status(&s->head, &s->error);
    if (!s->status) s->status = tri_buf_status(&s->tail, &s->error);
}

/* The first end that both have noted, and a not before it was right itself. */
static bool find_joint(share *a, share *b) {
    size_t n_tail, n_head, i = 0, k = 0;
    const word_end *tail = ends_of(&a->tail, &n_tail), *head = ends_of(&b->head, &n_head);
    while (i < n_tail && k < n_head) {
        if (tail[i].at == head[k].at && tail[i].at >= a->first_at) {
            a->last_byte = tail[i].ids_bytes;
            b->first_byte = head[k].ids_bytes;
            b->first_at = head[k].at;
            return true;
        }
        if (tail[i].at <= head[k].at) {
            i++;
        } else {
            k++;
        }
    }
    return false;
}

/* No joint: share a goes on from the last end that it noted, until it meets an end of the next
 * share or to the text's end.  *next gets the share that goes on from there, or n_shares. */
static tri_status go_on(const job *j, share *a, int32_t *next, int32_t n_shares, tri_error *err) {
    size_t n_tail, n_head;
    const word_end *tail = ends_of(&a->tail, &n_tail), *head = ends_of(&a->head, &n_head);
    const word_end *last = n_tail ? &tail[n_tail - 1] : n_head ? &head[n_head - 1] : NULL;
    share *b = &j->shares[*next];
    walker w = {a->encoder, a};
    *next = n_shares;
    if (!last || a->ended || last->at >= j->stretch.text.len) {
        a->last_byte = a->encoder->ids.len;
        return TRI_OK;
    }
    tri_part part = {j->stretch, last->at, catch_up};
    part.stretch.n_zero = 0;
    a->next = b;
    a->joined_at = SIZE_MAX;
    a->encoder->ids.len = last->ids_bytes;
    TRI_TRY(tri_pretokenize_part(j->t, &a->encoder->pretokenize, &part, encode_word, &w, err));
    a->last_byte = a->encoder->ids.len;
    if (a->joined_at != SIZE_MAX) {
        const word_end *ends = ends_of(&b->head, &n_head);
        b->first_byte = ends[a->joined_at].ids_bytes;
        b->first_at = ends[a->joined_at].at;
        *next = (int32_t)(b - j->shares);
    }
    return TRI_OK;
}

static tri_status join(const job *j, int32_t n_shares, tri_encoder *to, tri_error *err) {
    for (int32_t i = 0; i < n_shares;) {
        share *s = &j->shares[i];
        int32_t next = i + 1;
        s->last_byte = s->encoder->ids.len;
        if (j->has_parts && next < n_shares && !find_joint(s, &j->shares[next])) {
            TRI_TRY(go_on(j, s, &next, n_shares, err));
        }
        tri_buf_append(&to->ids, s->encoder->ids.ptr + s->first_byte, s->last_byte - s->first_byte);
        i = next;
    }
    return tri_buf_status(&to->ids, err);
}

static size_t share_edge(const job *j, int32_t i, int32_t n_shares) {
    tri_str text = j->stretch.text;
    size_t at = text.len / (size_t)n_shares * (size_t)i;
    if (i == 0 || i == n_shares) return i ? text.len : 0;
    if (!j->has_parts) return tri_next_metaspace_cut(text, at);
    while (at < text.len && ((uint8_t)text.ptr[at] & 0xC0) == 0x80)
        at++;
    return at;
}

static tri_status set_up(const job *j, int32_t n_shares, tri_error *err) {
    for (int32_t i = 0; i < n_shares; i++) {
        share *s = &j->shares[i];
        s->begin = share_edge(j, i, n_shares);
        s->end = share_edge(j, i + 1, n_shares);
        s->goal = i + 1 < n_shares ? s->end + OVERLAP : SIZE_MAX;
        TRI_TRY(tri_encoder_take(j->t, &s->encoder, err));
    }
    return TRI_OK;
}

tri_status tri_encode_parallel(
    tri_encoder *encoder, tri_stretch stretch, int32_t n_threads, tri_error *err) {
    const tri_tokenizer *t = encoder->t;
    job j = {.t = t, .stretch = stretch, .has_parts = tri_pretokenize_has_parts(t)};
    bool cuts = t->n_pre_tokenizers == 0 && t->cut_at_metaspace;
    size_t most = stretch.text.len / MIN_SHARE;
    int32_t n_shares = n_threads < MAX_THREADS ? n_threads : MAX_THREADS;
    if ((size_t)n_shares > most) n_shares = (int32_t)most;
    if (n_shares < 2 || (!j.has_parts && !cuts)) {
        return tri_encode_stretch(encoder, stretch, 1, err);
    }
    tri_team *team = NULL;
    tri_status rc = TRI_OK;
    if (j.has_parts) {
        TRI_TRY(tri_pretokenize_prepare(t, &encoder->pretokenize, stretch, &j.stretch, err));
    }
    j.shares = calloc((size_t)n_shares, sizeof *j.shares);
    if (!j.shares) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for %d threads", n_shares);
    rc = set_up(&j, n_shares, err);
    if (rc) goto done;
    rc = tri_team_create(&team, n_shares, err);
    if (rc) goto done;
    tri_team_run(team, encode_share, &j);
    for (int32_t i = 0; i < n_shares && !rc; i++) {
        rc = j.shares[i].status;
        if (rc && err) *err = j.shares[i].error;
    }
    if (!rc) rc = join(&j, n_shares, encoder, err);

done:
    tri_team_destroy(team);
    for (int32_t i = 0; i < n_shares; i++) {
        if (j.shares[i].encoder) tri_encoder_give_back(j.shares[i].encoder);
        tri_buf_deinit(&j.shares[i].head);
        tri_buf_deinit(&j.shares[i].tail);
    }
    free(j.shares);
    return rc;
}
