/* generate.h - one prompt to text, streamed; shared by run's single prompt and its chat. */
#ifndef TRI_CLI_GENERATE_H
#define TRI_CLI_GENERATE_H

#include "base/buf.h"
#include "trireme/executor.h"
#include "trireme/text.h"

typedef struct tri_generate_options {
    tri_sampling_config sampling;
    int32_t max_tokens;       /* 0: until the sequence is full */
    const char *const *stops; /* strings that end it */
    int32_t n_stops;
    bool stream;       /* write text to stdout as it comes */
    bool show_special; /* keep special tokens in the text */
} tri_generate_options;

typedef struct tri_generated {
    tri_buf text;
    tri_buf ids; /* of int32_t */
    int32_t n_ids, n_prompt;
    tri_finish_reason finish_reason;
    bool stopped_by_string;
    double prompt_s, decode_s; /* until the first token; after it */
} tri_generated;

/* Ctrl-C while it runs ends the generation (TRI_FINISH_CANCELLED), not the process. */
tri_status tri_generate(tri_executor *executor, const tri_tokenizer *tokenizer,
    const int32_t *prompt, int32_t n_prompt, const tri_generate_options *options,
    tri_generated *out, tri_error *err);
void tri_generated_deinit(tri_generated *out);
const char *tri_generated_reason(const tri_generated *out); /* "stop", "length", "cancelled", ... */

#endif
