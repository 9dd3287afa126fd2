/* comm.c - collectives of ranks that are threads of one process.
 *
 * A collective has two phases.  Post: each rank leaves its pointers and waits until all of its
 * stage have; only here can an abort release it.  Work: each rank reads (and, reducing, writes) the
 * others' memory, then waits until all have finished; nobody can be missing any more, so this wait
 * ignores aborts, and no rank returns while another still touches its memory.
 *
 * The group's mutex guards posts, phases and mail; the mutex also orders the ranks' memory. */
#include "device/comm.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_RANKS = 1024 };

typedef struct tri_mail { /* one message between stages */
    struct tri_mail *next;
    int64_t n, capacity;
    float data[];
} tri_mail;

typedef struct tri_mailbox { /* from one rank to one of another stage */
    tri_mail *first, *last, *spare;
} tri_mailbox;

typedef struct tri_comm_stage { /* the tensor-parallel ranks of one pipeline stage */
    int32_t n_posted, n_finished;
    int64_t n_posts, n_finishes; /* rounds gone by */
    int64_t n;                   /* elements of the collective being posted */
} tri_comm_stage;

struct tri_comm {
    tri_comm_group *group;
    int32_t stage, rank; /* rank within the stage */
    const float *input;
    float *output;
};

struct tri_comm_group {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    int32_t tp_size, pp_size;
    bool aborted;
    tri_comm *ranks;        /* [pp_size, tp_size] */
    tri_comm_stage *stages; /* [pp_size] */
    tri_mailbox *mailboxes; /* [tp_size, from stage, to stage] */
};

tri_status tri_comm_group_create(
    tri_comm_group **group, int32_t tp_size, int32_t pp_size, tri_error *err) {
    if (tp_size < 1 || pp_size < 1 || tp_size > MAX_RANKS || pp_size > MAX_RANKS / tp_size) {
        return TRI_FAIL(err, TRI_E_ARGUMENT,
            "ranks: tp_size %" PRId32 " x pp_size %" PRId32 ", 1 to %d ranks are possible", tp_size,
            pp_size, MAX_RANKS);
    }
    size_t tp = (size_t)tp_size, pp = (size_t)pp_size;
    tri_comm_group *g = calloc(1, sizeof *g);
    if (!g) return TRI_FAIL(err, TRI_E_MEMORY, "ranks: no memory");
    *g = (tri_comm_group){.tp_size = tp_size,
        .pp_size = pp_size,
        .ranks = calloc(tp * pp, sizeof *g->ranks),
        .stages = calloc(pp, sizeof *g->stages),
        .mailboxes = calloc(tp * pp * pp, sizeof *g->mailboxes)};
    pthread_mutex_init(&g->mutex, NULL);
    pthread_cond_init(&g->changed, NULL);
    if (!g->ranks || !g->stages || !g->mailboxes) {
        tri_comm_group_destroy(g);
        return TRI_FAIL(err, TRI_E_MEMORY, "ranks: no memory");
    }
    for (int32_t i = 0; i < tp_size * pp_size; i++) {
        g->ranks[i] = (tri_comm){.group = g, .stage = i / tp_size, .rank = i % tp_size};
    }
    *group = g;
    return TRI_OK;
}

static void free_mail(tri_mail *mail) {
    while (mail) {
        tri_mail *next = mail->next;
        free(mail);
        mail = next;
    }
}

void tri_comm_group_destroy(tri_comm_group *group) {
    if (!group) return;
    int32_t n_mailboxes = group->tp_size * group->pp_size * group->pp_size;
    for (int32_t i = 0; group->mailboxes && i < n_mailboxes; i++) {
        free_mail(group->mailboxes[i].first);
        free_mail(group->mailboxes[i].spare);
    }
    pthread_cond_destroy(&group->changed);
    pthread_mutex_destroy(&group->mutex);
    free(group->mailboxes);
    free(group->stages);
    free(group->ranks);
    free(group);
}

tri_comm *tri_comm_of_rank(tri_comm_group *group, int32_t rank) {
    TRI_ASSERT(rank >= 0 && rank < group->tp_size * group->pp_size);
    return &group->ranks[rank];
}

int32_t tri_comm_tp_size(const tri_comm *comm) {
    return comm->group->tp_size;
}

static void abort_locked(tri_comm_group *group) {
    group->aborted = true;
    pthread_cond_broadcast(&group->changed);
}

void tri_comm_abort(tri_comm *comm) {
    pthread_mutex_lock(&comm->group->mutex);
    abort_locked(comm->group);
    pthread_mutex_unlock(&comm->group->mutex);
}

bool tri_comm_aborted(tri_comm *comm) {
    pthread_mutex_lock(&comm->group->mutex);
    bool aborted = comm->group->aborted;
    pthread_mutex_unlock(&comm->group->mutex);
    return aborted;
}

/* ---- collectives ---- */

static tri_status post(tri_comm *comm, const float *input, float *output, int64_t n) {
    tri_comm_group *g = comm->group;
    tri_comm_stage *stage = &g->stages[comm->stage];
    pthread_mutex_lock(&g->mutex);
    comm->input = input;
    comm->output = output;
    if (stage->n_posted == 0) stage->n = n;
    if (stage->n != n) abort_locked(g); /* the ranks are not running the same graph */
    int64_t round = stage->n_posts;
    if (!g->aborted && ++stage->n_posted == g->tp_size) {
        stage->n_posted = 0;
        stage->n_posts++;
        pthread_cond_broadcast(&g->changed);
    }
    while (stage->n_posts == round && !g->aborted)
        pthread_cond_wait(&g->changed, &g->mutex);
    bool posted = stage->n_posts != round;
    pthread_mutex_unlock(&g->mutex);
    return posted ? TRI_OK : TRI_E_CANCELLED;
}

static void finish(tri_comm *comm) {
    tri_comm_group *g = comm->group;
    tri_comm_stage *stage = &g->stages[comm->stage];
    pthread_mutex_lock(&g->mutex);
    int64_t round = stage->n_finishes;
    if (++stage->n_finished == g->tp_size) {
        stage->n_finished = 0;
        stage->n_finishes++;
        pthread_cond_broadcast(&g->changed);
    }
    while (stage->n_finishes == round)
        pthread_cond_wait(&g->changed, &g->mutex);
    pthread_mutex_unlock(&g->mutex);
}

/* Sums elements [first, last) of all ranks and gives every rank the sum; no other rank touches
 * these elements. */
static void reduce_share(const tri_comm *peers, int32_t n_ranks, int64_t first, int64_t last) {
    enum { CHUNK = 1024 };
    float sum[CHUNK];
    for (int64_t at = first; at < last; at += CHUNK) {
        int64_t n = last - at < CHUNK ? last - at : CHUNK;
        memcpy(sum, peers[0].output + at, (size_t)n * sizeof *sum);
        for (int32_t r = 1; r < n_ranks; r++) {
            const float *x = peers[r].output + at;
            for (int64_t i = 0; i < n; i++)
                sum[i] += x[i];
        }
        for (int32_t r = 0; r < n_ranks; r++) {
            memcpy(peers[r].output + at, sum, (size_t)n * sizeof *sum);
        }
    }
}

static const tri_comm *stage_ranks(const tri_comm *comm) {
    const tri_comm_group *g = comm->group;
    return &g->ranks[(int64_t)comm->stage * g->tp_size];
}

tri_status tri_comm_all_reduce(tri_comm *comm, float *x, int64_t n) {
    int32_t n_ranks = comm->group->tp_size;
    TRI_TRY(post(comm, x, x, n));
    int64_t first = n * comm->rank / n_ranks, last = n * (comm->rank + 1) / n_ranks;
    reduce_share(stage_ranks(comm), n_ranks, first, last);
    finish(comm);
    return TRI_OK;
}

tri_status tri_comm_all_gather(
    tri_comm *comm, const float *x, float *y, int64_t rows, int64_t columns) {
    int32_t n_ranks = comm->group->tp_size;
    TRI_TRY(post(comm, x, y, rows * columns));
    const tri_comm *peers = stage_ranks(comm);
    size_t row_bytes = (size_t)columns * sizeof *x;
    for (int64_t row = 0; row < rows; row++) {
        for (int32_t r = 0; r < n_ranks; r++) {
            memcpy(y + (row * n_ranks + r) * columns, peers[r].input + row * columns, row_bytes);
        }
    }
    finish(comm);
    return TRI_OK;
}

/* ---- between stages ---- */

static tri_mailbox *mailbox(const tri_comm *comm, int32_t from, int32_t to) {
    const tri_comm_group *g = comm->group;
    TRI_ASSERT(from >= 0 && from < g->pp_size && to >= 0 && to < g->pp_size);
    return &g->mailboxes[((int64_t)comm->rank * g->pp_size + from) * g->pp_size + to];
}

/* A message of room for n: a spare one, or a larger one made of it. */
static tri_mail *take_mail(tri_mailbox *box, int64_t n) {
    tri_mail *mail = box->spare;
    if (mail) box->spare = mail->next;
    if (mail && mail->capacity >= n) return mail;
    tri_mail *grown = realloc(mail, sizeof *mail + (size_t)n * sizeof(float));
    if (!grown) {
        free(mail);
        return NULL;
    }
    grown->capacity = n;
    return grown;
}

tri_status tri_comm_send(tri_comm *comm, int32_t to_stage, const float *x, int64_t n) {
    tri_comm_group *g = comm->group;
    tri_mailbox *box = mailbox(comm, comm->stage, to_stage);
    pthread_mutex_lock(&g->mutex);
    bool aborted = g->aborted;
    tri_mail *mail = aborted ? NULL : take_mail(box, n);
    pthread_mutex_unlock(&g->mutex);
    if (!mail) return aborted ? TRI_E_CANCELLED : TRI_E_MEMORY;

    mail->n = n;
    mail->next = NULL;
    if (n) memcpy(mail->data, x, (size_t)n * sizeof *x);
    pthread_mutex_lock(&g->mutex);
    if (box->last)
        box->last->next = mail;
    else
        box->first = mail;
    box->last = mail;
    pthread_cond_broadcast(&g->changed);
    pthread_mutex_unlock(&g->mutex);
    return TRI_OK;
}

tri_status tri_comm_receive(tri_comm *comm, int32_t from_stage, float *x, int64_t n) {
    tri_comm_group *g = comm->group;
    tri_mailbox *box = mailbox(comm, from_stage, comm->stage);
    pthread_mutex_lock(&g->mutex);
    while (!box->first && !g->aborted)
        pthread_cond_wait(&g->changed, &g->mutex);
    tri_mail *mail = box->first;
    if (mail && mail->n != n) {
        abort_locked(g); /* the stages are not running the same step */
        mail = NULL;
    }
    if (mail) {
        box->first = mail->next;
        if (!box->first) box->last = NULL;
    }
    pthread_mutex_unlock(&g->mutex);
    if (!mail) return TRI_E_CANCELLED;

    if (n) memcpy(x, mail->data, (size_t)n * sizeof *x);
    pthread_mutex_lock(&g->mutex);
    mail->next = box->spare;
    box->spare = mail;
    pthread_mutex_unlock(&g->mutex);
    return TRI_OK;
}
