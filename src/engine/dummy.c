#include "engine/dummy.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/codec.h"
#include "base/rng.h"
#include "engine/derive.h"

enum {
    STRETCH_BYTES = 4 << 20,
    PERIOD = 65521, /* numbers made; a prime, so that rows differ */
    STEP = 1024
};

static bool has_weight(const tri_value *value) {
    if (value->node->op == TRI_OP_WEIGHT) return true;
    for (int32_t i = 0; i < value->node->n_operands; i++) {
        if (value->node->operands[i] && has_weight(value->node->operands[i])) return true;
    }
    return false;
}

static int64_t stretch_bytes(int64_t n_bytes) {
    return n_bytes < STRETCH_BYTES ? n_bytes : STRETCH_BYTES;
}

static void fill_floats(const tri_type *type, uint64_t seed, uint8_t *out, int64_t n) {
    int32_t elem_bytes = tri_dtype_get(type->dtype)->block_bytes;
    bool vector = type->n_dims == 1;
    float deviation = 1.0f / sqrtf((float)type->dims[type->n_dims - 1]), row[STEP];
    for (int64_t i = 0; i < n && i < PERIOD; i += STEP) {
        int64_t end = n < PERIOD ? n : PERIOD, some = end - i < STEP ? end - i : STEP;
        for (int64_t k = 0; k < some; k++)
            row[k] = vector ? 1.0f : deviation * tri_rng_normal(seed, (uint64_t)(i + k));
        tri_codec_encode(type->dtype, row, out + i * elem_bytes, some);
    }
}

static void fill_bytes(uint64_t seed, uint8_t *out, int64_t n) {
    for (int64_t i = 0; i < n && i < PERIOD; i++) {
        uint32_t word[4];
        tri_philox(seed, (uint64_t)i, 0, word);
        out[i] = (uint8_t)word[0];
    }
}

static tri_status fill(
    const tri_type *type, uint64_t seed, uint8_t *out, int64_t n_bytes, tri_error *err) {
    const tri_dtype_info *info = tri_dtype_get(type->dtype);
    if (info->is_block)
        return TRI_FAIL(err, TRI_E_UNSUPPORTED, "random weights of %s cannot be made at load",
            tri_dtype_name(type->dtype));
    int64_t period_bytes = info->is_float ? (int64_t)PERIOD * info->block_bytes : PERIOD;
    if (info->is_float)
        fill_floats(type, seed, out, n_bytes / info->block_bytes);
    else
        fill_bytes(seed, out, n_bytes);
    for (int64_t at = period_bytes; at < n_bytes; at += period_bytes)
        memcpy(out + at, out, (size_t)(n_bytes - at < period_bytes ? n_bytes - at : period_bytes));
    return TRI_OK;
}

static tri_status find_nothing(
    void *user, const tri_value *value, tri_leaf *leaf, bool *found, tri_error *err) {
    (void)user;
    (void)value;
    (void)leaf;
    (void)found;
    (void)err;
    return TRI_OK;
}

/* What the derivation itself says. */
static tri_status place_derived(const tri_stored *stored, int64_t n_bytes,
    const tri_kernels *kernels, tri_device *device, void *to, tri_error *err) {
    const tri_supply none = {.find = find_nothing};
    tri_team *team = NULL;
    void *bytes = malloc(n_bytes > 0 ? (size_t)n_bytes : 1);
    if (!bytes) return TRI_FAIL(err, TRI_E_MEMORY, "%s: out of memory", stored->name);
    tri_status rc = tri_team_create(&team, 1, err);
    if (!rc) rc = tri_derive(stored->value, &none, kernels, team, bytes, err);
    if (!rc) rc = tri_device_upload(device, to, bytes, n_bytes, err);
    tri_team_destroy(team);
    free(bytes);
    return rc;
}

static tri_status place_random(const tri_stored *stored, uint64_t seed, int64_t n_bytes,
    tri_device *device, uint8_t *to, tri_error *err) {
    int64_t stretch = stretch_bytes(n_bytes);
    uint8_t *bytes = malloc(stretch > 0 ? (size_t)stretch : 1);
    if (!bytes) return TRI_FAIL(err, TRI_E_MEMORY, "%s: out of memory", stored->name);
    tri_status rc = fill(&stored->value->type, seed, bytes, stretch, err);
    for (int64_t at = 0; at < n_bytes && !rc; at += stretch)
        rc = tri_device_upload(
            device, to + at, bytes, n_bytes - at < stretch ? n_bytes - at : stretch, err);
    free(bytes);
    return rc;
}

tri_status tri_dummy_place(const tri_rank *rank, int32_t i, const tri_kernels *kernels,
    tri_device *device, void **placed, tri_error *err) {
    const tri_stored *stored = &rank->stored[i];
    int64_t n_bytes = rank->stored_bytes[i];
    void *to;
    if (tri_device_is_host(device))
        return TRI_FAIL(err, TRI_E_UNSUPPORTED,
            "random weights at load are for GPUs; for a CPU, build with --load_format dummy");
    TRI_TRY(tri_device_alloc(device, n_bytes, &to, err));
    tri_status rc = has_weight(stored->value)
                        ? place_random(stored, (uint64_t)i, n_bytes, device, to, err)
                        : place_derived(stored, n_bytes, kernels, device, to, err);
    if (rc)
        tri_device_free(device, to);
    else
        *placed = to;
    return rc;
}
