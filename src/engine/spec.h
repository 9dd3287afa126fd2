/* spec.h - what an engine was built for: options with every default resolved, kept in each rank's
 * file so that it can be refitted and lowered again the same way. */
#ifndef TRI_ENGINE_SPEC_H
#define TRI_ENGINE_SPEC_H

#include "base/json.h"
#include "engine/target.h"
#include "passes/passes.h"
#include "trireme/engine.h"

typedef struct tri_engine_spec {
    const char *target; /* "cpu", "cuda", "null" */
    const char *isa;    /* "avx2"; "generic"; "sm_90a" */
    int32_t rank, tp_size, pp_size;
    tri_precision precision;
    int32_t tokens_per_block;
    int32_t max_batch_size, max_num_tokens; /* hints */
    int64_t max_seq_len;
    bool stripped; /* weights were left out */
} tri_engine_spec;

/* Checks the options (struct_size, names, ranges) and fills what does not depend on the model: not
 * rank, sizes of the mapping, max_seq_len; precision.kv stays TRI_N_DTYPES for "auto".  The spec
 * points into *target, which is filled too. */
tri_status tri_spec_from_options(tri_engine_spec *spec, const tri_build_options *options,
    tri_engine_target *target, tri_error *err);
/* `dtype` of the options: TRI_N_DTYPES for auto. */
tri_status tri_option_dtype(const char *flag, const char *value, tri_dtype *dtype, tri_error *err);

void tri_spec_write(const tri_engine_spec *spec, tri_json_writer *w); /* one object */
/* Strings go into the arena; hostile: every value is checked. */
tri_status tri_spec_read(
    tri_engine_spec *spec, const tri_json *object, tri_arena *arena, tri_error *err);

#endif
